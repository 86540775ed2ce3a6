"""What an ablation finds of a loss."""

from dataclasses import dataclass

from geokd.statistics.comparison import McNemar, PairedDifference
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class AblationRow(Record):
    """A loss and a fraction of labels.

    Parameters
    ----------
    loss : str
    weights : dict of str to float
        Of the terms of the loss.
    fraction : float
    unlabelled : bool
        Whether the other chips are used, too, without their labels.
    labelled_chips, epochs, steps : int
    teacher : float or None
        Its accuracy; None if there is none.
    n : int
        Validation chips.
    seen_before : int
        How many of these the initial weights, the student's own or its teacher's, were trained on.
    accuracies : tuple of float
        By seed.
    accuracy : float
        Their mean.
    interval_95 : tuple of float, or None
        Over seeds, cut off at 0 and 1; None of one seed, or if all are alike.
    ece : float
        Mean; the temperature was fitted on the same chips.
    difference : PairedDifference or None
        To the first loss of the same setting; None of that one.
    mcnemar : McNemar or None
        Against it, on the answers of all seeds.
    """

    loss: str
    weights: dict[str, float]
    fraction: float
    unlabelled: bool
    labelled_chips: int
    epochs: int
    steps: int
    teacher: float | None
    n: int
    seen_before: int = 0
    accuracies: tuple[float, ...]
    accuracy: float
    interval_95: tuple[float, float] | None
    ece: float
    difference: PairedDifference | None = None
    mcnemar: McNemar | None = None
