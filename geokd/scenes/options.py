"""The user's options for a scene."""

import math
from dataclasses import dataclass

from geokd.errors import Checked

_POLE = 90  # degrees of latitude
_HALF_WAY_ROUND = 180  # degrees, above which a box across the antimeridian is not meant


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Checked):
    """The user's options for a scene; None: from the file.

    Parameters
    ----------
    bidx : tuple of int or None
        Bands to use, 1-based, in the contract's order.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset.
    nodata : float or None
        Value that marks missing pixels.
    mask : str or None
        Mask of pixels that are left out, as in :func:`geokd.scenes.masks.plan_mask`.
    resample_m : float or None
        Pixel size, in metres, to which it is resampled while reading.
    """

    bidx: tuple[int, ...] | None = None
    value_scale: float | None = None
    value_offset: float | None = None
    nodata: float | None = None
    mask: str | None = None
    resample_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class AreaOptions(Checked):
    """The user's area of interest.

    Parameters
    ----------
    aoi : str or None
        A vector file with polygons; if it has several layers, the layer after a colon.
    where : str or None
        An SQL condition on the attributes of its features: "name = 'Ambarawa'".
    bbox : tuple of float or None
        West, south, east, north in degrees (WGS 84); west is greater than east across the antimeridian.

    Raises
    ------
    CallError
        If they contradict each other, or the box is invalid.
    """

    aoi: str | None = None
    where: str | None = None
    bbox: tuple[float, float, float, float] | None = None

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.where is not None and self.aoi is None:
            problems.append("--where selects features of --aoi FILE; give --aoi, too")
        if self.aoi is not None and self.bbox is not None:
            problems.append("--aoi and --bbox both give an area; give only one of the two")
        if self.bbox is not None:
            west, south, east, north = self.bbox
            given = f"--bbox {_listed(self.bbox)}"
            if not (all(map(math.isfinite, self.bbox)) and -_POLE <= south < north <= _POLE and west != east):
                exchanged = exchanged_box(self.bbox) if max(abs(south), abs(north)) > _POLE else ""
                remedy = f"; if latitude and longitude are exchanged, give {exchanged}" if exchanged else ""
                problems.append(
                    f"{given} is not a box: give west, south, east, north in degrees, south below north{remedy}"
                )
            elif 0 < west - east < _HALF_WAY_ROUND:
                problems.append(
                    f"{given} runs eastward from {west:g} across the antimeridian to {east:g}, more than"
                    f" {_HALF_WAY_ROUND} degrees wide; if west and east are swapped, give --bbox"
                    f" {_listed((east, south, west, north))}"
                )
        return problems


def exchanged_box(box: tuple[float, float, float, float]) -> str:
    """Return the option for a box whose latitude and longitude were exchanged; empty if they cannot have been."""
    south, west, north, east = box
    possible = -_POLE <= south < north <= _POLE and max(abs(west), abs(east)) <= 360 and west != east
    return f"--bbox {_listed((west, south, east, north))}" if possible else ""


def _listed(box: tuple[float, ...]) -> str:
    return ",".join(f"{side:g}" for side in box)
