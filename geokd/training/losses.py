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
        Probabilities softmax(teacher logits / T), mixed by area for mixed chips.
    temperature : float, positive
    """
    student = F.log_softmax(student_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean")


def standardise(logits: Tensor) -> Tensor:
    """Scale each row of logits (N, K) to mean 0 and standard deviation 1.

    So the student need not match the range of the teacher's logits, only their order and proportions (Sun et al. 2024,
    "Logit Standardization in Knowledge Distillation", arXiv 2403.01427).
    """
    deviation = logits.std(dim=1, keepdim=True, correction=0)
    return (logits - logits.mean(dim=1, keepdim=True)) / (deviation + 1e-7)


def cosine_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(student, teacher), mean over the batch, 0 to 2.

    Parameters
    ----------
    student, teacher : float tensors (N, D): projected features, or logits
    """
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


def hard_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the labels, mean over the labelled part of the batch.

    Parameters
    ----------
    logits : float tensor (N, K)
    targets : float tensor (N, K)
        Shares of the classes: one-hot, except for mixed chips; a row sums to the labelled share of its chip.
    label_smoothing : float, 0 to 1
    """
    labelled = targets.sum(dim=1, keepdim=True)
    smoothed = (1 - label_smoothing) * targets + label_smoothing * labelled / targets.shape[1]
    return -(smoothed * F.log_softmax(logits, dim=1)).sum() / labelled.sum().clamp_min(1)
