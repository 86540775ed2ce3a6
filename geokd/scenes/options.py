"""What the user says of a scene."""

import math
from dataclasses import dataclass

from geokd.errors import CallError


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
    resample_m : float or None
        Side of the pixels, in metres, that it is resampled to as it is read.
    """

    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
    mask: str | None = None
    resample_m: float | None = None


@dataclass(frozen=True)
class AreaOptions:
    """What the user says of the area to be mapped.

    Parameters
    ----------
    aoi : str or None
        A vector file with polygons, its layer after a colon if it has several.
    where : str or None
        A condition on the attributes of its features, as SQL has it: "name = 'Ambarawa'".
    bbox : tuple of float or None
        West, south, east, north in degrees (WGS 84); west is greater than east across the antimeridian.

    Raises
    ------
    CallError
        If they contradict one another, or are no box.
    """

    aoi: str | None = None
    where: str | None = None
    bbox: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.where is not None and self.aoi is None:
            raise CallError("--where chooses features of --aoi FILE: give that, too")
        if self.aoi is not None and self.bbox is not None:
            raise CallError("--aoi and --bbox both name an area: give one of the two")
        if self.bbox is not None:
            west, south, east, north = self.bbox
            if not (all(map(math.isfinite, self.bbox)) and -90 <= south < north <= 90 and west != east):
                raise CallError(
                    f"--bbox {','.join(f'{side:g}' for side in self.bbox)} is no box: give west, south, east, north in"
                    " degrees, south below north"
                )
