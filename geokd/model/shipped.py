"""The models that ship with geokd."""

from dataclasses import dataclass

from geokd.model.about import AboutModel
from geokd.model.bundle import load_bundle, shipped_models
from geokd.statistics.metrics import Accuracy


@dataclass(frozen=True, kw_only=True)
class ShippedModel(AboutModel):
    """A shipped bundle; `model` is its name.

    `validation_before_rounding` is the accuracy in fp32 on the validation chips of its training; None if the bundle
    does not record it.
    """

    model: str
    validation_before_rounding: Accuracy | None


def models() -> list[ShippedModel]:
    """List the shipped bundles, by name.

    Returns
    -------
    list of ShippedModel

    Raises
    ------
    BundleError
        If one of them is broken.
    """
    return [_entry(name) for name in shipped_models()]


def _entry(model: str) -> ShippedModel:
    bundle = load_bundle(model)
    recorded = bundle.provenance.get("validation_before_rounding", {}).get("student")
    accuracy = None
    if recorded is not None:
        low, high = recorded["interval_95"]
        accuracy = Accuracy(n=recorded["n"], accuracy=recorded["accuracy"], interval_95=(low, high))
    return ShippedModel(**vars(bundle.describe()), model=model, validation_before_rounding=accuracy)
