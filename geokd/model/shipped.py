"""Which models ship with geokd."""

from typing import Any

from geokd.model.bundle import load_bundle, shipped_models


def models() -> list[dict[str, Any]]:
    """List the bundles that ship, by name.

    Returns
    -------
    list of dict
        `model`, the name to call it by; then what :func:`geokd.info` says of it, but of its provenance only
        `validation_before_rounding`: {n, accuracy, interval_95} of the student on the validation chips of its training,
        in fp32; None if the bundle does not record it.

    Raises
    ------
    BundleError
        If one of them is broken.
    """
    return [_entry(name) for name in shipped_models()]


def _entry(model: str) -> dict[str, Any]:
    about = load_bundle(model).describe()
    recorded = about.pop("provenance").get("validation_before_rounding", {}).get("student")
    figures = None if recorded is None else {key: recorded[key] for key in ("n", "accuracy", "interval_95")}
    return {"model": model, **about, "validation_before_rounding": figures}
