"""From the classes of label rasters to those of a student: pure functions of arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geokd.errors import RecipeError, one_message
from geokd.training.dense.recipe import RuleRecipe

_LEAST_USE = 0.01  # added to each use's probability, so that none is impossible

Shares = NDArray[np.float32]
Becomes = dict[int, float]
"""Classes of the student that a label is converted to, by code, and the weight of each."""


def becomes_of(
    labels: Sequence[str], classes: Sequence[str], rules: Sequence[RuleRecipe], uses: Sequence[str]
) -> tuple[Becomes, ...]:
    """Find the student's classes for each class of a label raster, as indices and weights; {} leaves pixels out.

    Parameters
    ----------
    labels : sequence of str
        Classes of the label raster.
    classes : sequence of str
        Classes of the student.
    rules : sequence of RuleRecipe
    uses : sequence of str
        Classes of the use teacher; empty without one.

    Raises
    ------
    RecipeError
        If a label has no known class, or is to be split without a suitable use teacher: all in one message.
    """
    by_label = {rule.label.lower(): rule for rule in rules}
    by_name = {name.lower(): RuleRecipe(name, (name,)) for name in classes}
    problems, found = [], []
    for label in labels:
        rule = by_label.get(label.lower(), by_name.get(label.lower()))
        if rule is None:
            problems.append(f"the label {label!r} has no rule, and the student has no class of this name")
            continue
        becomes = rule.becomes
        unknown = [name for name in becomes if name not in uses]
        if len(becomes) > 1 and not uses:
            problems.append(f"the label {label!r} is to become {', '.join(becomes)}, which needs a [use_teacher]")
        elif len(becomes) > 1 and len(unknown) > 1:
            problems.append(
                f"the label {label!r} is to become {', '.join(becomes)}, but the use teacher does not have"
                f" {', '.join(unknown)}; only one such class is possible, which gets the rest"
            )
        weights = rule.weights or (1.0,) * len(becomes)
        found.append({classes.index(name): weight for name, weight in zip(becomes, weights, strict=True)})
    if problems:
        raise RecipeError(one_message(problems))
    return tuple(found)


def student_shares(
    shares: Shares, use: Shares | None, becomes: Sequence[Becomes], classes: Sequence[str], uses: Sequence[str]
) -> Shares:
    """Divide each label among the student's classes.

    Parameters
    ----------
    shares : float32 array (L, h, w)
        Of the label raster's classes; their sum is at most 1, and 0 where a pixel has no label.
    use : float32 array (U, h, w) or None
        Probabilities of the use teacher.
    becomes : sequence of dicts of int to float
        From :func:`becomes_of`.
    classes, uses : sequence of str
        Names of the student's and of the use teacher's classes.

    Returns
    -------
    float32 array (K, h, w); sums below 1 where labels are left out
    """
    out: Shares = np.zeros((len(classes), *shares.shape[1:]), np.float32)
    for label, targets in zip(shares, becomes, strict=True):
        known = [k for k in targets if classes[k] in uses]
        if len(targets) <= 1 or use is None:
            for k in targets:
                out[k] += label
            continue
        seen = {k: targets[k] * (use[uses.index(classes[k])] + _LEAST_USE) for k in known}
        rest = [k for k in targets if k not in known]
        total = use.sum(axis=0) + _LEAST_USE * len(uses) if rest else sum(seen.values())
        left = label.copy()
        for k in known:
            part = label * seen[k] / total
            out[k] += part
            left -= part
        for k in rest:
            out[k] += left
    return out


def sharpened(shares: Shares, power: float) -> Shares:
    """Raise shares (L, h, w) to a power, keeping their sum."""
    if power == 1:
        return shares
    raised = shares**power
    return np.asarray(raised * (shares.sum(axis=0) / np.maximum(raised.sum(axis=0), 1e-12)), np.float32)
