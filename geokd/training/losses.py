"""The distillation loss. Pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F


def kl_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over the batch.

    The factor T^2 keeps the gradients' size when T changes (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section
    2.1).

    Parameters
    ----------
    student_logits, teacher_logits : float tensors (N, K)
    temperature : float, positive
    """
    student = F.log_softmax(student_logits / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher), mean over the batch, 0 to 2.

    Parameters
    ----------
    student, teacher : float tensors (N, D): projected features, or logits
    """
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def hard_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the labels, mean over the batch.

    Parameters
    ----------
    logits : float tensor (N, K)
    labels : int64 tensor (N,)
    label_smoothing : float, 0 to 1
    """
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
