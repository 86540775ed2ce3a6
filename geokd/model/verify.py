"""Whether a model gives the same results here as where it was made."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geokd.model.bundle import DEFAULT_MODEL, Precision, golden_cells, load_bundle, resolve_model
from geokd.model.engine import make_student

TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.1}
"""Largest difference of a logit, as a share of the range of the stored logits."""


@dataclass(frozen=True)
class VerifyResult:
    """Result for the golden input.

    Parameters
    ----------
    model : str
        Path of the bundle.
    name : str
    sha256 : str
    patches : int
        Size of the golden input.
    largest_difference : float
        Largest difference of a logit from the stored one.
    tolerance : float
        Largest allowed difference.
    same_classes : bool
        Whether every patch gets the stored class; for a dense student every cell, except those whose two likeliest
        classes differ by less than the tolerance, of which there are always some.
    """

    model: str
    name: str
    sha256: str
    patches: int
    largest_difference: float
    tolerance: float
    same_classes: bool

    @property
    def passed(self) -> bool:
        """Whether the model works correctly here."""
        return self.same_classes and self.largest_difference <= self.tolerance


def verify(model: str | Path = DEFAULT_MODEL) -> VerifyResult:
    """Run a model on its golden input and compare the logits with those stored in the bundle.

    Parameters
    ----------
    model : path
        A bundle, or the name of one that ships.

    Returns
    -------
    VerifyResult

    Raises
    ------
    BundleError
        If the model is missing or broken, or cannot be run.
    """
    path = resolve_model(model)
    bundle = load_bundle(path)
    stored = bundle.golden.logits
    logits = golden_cells(make_student(bundle).logits(bundle.golden.pixels))
    tolerance = TOLERANCE[bundle.precision] * float(np.ptp(stored))
    same = logits.argmax(axis=1) == stored.argmax(axis=1)
    if bundle.contract.is_dense and stored.shape[1] > 1:
        highest = np.partition(stored, stored.shape[1] - 2, axis=1)[:, -2:]
        same |= highest[:, 1] - highest[:, 0] <= tolerance
    return VerifyResult(
        model=str(path),
        name=bundle.name,
        sha256=bundle.sha256,
        patches=len(stored),
        largest_difference=float(np.abs(logits - stored).max()),
        tolerance=tolerance,
        same_classes=bool(same.all()),
    )
