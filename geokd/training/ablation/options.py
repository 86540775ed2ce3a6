"""Losses, seeds and fractions of labels of an ablation."""

from dataclasses import dataclass

from geokd.errors import Checked
from geokd.training.recipe import LOSS_TERMS

LOSSES = ("ce", "ce+kl", "ce+cosine", "ce+kl+cosine", "ce+standardised_kl")
"""Losses that are compared by default."""


@dataclass(frozen=True)
class AblationOptions(Checked):
    """The losses, seeds and labels to compare.

    Parameters
    ----------
    seeds : int
        Runs of each loss; their seeds count up from the recipe's.
    losses : tuple of str
        Terms joined by `+`, with the recipe's weights, or 1 where it has 0. The others are compared with the first.
    fractions : tuple of float
        Fractions of the training chips whose labels are used, 0.000001 to 1, each part of the larger ones.
    unlabelled : bool
        For fractions below 1, also train students on the other chips with the teacher's answers. Students of labels
        only then take as many steps as these.

    Raises
    ------
    CallError
        If an option is out of range: all of them in one message.
    """

    seeds: int = 3
    losses: tuple[str, ...] = LOSSES
    fractions: tuple[float, ...] = (1.0,)
    unlabelled: bool = False

    def _problems(self) -> list[str]:
        problems = []
        if self.seeds < 1:
            problems.append(f"--seeds {self.seeds} is below 1")
        for loss in self.losses:
            terms = loss.split("+")
            unknown = [term for term in terms if term not in LOSS_TERMS]
            if unknown or len(set(terms)) < len(terms):
                what = f"has no term {' or '.join(map(repr, unknown))}" if unknown else "names a term twice"
                problems.append(f"the loss {loss!r} {what}; join some of {', '.join(LOSS_TERMS)} with +")
        if len({frozenset(loss.split("+")) for loss in self.losses}) < max(1, len(self.losses)):
            problems.append(f"the losses {', '.join(self.losses) or '(none)'} are not one or more different ones")
        problems += [f"--fractions {f:g} is not within 0.000001 and 1" for f in self.fractions if not 1e-6 <= f <= 1]
        listed = [f"{f:g}" for f in self.fractions]
        if len(set(listed)) < max(1, len(listed)):
            problems.append(f"--fractions {','.join(listed) or '(none)'} are not one or more that differ in six digits")
        if self.unlabelled and min(self.fractions, default=1.0) >= 1:
            problems.append("--unlabelled needs a fraction below 1: otherwise there are no chips without labels")
        return problems
