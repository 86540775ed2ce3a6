"""Whether a student can take a scene, and every choice of how to read it. Pure: no file is opened here."""

import math
import shlex
from dataclasses import dataclass
from typing import Literal

import pyproj
from affine import Affine
from pyproj.exceptions import ProjError
from rasterio.errors import CRSError

from geokd.contract import InputContract, ValueScaling
from geokd.errors import SceneError, one_message
from geokd.scenes.acquisition import Acquisition
from geokd.scenes.bands import choose_bands
from geokd.scenes.grid import SceneGrid

RESOLUTION_TOLERANCE = 0.2
"""Share by which a scene's pixel size may differ from the contract's."""

AREAL_TOLERANCE = 0.02
"""Share by which a projection may stretch areas, or skewed pixels shrink; UTM stays below 0.1 % in its zone."""

_EARTH_RADIUS_M = 6_378_137.0
_MEND_PLACE = "give it the transform and the system it should have by gdal_edit.py -a_ullr and -a_srs"
_ROUNDING = 1e-6  # degrees
_RADIUS_TOLERANCE = 0.01  # as a share; all ellipsoids and spheres in use are nearer

Placing = Literal["transform", "control points", "rational polynomials"]


@dataclass(frozen=True)
class SceneInfo:
    """What a raster file says of itself.

    Parameters
    ----------
    path : str
        As the user gave it.
    grid : SceneGrid
    dtype : str
        numpy name of the first band's type.
    descriptions : tuple of str
        Band descriptions, empty strings where there are none.
    colours : tuple of str
        Colour interpretation of each band: "red", "gray", "alpha", "undefined", ...
    nodata : float or None
    masked : bool
        Whether there is an alpha band or a mask.
    scales, offsets : tuple of float
        GDAL's tags of each band; 1 and 0 where there are none.
    storage_px : tuple of int
        Height and width of the tiles or strips that the file is stored in.
    placing : {"transform", "control points", "rational polynomials"}
        What tells where the pixels lie; the transform too where nothing does.
    acquisition : Acquisition or None
        When it was taken, if its metadata or the name of its product tell.
    """

    path: str
    grid: SceneGrid
    dtype: str
    descriptions: tuple[str, ...]
    colours: tuple[str, ...]
    nodata: float | None
    masked: bool
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    storage_px: tuple[int, int]
    placing: Placing = "transform"
    acquisition: Acquisition | None = None


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


@dataclass(frozen=True)
class ScenePlan:
    """How to read one scene for one student: every choice made, picklable.

    Parameters
    ----------
    path : str
    grid : SceneGrid
    bidx : tuple of int
        Bands, 1-based, in the contract's order.
    value_scale, value_offset : float
        Reflectance x 10,000 = DN * value_scale + value_offset.
    scaling : ValueScaling or None
        None: bytes pass through.
    nodata : float or None
    notes : tuple of str
        Choices that affect the map, one sentence each.
    warnings : tuple of str
        What looks wrong, with the remedy, one sentence each.
    """

    path: str
    grid: SceneGrid
    bidx: tuple[int, ...]
    value_scale: float
    value_offset: float
    scaling: ValueScaling | None
    nodata: float | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ValueChoice:
    """How DN become bytes: scale and offset to reflectance x 10,000, the stretch, and a sentence that says so."""

    scale: float
    offset: float
    scaling: ValueScaling | None
    note: str


def fix_plan(info: SceneInfo, contract: InputContract, options: SceneOptions) -> ScenePlan:
    """Check a scene against a student's contract and fix how it is read.

    Raises
    ------
    SceneError
        If the scene does not fit: all mismatches in one message, each with its remedy.
    """
    problems = grid_problems(info, contract)
    choice = values = None
    try:
        choice = choose_bands(info.descriptions, info.colours, contract.bands, options.bidx)
    except SceneError as error:
        problems.append(str(error))
    try:
        values = choose_values(info, contract, options, choice.bidx if choice else (1,))
    except SceneError as error:
        problems.append(str(error))
    if problems or choice is None or values is None:
        raise SceneError(f"{info.path} does not fit the model: {one_message(problems)}")
    nodata = info.nodata if options.nodata is None else options.nodata
    return ScenePlan(
        path=info.path,
        grid=info.grid,
        bidx=choice.bidx,
        value_scale=values.scale,
        value_offset=values.offset,
        scaling=values.scaling,
        nodata=nodata,
        notes=(choice.note, values.note, _nodata_note(info, options)),
    )


def grid_problems(info: SceneInfo, contract: InputContract) -> list[str]:
    """Return what is wrong with CRS and pixel size, one sentence each."""
    grid, target, path = info.grid, contract.ground_resolution_m, shlex.quote(info.path)
    warp = f"-tr {target:g} {target:g} -r average {path}"
    try:
        misplaced = _unplaced(info, path, warp) or _misplaced(grid)
        if misplaced or grid.crs is None:
            return [misplaced]
        size_x, size_y = grid.pixel_size_m
        stretch = areal_stretch(grid)
    except (CRSError, ProjError) as error:
        return [f"its coordinate reference system has no known unit ({error}); reproject it by gdalwarp -t_srs"]
    if grid.squareness < 1 - AREAL_TOLERANCE:
        return [
            f"its pixels are no rectangles, their sides stand at {math.degrees(math.asin(grid.squareness)):.0f}"
            f" degrees; bring it onto a grid by gdalwarp -t_srs EPSG:{_utm_epsg(grid)} {warp} utm.tif"
        ]
    if abs(stretch - 1) > AREAL_TOLERANCE:
        return [
            f"its projection shows areas {stretch:.3g} times their size here, so pixels and areas would be wrong;"
            f" reproject it by gdalwarp -t_srs EPSG:{_utm_epsg(grid)} {warp} utm.tif"
        ]
    if all(abs(size / target - 1) <= RESOLUTION_TOLERANCE for size in (size_x, size_y)):
        return []
    to_utm = f"-t_srs EPSG:{_utm_epsg(grid)} " if grid.crs.is_geographic else ""
    return [
        f"its pixels measure {size_x:.4g} x {size_y:.4g} m, the model takes {target:g} m give or take"
        f" {100 * RESOLUTION_TOLERANCE:g} %; resample it by gdalwarp {to_utm}{warp} resampled.tif, or take a model"
        " made for that size"
    ]


def choose_values(
    info: SceneInfo, contract: InputContract, options: SceneOptions, bidx: tuple[int, ...]
) -> ValueChoice:
    """Decide how DN become bytes: scale and offset are each the user's, else GDAL's tag, else 1 and 0.

    Raises
    ------
    SceneError
        If the type of the values leaves it open, or does not fit.
    """
    scaling = contract.value_scaling
    given = {"--value-scale": options.value_scale, "--value-offset": options.value_offset}
    said = [name for name, value in given.items() if value is not None]
    if info.dtype.startswith("complex"):
        raise SceneError(f"its values are {info.dtype}; take a product with real values")
    if info.dtype == "uint8" and not said:
        note = "8-bit values are taken as they are"
        if scaling is not None:
            note += (
                f", as a true-colour picture stretched like the chips (reflectance x 10,000 of {scaling.minimum:g}.."
                f"{scaling.maximum:g} to {scaling.output_minimum:g}..{scaling.output_maximum:g})"
            )
        return ValueChoice(1.0, 0.0, None, note)
    if scaling is None:
        raise SceneError(
            f"its values are {info.dtype}, the model takes 8-bit values; stretch it by gdal_translate -ot Byte -scale"
            f" {shlex.quote(info.path)} bytes.tif"
        )
    tagged = {(info.scales[b - 1], info.offsets[b - 1]) for b in bidx}
    if not all(math.isfinite(tag) for tags in tagged for tag in tags):
        if len(said) < 2:
            raise SceneError(
                "its scale and offset tags are no finite numbers; say what holds by --value-scale and --value-offset"
            )
        tagged = {(1.0, 0.0)}
    if len(tagged) > 1 and len(said) < 2:
        raise SceneError(
            "its bands have different scale and offset tags; say which holds by --value-scale and --value-offset"
        )
    tag_scale, tag_offset = next(iter(tagged))
    has_tags = (tag_scale, tag_offset) != (1.0, 0.0)
    if info.dtype.startswith("float") and not has_tags and options.value_scale is None:
        raise SceneError(
            f"its values are {info.dtype} without scale tags, so their unit is unknown; give --value-scale 10000 for"
            " reflectance 0..1, or --value-scale 1 for reflectance x 10,000"
        )
    scale, offset = (tag_scale * 1e4, tag_offset * 1e4) if has_tags else (1.0, 0.0)  # tags give reflectance
    scale = scale if options.value_scale is None else options.value_scale
    offset = offset if options.value_offset is None else options.value_offset
    reasons = [f"as {' and '.join(said)} say{'s' * (len(said) == 1)}"] if said else []
    if has_tags and len(said) < 2:
        reasons.append("by the file's scale and offset tags")
    why = " and ".join(reasons) or "since nothing says otherwise"
    if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
        raise SceneError(
            f"value scale {scale:g} must be positive and value offset {offset:g} finite; say what holds by"
            " --value-scale and --value-offset"
        )
    note = (
        f"reflectance x 10,000 = DN x {scale:g} {'-' if offset < 0 else '+'} {abs(offset):g}, {why}; it is stretched"
        f" from {scaling.minimum:g}..{scaling.maximum:g} to {scaling.output_minimum:g}..{scaling.output_maximum:g}"
    )
    return ValueChoice(scale, offset, scaling, note)


def _nodata_note(info: SceneInfo, options: SceneOptions) -> str:
    mask = "; its alpha band or mask is honoured" if info.masked else ""
    if options.nodata is not None:
        return f"nodata is {options.nodata:g}, as --nodata says{mask}"
    if info.nodata is not None:
        return f"nodata is {info.nodata:g}, as the file says{mask}"
    return f"no nodata value is declared{mask or ': every pixel counts as valid'}"


def areal_stretch(grid: SceneGrid) -> float:
    """Area of the grid's centre in its projection, as a multiple of the true area; 1 in geographic coordinates.

    Raises
    ------
    ProjError
        If PROJ cannot tell.
    """
    if grid.crs is None or grid.crs.is_geographic:
        return 1.0
    projection = pyproj.Proj(pyproj.CRS.from_wkt(grid.crs.to_wkt()))
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    longitude, latitude = projection(x, y, inverse=True)
    return float(projection.get_factors(longitude, latitude).areal_scale)


def _unplaced(info: SceneInfo, path: str, warp: str) -> str:
    """Say what a file lacks to place its pixels; empty if it does. `path` and `warp` are for the remedies."""
    if info.placing != "transform":
        by = " -rpc" if info.placing == "rational polynomials" else ""
        return (
            f"its pixels lie where {info.placing} say, not on a grid; bring it onto one by gdalwarp{by} -t_srs"
            f" EPSG:32618 {warp} utm.tif, with the UTM zone of the place"
        )
    if info.grid.crs is None:
        return (
            "it has no coordinate reference system; assign the right one, for instance by gdal_edit.py -a_srs"
            f" EPSG:32618 {path}"
        )
    if info.grid.transform == Affine.identity():
        return (
            "it does not say where its pixels lie, for it has no transform; take the file it was made from, or give its"
            f" corners by gdal_edit.py -a_ullr LEFT TOP RIGHT BOTTOM {path}"
        )
    return ""


def _misplaced(grid: SceneGrid) -> str:
    """Say why the coordinates of a grid with a CRS are those of no place on the Earth; empty if they are.

    Raises
    ------
    ProjError, CRSError
        If the CRS cannot be told.
    """
    assert grid.crs is not None
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    if not (crs.is_geographic or crs.is_projected) or crs.ellipsoid is None:
        return f"its coordinate reference system ({crs.name}) tells no place on the Earth; {_MEND_PLACE}"
    radius = crs.ellipsoid.semi_major_metre
    if abs(radius / _EARTH_RADIUS_M - 1) > _RADIUS_TOLERANCE:
        return (
            f"its coordinate reference system ({crs.name}) is of a body of {radius / 1000:,.0f} km radius, not of the"
            f" Earth; {_MEND_PLACE}"
        )
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    if not crs.is_geographic:
        inside = all(map(math.isfinite, pyproj.Proj(crs)(x, y, inverse=True)))
        place = f"its centre, {x:.6g}, {y:.6g}, is no place in its coordinate reference system ({crs.name})"
        return "" if inside else f"{place}; {_MEND_PLACE}"
    degrees = math.degrees(float(grid.crs.units_factor[1]))
    left, bottom, right, top = (side * degrees for side in grid.bounds)
    if -360 <= left <= right <= 360 and -90 - _ROUNDING <= bottom <= top <= 90 + _ROUNDING:
        return ""
    return (
        f"its longitudes {left:.6g}..{right:.6g} or latitudes {bottom:.6g}..{top:.6g} lie beyond -360..360 or -90..90"
        f" degrees; {_MEND_PLACE}"
    )


def _utm_epsg(grid: SceneGrid) -> int:
    """EPSG code of the UTM zone (WGS 84) of the centre of a grid with a CRS."""
    assert grid.crs is not None
    x, y = grid.transform @ (grid.width / 2, grid.height / 2)
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    longitude, latitude = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(x, y)
    return (32600 if latitude >= 0 else 32700) + int((longitude + 180) % 360 // 6) + 1
