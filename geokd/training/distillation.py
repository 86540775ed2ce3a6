"""Targets of training: the labels, and the teacher's answers for the same chips."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geokd.training.data.batches import NO_LABEL, Batch
from geokd.training.loop import LossFunction, asked
from geokd.training.losses import cosine_loss, hard_loss, kl_loss, standardise
from geokd.training.networks import Classifier
from geokd.training.recipe import LossRecipe
from geokd.training.teacher_cache import TeacherOutputs

Answers = Callable[[Batch], tuple[Tensor, Tensor]]
"""Gives the teacher's logits (N, K) and features (N, D) on the chips of a batch."""


def label_loss(label_smoothing: float) -> LossFunction:
    """Make the loss of a network that is trained on labels only."""

    def loss(logits: Tensor, features: Tensor, batch: Batch) -> Tensor:
        shares = F.one_hot(batch.labels.clamp_min(0), logits.shape[1]) * (batch.labels != NO_LABEL)[:, None]
        return hard_loss(logits, batch.mean(shares.to(logits.dtype)), label_smoothing)

    return loss


def kept_answers(outputs: TeacherOutputs, recipe: LossRecipe) -> Answers:
    """Look up the teacher's answers for each chip, in the view of the batch or averaged over all views."""

    def of(values: Tensor, batch: Batch) -> Tensor:
        if recipe.teacher_views == "mean":
            return values[:, batch.chips].float().mean(dim=0)
        return values[batch.views, batch.chips].float()

    return lambda batch: (of(outputs.logits, batch), of(outputs.features, batch))


def fresh_answers(teacher: Classifier, *, bf16: bool) -> Answers:
    """Run the teacher on the same augmented and mixed pixels as the student."""

    def answers(batch: Batch) -> tuple[Tensor, Tensor]:
        assert batch.pixels is not None
        return asked(teacher, batch.pixels, bf16=bf16)

    return answers


def distillation_loss(
    recipe: LossRecipe,
    answers: Answers | None,
    projection: nn.Module,
    label_smoothing: float,
) -> LossFunction:
    """Make the student's loss, see :class:`geokd.training.recipe.LossRecipe`, or ce * CE without a teacher.

    For chips mixed of several, labels are mixed by area; so are the teacher's probabilities and its features, unless it
    was run on the mixed chips.
    """
    of_labels = label_loss(label_smoothing)

    def loss(logits: Tensor, features: Tensor, batch: Batch) -> Tensor:
        total = recipe.ce * of_labels(logits, features, batch)
        if answers is None:
            return total
        teacher_logits, teacher_features = answers(batch)
        if recipe.teacher_views == "shown":
            batch = replace(batch, shares=None)
        if recipe.kl:
            teacher = torch.softmax(teacher_logits / recipe.temperature, dim=1)
            if recipe.teacher_on == "unlabelled":
                teacher = batch.mean(teacher * (batch.labels == NO_LABEL)[:, None])
                share = (len(teacher) / teacher.sum().clamp_min(1)).detach()  # mean over these chips only
                total = total + recipe.kl * share * kl_loss(logits, teacher, recipe.temperature)
            else:
                total = total + recipe.kl * kl_loss(logits, batch.mean(teacher), recipe.temperature)
        if recipe.standardised_kl:
            teacher = batch.mean(torch.softmax(standardise(teacher_logits) / recipe.temperature, dim=1))
            total = total + recipe.standardised_kl * kl_loss(standardise(logits), teacher, recipe.temperature)
        if recipe.cosine and recipe.cosine_on == "logits":
            total = total + recipe.cosine * cosine_loss(logits, batch.mean(teacher_logits))
        elif recipe.cosine:
            total = total + recipe.cosine * cosine_loss(projection(features), batch.mean(teacher_features))
        return total

    return loss
