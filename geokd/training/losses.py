"""The distillation loss. Pure functions of tensors."""

from torch import Tensor
from torch.nn import functional as F


def kl_loss(student_logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || softmax(student / T)), mean over the batch.

    The factor T^2 keeps the gradients' size when T changes (Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section
    2.1).

    Parameters
    ----------
    student_logits : float tensor (N, K)
    teacher : float tensor (N, K)
        Probabilities softmax(teacher logits / T), mixed by area for chips mixed of several.
    temperature : float, positive
    """
    student = F.log_softmax(student_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean")


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher), mean over the batch, 0 to 2.

    Parameters
    ----------
    student, teacher : float tensors (N, D): projected features, or logits
    """
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def hard_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the labels, mean over the batch.

    Parameters
    ----------
    logits : float tensor (N, K)
    targets : float tensor (N, K)
        Shares of the classes: one-hot, but for chips mixed of several.
    label_smoothing : float, 0 to 1
    """
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
