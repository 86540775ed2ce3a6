"""The distillation loss of a dense student, pixel by pixel. Pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional as F

from geokd.training.dense.recipe import DenseLossRecipe

_LEAST = 1e-4  # of a share before its logarithm is taken


def dense_loss(logits: Tensor, labels: Tensor, hard: Tensor, weights: DenseLossRecipe) -> Tensor:
    """Return ce * CE + kl * T^2 KL(label || student) + cosine * (1 - cos), the mean over labelled pixels.

    See :class:`geokd.training.dense.recipe.DenseLossRecipe`; T^2 keeps the gradients' size when T changes (Hinton,
    Vinyals and Dean 2015, arXiv 1503.02531).

    Parameters
    ----------
    logits : float tensor (N, K, h, w)
    labels : float tensor (N, K, h, w)
        Shares of the classes. Their sum, 0 to 1, is the weight of the pixel.
    hard : bool tensor (N,)
        Patches whose labels are given classes: no KL, no cosine.
    weights : DenseLossRecipe
    """
    trust = labels.sum(dim=1)
    shares = labels / trust.clamp_min(1e-6)[:, None]
    loss = torch.zeros(())
    soft_trust = trust * (~hard).float()[:, None, None]
    if weights.ce:
        prevailing = shares.argmax(dim=1)
        loss = loss + weights.ce * _mean(F.cross_entropy(logits, prevailing, reduction="none"), trust)
    elif bool(hard.any()):  # labels of a single class use cross-entropy, whatever the weights for soft ones
        hard_trust = trust * hard.float()[:, None, None]
        loss = loss + _mean(F.cross_entropy(logits, shares.argmax(dim=1), reduction="none"), hard_trust)
    if weights.kl:
        t = weights.temperature
        softened = shares if t == 1 else _softened(shares, t)
        log_student = F.log_softmax(logits / t, dim=1)
        divergence = (softened * (softened.clamp_min(1e-8).log() - log_student)).sum(dim=1)
        loss = loss + weights.kl * t**2 * _mean(divergence, soft_trust)
    if weights.cosine:
        target = shares.clamp_min(_LEAST).log()
        target, answer = (z - z.mean(dim=1, keepdim=True) for z in (target, logits))
        loss = loss + weights.cosine * _mean(1 - F.cosine_similarity(answer, target, dim=1), soft_trust)
    return loss


def _softened(shares: Tensor, temperature: float) -> Tensor:
    raised = shares.clamp_min(1e-8) ** (1 / temperature)
    return raised / raised.sum(dim=1, keepdim=True)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1.0)
