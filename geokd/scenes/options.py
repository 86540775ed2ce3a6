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
    """

    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
