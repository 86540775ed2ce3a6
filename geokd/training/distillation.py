"""What a network is asked to come close to: the labels, and the teacher's answers about the same chips."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geokd.training.data.batches import NO_LABEL, Batch
from geokd.training.loop import LossFunction
from geokd.training.losses import cosine_loss, hard_loss, kl_loss, standardise
from geokd.training.recipe import LossRecipe
from geokd.training.teacher_cache import TeacherOutputs


def label_loss(label_smoothing: float) -> LossFunction:
    """Make the loss of a network that learns from labels alone."""

    def loss(logits: Tensor, features: Tensor, batch: Batch) -> Tensor:
        shares = F.one_hot(batch.labels.clamp_min(0), logits.shape[1]) * (batch.labels != NO_LABEL)[:, None]
        return hard_loss(logits, batch.mean(shares.to(logits.dtype)), label_smoothing)

    return loss


def distillation_loss(
    recipe: LossRecipe, outputs: TeacherOutputs | None, projection: nn.Module, label_smoothing: float
) -> LossFunction:
    """Make the student's loss, as :class:`geokd.training.recipe.LossRecipe` says, or ce * CE without teacher outputs.

    For chips mixed of several, labels, the teacher's probabilities and its features are mixed by area.
    """
    of_labels = label_loss(label_smoothing)

    def answers(values: Tensor, batch: Batch) -> Tensor:
        if recipe.teacher_views == "mean":
            return values[:, batch.chips].float().mean(dim=0)
        return values[batch.views, batch.chips].float()

    def loss(logits: Tensor, features: Tensor, batch: Batch) -> Tensor:
        total = recipe.ce * of_labels(logits, features, batch)
        if outputs is None:
            return total
        teacher_logits = answers(outputs.logits, batch)
        if recipe.kl:
            teacher = torch.softmax(teacher_logits / recipe.temperature, dim=1)
            if recipe.teacher_on == "unlabelled":
                teacher = batch.mean(teacher * (batch.labels == NO_LABEL)[:, None])
                asked = (len(teacher) / teacher.sum().clamp_min(1)).detach()  # mean over these chips alone
                total = total + recipe.kl * asked * kl_loss(logits, teacher, recipe.temperature)
            else:
                total = total + recipe.kl * kl_loss(logits, batch.mean(teacher), recipe.temperature)
        if recipe.standardised_kl:
            teacher = batch.mean(torch.softmax(standardise(teacher_logits) / recipe.temperature, dim=1))
            total = total + recipe.standardised_kl * kl_loss(standardise(logits), teacher, recipe.temperature)
        if recipe.cosine and recipe.cosine_on == "logits":
            total = total + recipe.cosine * cosine_loss(logits, batch.mean(teacher_logits))
        elif recipe.cosine:
            teacher_features = batch.mean(answers(outputs.features, batch))
            total = total + recipe.cosine * cosine_loss(projection(features), teacher_features)
        return total

    return loss
