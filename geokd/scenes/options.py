"""What the user says of a scene."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneOptions:
    """What the user says of a scene; None leaves it to the file.

    Parameters
    ----------
    bidx : tuple of int or None
        Bands to use, 1-based, in the contract's order.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset.
    nodata : float or None
        Value that marks missing pixels.
    mask : str or None
        Mask of what is to be left out, as :func:`geokd.scenes.masks.plan_mask` takes it.
    """

    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
    mask: str | None = None
