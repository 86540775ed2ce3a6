from typing import Any

import pytest

pytest.importorskip("scipy", reason="needs the extra geokd[train]")

from geokd.system.documents import read_record
from geokd.training.ablation.conclusions import conclusions
from geokd.training.ablation.rows import AblationRow


def row(loss: str, p: float | None = None, difference: float = 0.0, reach: float = 0.01, **facts: Any) -> AblationRow:
    """One row of an ablation; without p the reference, with 0 one that was not tested."""
    given = {"labelled_chips": 1260, "fraction": 1.0, "unlabelled": False, "loss": loss, "accuracy": 0.9}
    given |= {"weights": {}, "epochs": 1, "steps": 1, "n": 420, "accuracies": [0.9], "interval_95": None, "ece": 0.0}
    given |= {"teacher": None if loss == "ce" else 0.95}
    if p is not None:
        interval = [difference - reach, difference + reach] if p else None
        given["difference"] = {"difference": difference, "interval_95": interval, "p": p or None}
    return read_record(given | facts, AblationRow)


def test_a_gain_is_said_with_its_interval() -> None:
    assert conclusions([row("ce"), row("ce+kl", 0.012, 0.024, 0.021)]) == [
        "1,260 labels: ce+kl is better than ce by 2.40 points (0.30 to 4.50, p 0.012)"
    ]
    assert conclusions([row("ce"), row("ce+kl", 0.012, -0.024, 0.021)]) == [
        "1,260 labels: ce+kl is worse than ce by 2.40 points (0.30 to 4.50, p 0.012)"
    ]


def test_the_best_of_many_must_be_better_than_chance_makes_it() -> None:
    rows = [row("ce"), row("ce+kl", 0.03, 0.012), row("ce+cosine", 0.5, 0.001), row("ce+kl+cosine", 0.6, -0.002)]
    assert conclusions(rows) == [
        "1,260 labels: ce+kl, ce+cosine, ce+kl+cosine not shown to differ from ce (p 0.09 or more, up to 2.2"
        " points either way still possible); p adjusted for 3 comparisons"
    ]


def test_settings_speak_for_themselves_and_name_a_teacher_that_has_nothing_to_teach() -> None:
    few = {"labelled_chips": 162, "fraction": 0.01, "unlabelled": True}
    rows = [row("ce", **few), row("ce+kl", 0.001, -0.06, **few | {"teacher": 0.8}), row("ce"), row("ce+kl", 0.3)]
    assert conclusions(rows) == [
        "162 labels and unlabelled chips: ce+kl is worse than ce by 6.00 points (5.00 to 7.00, p 0.001); the"
        " teacher (80.00 %) is no better than ce without it (90.00 %)",
        "1,260 labels: ce+kl not shown to differ from ce (p 0.3, up to 1.0 points either way still possible)",
    ]


def test_what_could_not_be_tested_is_said() -> None:
    assert conclusions([row("ce"), row("ce+kl", 0)]) == [
        "1,260 labels: ce+kl not tested: the runs have one seed, or equal differences; more seeds are needed"
    ]
    assert conclusions([row("ce")]) == []


def test_initial_weights_that_knew_the_validation_chips_are_named() -> None:
    rows = [row("ce", n=420, seen_before=0), row("ce+kl", 0.3, n=420, seen_before=376)]
    assert conclusions(rows)[1:] == [
        "376 of the 420 validation chips trained the weights that students or teachers of ce+kl start from: these"
        " accuracies do not apply to new chips"
    ]
