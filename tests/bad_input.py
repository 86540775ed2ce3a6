"""A corpus of bad and odd input: scenes, calls and models, each with what `geokd classify` must make of it.

`python -m tests.bad_input FOLDER` writes all of it for a look by hand, each case into a folder of its own.
"""

import base64
import json
import os
import shlex
import socket
import sqlite3
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.warp import transform_bounds

from geokd.legend.classes import default_legend
from geokd.model.bundle import Bundle, Golden
from geokd.model.contract import InputContract, ValueScaling
from geokd.model.onnx_file import varint
from geokd.system.recovery import WORK
from tests.tiny import CLASSES, GAIN, PATCH_PX, dense_bundle, three_fields, tiny_bundle, tiny_graph, write_scene

SIDE_PX = 48  # of the plain scene: three patches, twelve cells
WEST_M, NORTH_M = 400_000.0, 4_200_000.0
CENTRES_M = tuple((WEST_M + x, NORTH_M - 240.0) for x in (80.0, 240.0, 400.0))  # of the fields bare, meadow and lake
NOT_MAPPED = 255


@dataclass(frozen=True)
class Call:
    """What a case hands to the command; without a model or output, the tiny student and a new folder."""

    scene: Path | str
    model: Path | str | None = None
    output: Path | str | None = None
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """What came out: codes and transform of the class raster, and the manifest."""

    codes: NDArray[np.uint8]
    transform: Affine
    manifest: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One piece of bad input.

    Parameters
    ----------
    name : str
    write : callable
        Writes the input into a folder and returns the call; a path stands for a call with that scene.
    sentence : str
        Regular expression that the error matches; empty if a map is to be made.
    exit_code : int
        Of a refusal.
    check : callable
        Fails if a map is wrong.
    apart : bool
        Whether a process of its own is needed, since this one might crash, hang or run out of memory.
    marks : tuple
        For pytest: where it cannot be tried, or is not mended yet.
    """

    name: str
    write: Callable[[Path], Path | Call]
    sentence: str = ""
    exit_code: int = 1
    check: Callable[[Made], None] = field(default=lambda _: None)
    apart: bool = False
    marks: tuple[pytest.MarkDecorator, ...] = ()

    def call(self, folder: Path) -> Call:
        """Write the input into `folder`."""
        made = self.write(folder)
        return made if isinstance(made, Call) else Call(made)


# ---- What a right map is


def fields_in_place(made: Made) -> None:
    """Bare ground lies in the west, meadow in the middle, the lake in the east; all of it is mapped."""
    cols_rows = [tuple(int(n) for n in ~made.transform @ point) for point in CENTRES_M]
    assert [int(made.codes[row, col]) for col, row in cols_rows] == [0, 1, 2]
    assert (made.codes != NOT_MAPPED).all()
    areas_are_right(made)


def areas_are_right(made: Made) -> None:
    """48 x 48 pixels of 10 m are 23.04 ha."""
    assert sum(area["area_ha"] for area in made.manifest["areas"]) == pytest.approx(
        23.04, rel=1e-2
    )  # degrees: sized on a sphere


def nothing_is_mapped(made: Made) -> None:
    assert (made.codes == NOT_MAPPED).all()
    assert "no valid pixel" in " ".join(made.manifest["warnings"])


def north_is_missing(made: Made) -> None:
    """The northern third holds no data, the rest is mapped."""
    rows = len(made.codes) // 3
    assert (made.codes[:rows] == NOT_MAPPED).all()
    assert (made.codes[rows:] != NOT_MAPPED).all()


def warned_of(words: str) -> Callable[[Made], None]:
    def check(made: Made) -> None:
        assert words in " ".join(made.manifest["warnings"])

    return check


# ---- Ways to write a scene


def plain(folder: Path, name: str = "scene.tif", **profile: Any) -> Path:
    return write_scene(folder / name, three_fields(SIDE_PX, SIDE_PX), **{"photometric": "RGB"} | profile)


def scene(**profile: Any) -> Callable[[Path], Path]:
    """Write the plain scene with another profile."""
    return lambda folder: plain(folder, **profile)


def pixels(values: NDArray[Any], **profile: Any) -> Callable[[Path], Path]:
    """Write a scene of these values, named red, green and blue if there are three bands of them."""
    names = ("red", "green", "blue") if len(values) == 3 else ()
    return lambda folder: write_scene(folder / "scene.tif", values, names, **profile)


def as_type(dtype: str, factor: float = 10) -> NDArray[Any]:
    return (three_fields(SIDE_PX, SIDE_PX) * factor).astype(dtype)


def without_north(values: NDArray[Any], fill: float) -> NDArray[Any]:
    values[:, : SIDE_PX // 3] = fill
    return values


def reflectance(values: NDArray[Any], **profile: Any) -> Callable[[Path], Call]:
    return lambda folder: Call(pixels(values, **profile)(folder), arguments=("--value-scale", "1"))


def turned(arrange: Callable[[NDArray[Any]], NDArray[Any]], transform: Affine) -> Callable[[Path], Path]:
    """Write the plain scene's ground with its pixels in another order."""

    def write(folder: Path) -> Path:
        values = np.ascontiguousarray(arrange(three_fields(SIDE_PX, SIDE_PX)))
        return write_scene(folder / "scene.tif", values, transform=transform, photometric="RGB")

    return write


def edited(edit: Callable[[Any], None], **profile: Any) -> Callable[[Path], Path]:
    """Write the plain scene, then change it as an open dataset."""

    def write(folder: Path) -> Path:
        path = plain(folder, **profile)
        with rasterio.open(path, "r+") as dataset:
            edit(dataset)
        return path

    return write


def damaged(damage: Callable[[bytes], bytes], **profile: Any) -> Callable[[Path], Path]:
    """Write the plain scene, then change its bytes."""

    def write(folder: Path) -> Path:
        path = plain(folder, **profile)
        path.write_bytes(damage(path.read_bytes()))
        return path

    return write


def content(name: str, text: str | bytes) -> Callable[[Path], Path]:
    """Write a file that is no raster, or hardly one."""

    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def call(target: Path | str, *arguments: str) -> Callable[[Path], Call]:
    return lambda folder: Call(target if isinstance(target, str) else folder / target, arguments=arguments)


def geographic(west: float, north: float, crs: str = "EPSG:4326") -> Callable[[Path], Path]:
    """Write a scene of degrees whose pixels measure 10 m."""
    high = 10 / 111_195
    wide = high / max(abs(np.cos(np.radians(north))), 1e-6)
    return scene(crs=crs, transform=Affine(wide, 0, west, 0, -high, north))


def vrt(
    bands: str | None = None,
    *,
    size: tuple[int, int] = (SIDE_PX, SIDE_PX),
    place: str = "400000, 10, 0, 4200000, 0, -10",
    source: str = "source.tif",
    in_band: str = "",
    dtype: str = "Byte",
    crs: str = "EPSG:32618",
) -> Callable[[Path], Path]:
    """Write a VRT of the plain scene beside it."""

    def write(folder: Path) -> Path:
        plain(folder, "source.tif")
        each = "".join(
            f'<VRTRasterBand dataType="{dtype}" band="{band}"><Description>{name}</Description>{in_band}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{source}</SourceFilename><SourceBand>{band}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
            for band, name in enumerate(("red", "green", "blue"), 1)
        )
        path = folder / "scene.vrt"
        path.write_text(
            f'<VRTDataset rasterXSize="{size[1]}" rasterYSize="{size[0]}"><SRS>{crs}</SRS>'
            f"<GeoTransform>{place}</GeoTransform>{each if bands is None else bands}</VRTDataset>"
        )
        return path

    return write


def raw_tiff(
    width: int = SIDE_PX,
    height: int = SIDE_PX,
    data: bytes = three_fields(SIDE_PX, SIDE_PX).transpose(1, 2, 0).tobytes(),
    next_ifd: int = 0,
    **tags: int,
) -> Callable[[Path], Path]:
    """Write a TIFF byte by byte, so that it can lie: one strip of interleaved RGB, then the directory.

    `tags` are named t<number>; they replace or add to the true ones, all as 32-bit numbers.
    """
    entries: dict[int, tuple[int, list[float]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8, 8, 8]),
        259: (3, [1]),  # not compressed
        262: (3, [2]),  # RGB
        273: (4, [8]),  # the strip
        277: (3, [3]),
        278: (4, [height]),
        279: (4, [len(data)]),
        33550: (12, [10.0, 10.0, 0.0]),
        33922: (12, [0.0, 0.0, 0.0, WEST_M, NORTH_M, 0.0]),
        34735: (3, [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32618]),
    }
    entries |= {int(tag[1:]): (4, [value]) for tag, value in tags.items()}
    codes = {3: "H", 4: "I", 12: "d"}
    body = bytearray(data + b"\0" * (len(data) % 2))
    directory = struct.pack("<H", len(entries))
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}{codes[kind]}", *values)
        if len(packed) > 4:
            at, packed = 8 + len(body), packed + b"\0" * (len(packed) % 2)
            body += packed
            packed = struct.pack("<I", at)
        directory += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    tiff = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + struct.pack("<I", next_ifd)
    return content("scene.tif", tiff)


# ---- Scenes and calls with a story of their own


def rotated_by_30_degrees(folder: Path) -> Path:
    """A grid turned about the middle of the ground; a pixel takes the value of the ground beneath it."""
    side, middle = 80, (WEST_M + 240, NORTH_M - 240)
    centre = Affine.translation(*middle) @ Affine.rotation(30)
    transform = centre @ Affine.scale(10, -10) @ Affine.translation(-side / 2, -side / 2)
    rows, cols = np.mgrid[:side, :side] + 0.5
    x, y = transform @ (cols, rows)
    ground = three_fields(SIDE_PX, SIDE_PX)
    row, col = ((NORTH_M - y) // 10).astype(int), ((x - WEST_M) // 10).astype(int)
    inside = (row >= 0) & (row < SIDE_PX) & (col >= 0) & (col < SIDE_PX)
    values = np.where(inside, ground[:, row.clip(0, SIDE_PX - 1), col.clip(0, SIDE_PX - 1)], 0)
    return write_scene(folder / "scene.tif", values, transform=transform, nodata=0, photometric="RGB")


def fields_in_turned_place(made: Made) -> None:
    """As :func:`fields_in_place`, in a raster that reaches beyond the ground."""
    cols_rows = [tuple(int(n) for n in ~made.transform @ point) for point in CENTRES_M]
    assert [int(made.codes[row, col]) for col, row in cols_rows] == [0, 1, 2]
    assert (made.codes == NOT_MAPPED).any()


def gaps_and_infinities(folder: Path) -> Call:
    values = without_north(as_type("float32"), np.nan)
    values[0, 20, 20], values[1, 30, 30], values[2, 40, 40] = np.inf, -np.inf, 3e38
    return reflectance(values)(folder)


def internal_mask(folder: Path) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        return edited(lambda dataset: dataset.write_mask(np.zeros((SIDE_PX, SIDE_PX), np.bool_)))(folder)


def control_points(folder: Path) -> Path:
    path = plain(folder, crs=None, transform=None)
    corners = [(0, 0), (0, SIDE_PX), (SIDE_PX, 0), (SIDE_PX, SIDE_PX)]
    points = [GroundControlPoint(row, col, WEST_M + 10 * col, NORTH_M - 10 * row) for row, col in corners]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(32618))
    return path


def rational_polynomials(folder: Path) -> Path:
    ones = [1.0] + [0.0] * 19
    model = RPC(
        height_off=0, height_scale=1, lat_off=37, lat_scale=1, line_den_coeff=ones, line_num_coeff=ones, line_off=0,
        line_scale=1, long_off=-76, long_scale=1, samp_den_coeff=ones, samp_num_coeff=ones, samp_off=0, samp_scale=1,
    )  # fmt: skip
    return plain(folder, crs=None, transform=None, rpcs=model)


def palette(folder: Path) -> Path:
    path = write_scene(folder / "scene.tif", three_fields(SIDE_PX, SIDE_PX)[:1])
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {n: (n, 255 - n, 0, 255) for n in range(256)})
    return path


def other_colours(*names: str) -> Callable[[Path], Path]:
    """Bands of which some colours are known, but not as red, green and blue."""
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{name}</ColorInterp><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">source.tif</SourceFilename><SourceBand>{min(band, 3)}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band, name in enumerate(names, 1)
    )
    return vrt(bands)


def nodata_of_each_band(folder: Path) -> Path:
    """The fill of the north is 1 in red, 2 in green and 3 in blue, and each band says so."""
    values = three_fields(SIDE_PX, SIDE_PX)
    values[:, : SIDE_PX // 3] = np.array([1, 2, 3])[:, np.newaxis, np.newaxis]
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><NoDataValue>{band}</NoDataValue><ColorInterp>{name}'
        '</ColorInterp><SimpleSource><SourceFilename relativeToVRT="1">values.tif</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band, name in enumerate(("Red", "Green", "Blue"), 1)
    )
    write_scene(folder / "values.tif", values)
    return vrt(bands)(folder)


def huge_strip(folder: Path) -> Path:
    """A file of 6 MB whose only strip unpacks to 6.3 GB."""
    side = 46_000
    packer = zlib.compressobj(9)
    packed = packer.compress(bytes(1)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # holds by itself, so it can be repeated
    packed += again * (3 * side**2 // 2**24) + packer.compress(bytes(2**24)) + packer.flush()
    return raw_tiff(side, side, packed, t259=8)(folder)


def virtual_over(write: Callable[[Path], Path], depth: int = 1, prefix: str = "") -> Callable[[Path], Path]:
    """Write a VRT of a VRT and so on, `depth` times, of another scene; by its whole path if there is a prefix."""

    def stack(folder: Path) -> Path:
        source = write(folder).rename(folder / "stored.tif")
        for level in range(depth):
            name = f"{prefix}{source}" if prefix and level == 0 else source.name
            source = vrt(source=name)(folder).rename(folder / f"level{level}.vrt")
        return source.rename(folder / "scene.vrt")

    return stack


def huge_tile(folder: Path) -> Path:
    """A file of 4 kB whose tiles unpack to 732 MiB each, and are not there."""
    path = folder / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=20_000, height=20_000, count=3, dtype="uint8", tiled=True, sparse_ok=True,
        blockxsize=16_000, blockysize=16_000, interleave="pixel", photometric="RGB",
    ):  # fmt: skip
        return path


def sparse(folder: Path) -> Path:
    """A tiled scene of 4,000 x 4,000 pixels without a single tile."""
    path = folder / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=4_000, height=4_000, count=3, dtype="uint8", tiled=True, sparse_ok=True,
        crs="EPSG:32618", transform=Affine(10, 0, WEST_M, 0, -10, NORTH_M), nodata=0, photometric="RGB",
    ):  # fmt: skip
        return path


def coarse_stride(write: Callable[[Path], Path]) -> Callable[[Path], Call]:
    return lambda folder: Call(write(folder), arguments=("--stride", str(PATCH_PX)))


def mostly_there(folder: Path) -> Path:
    """A header, a preview and a first row of blocks that are in order, and a last one that is not."""
    path = write_scene(
        folder / "scene.tif", three_fields(2000, 64), photometric="RGB", compress="deflate", blockysize=1
    )
    whole = bytearray(path.read_bytes())
    with rasterio.open(path) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_0_1996", "TIFF", bidx=1))  # the preview does not show it
    whole[at : at + 60] = bytes(60)
    path.write_bytes(whole)
    return path


def pipe(folder: Path) -> Path:
    path = folder / "scene.tif"
    os.mkfifo(path)
    return path


def unix_socket(folder: Path) -> Path:
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("scene.tif")
    finally:
        os.chdir(here)
    return folder / "scene.tif"


def link_to_itself(folder: Path) -> Path:
    path = folder / "scene.tif"
    path.symlink_to(path)
    return path


def silent_server(folder: Path) -> Call:
    """A server that takes the call and never answers. It lives as long as this process."""
    server = socket.create_server(("127.0.0.1", 0))
    _SERVERS.append(server)
    return Call(f"http://127.0.0.1:{server.getsockname()[1]}/scene.tif")


_SERVERS: list[socket.socket] = []


def geopackage_of_points(folder: Path) -> Path:
    import pyogrio.raw
    import shapely

    path = folder / "scene.gpkg"
    pyogrio.raw.write(
        path, geometry=shapely.to_wkb(shapely.points([[4e5, 4.2e6]])), field_data=[], fields=[], crs="EPSG:32618",
        geometry_type="Point", driver="GPKG", layer="points",
    )  # fmt: skip
    return path


def database(folder: Path) -> Path:
    with sqlite3.connect(folder / "scene.tif") as made:
        made.execute("CREATE TABLE scene (pixels BLOB)")
    made.close()
    return folder / "scene.tif"


def page_by_name(folder: Path) -> Call:
    return Call(f"GTIFF_DIR:1:{plain(folder)}")


def netcdf(folder: Path) -> Path:
    """Two variables of one band each, in one file."""
    path = folder / "scene.nc"
    source = plain(folder, "source.tif")
    from rasterio.shutil import copy

    copy(source, path, driver="netCDF")
    return path


def netcdf_variable(folder: Path) -> Call:
    return Call(f"netcdf:{netcdf(folder)}:Band1")


def image(name: str, mode: str = "RGB") -> Callable[[Path], Path]:
    """A picture without any coordinates."""

    def write(folder: Path) -> Path:
        path = folder / name
        Image.fromarray(three_fields(SIDE_PX, SIDE_PX).transpose(1, 2, 0)).convert(mode).save(path)
        return path

    return write


def envi(name: str, *, header: bool = True) -> Callable[[Path], Path]:
    """Write the plain scene as an ENVI raster, interleaved by line, and name one of its files."""

    def write(folder: Path) -> Path:
        from rasterio.shutil import copy

        copy(plain(folder, "source.tif"), folder / "scene.dat", driver="ENVI", INTERLEAVE="BIL")
        for file in folder.glob("scene.*"):
            if file.suffix not in (".dat", *[".hdr"] * header):
                file.unlink()
        return folder / name

    return write


def world_file(size: float, west: float, north: float) -> Callable[[Path], Path]:
    """A picture with a world file, which has no coordinate system."""

    def write(folder: Path) -> Path:
        lines = (size, 0, 0, -size, west + size / 2, north - size / 2)
        (folder / "scene.pgw").write_text("".join(f"{line}\n" for line in lines))
        return image("scene.png")(folder)

    return write


def masked_and_scaled(folder: Path) -> Path:
    """A nodata value, scale tags and a mask in one file: the north has no data, half of it by each."""
    values = as_type("uint16")
    values[:, :4] = 0
    path = write_scene(folder / "scene.tif", values, ("red", "green", "blue"), nodata=0)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 3, (0.0,) * 3
        mask = np.ones((SIDE_PX, SIDE_PX), np.bool_)
        mask[: SIDE_PX // 3] = False
        dataset.write_mask(mask)
    return path


def scattered_fill(folder: Path) -> Path:
    values = as_type("int16")
    values[:, 5:25:2, 5:25:2] = -9999
    return pixels(values)(folder)


def damaged_overviews(folder: Path) -> Path:
    """Pixels that are in order, below an overview that is not."""
    path = write_scene(
        folder / "scene.tif", three_fields(1100, 1100), photometric="RGB", tiled=True, blockxsize=256, blockysize=256,
        compress="deflate",
    )  # fmt: skip
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    with rasterio.open(path) as dataset:
        at = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=0))
    whole = bytearray(path.read_bytes())
    whole[at : at + 60] = bytes(60)
    path.write_bytes(whole)
    return path


def bytes_as_name(folder: Path) -> Path:
    """A name that is no UTF-8."""
    path = folder / os.fsdecode(b"sc\xe8ne.tif")
    path.write_bytes(plain(folder).read_bytes())
    return path


def two_of_one_name(folder: Path) -> Call:
    (folder / "elsewhere").mkdir()
    return Call(plain(folder), arguments=(str(plain(folder / "elsewhere")),))


def output_is_a_file(folder: Path) -> Call:
    (folder / "there").write_text("a file")
    return Call(plain(folder), output=folder / "there")


def output_below_a_file(folder: Path) -> Call:
    (folder / "there").write_text("a file")
    return Call(plain(folder), output=folder / "there" / "deeper")


def output_into(path: str) -> Callable[[Path], Call]:
    return lambda folder: Call(plain(folder), output=path)


def output_named(name: str) -> Callable[[Path], Call]:
    return lambda folder: Call(plain(folder), output=folder / name)


def latin_1(folder: Path) -> Path:
    """Descriptions of bands in a coding of old."""
    path = plain(folder)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("rouge", "vert", "xxfonce")
    path.write_bytes(path.read_bytes().replace(b"xxfonce", b"fonc\xe9\xe9 "))
    return path


def unreadable(folder: Path) -> Path:
    path = plain(folder)
    path.chmod(0)
    return path


def read_only_output(folder: Path) -> Call:
    (folder / "there").mkdir(mode=0o500)
    return Call(plain(folder), output=folder / "there")


def asked(*arguments: str) -> Callable[[Path], Call]:
    """The plain scene, with options that cannot be meant."""
    return lambda folder: Call(plain(folder), arguments=arguments)


def cut_off_by(record: str) -> Callable[[Path], Call]:
    """A folder in which a run died while it moved its outputs, with this record of the moves."""

    def write(folder: Path) -> Call:
        place = folder / "maps" / WORK / ("0" * 32)
        place.mkdir(parents=True)
        claim = {"geokd_claim": 1, "host": "elsewhere", "process": 1, "outputs": ["scene_landuse.tif"]}
        (place / "claim.json").write_text(json.dumps(claim))
        (place / "moves.json").write_text(record)
        return Call(plain(folder), output=folder / "maps")

    return write


def old_journal(folder: Path) -> Call:
    (folder / "maps").mkdir()
    (folder / "maps" / ".scene.geokd-journal").write_text('{"format": 1}\n')
    return Call(plain(folder), output=folder / "maps", arguments=("--resume",))


# ---- Files that a map is made from, where its outputs would lie

MADE_FROM = "is a file that the map of .* is made from; choose another folder with -o/--output"


def source_among_outputs(folder: Path) -> Call:
    plain(folder, "scene_landuse.tif")
    return Call(vrt(source="scene_landuse.tif")(folder), None, folder, ("--overwrite",))


def json_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "item.json")
    return folder / "item.json"


def deep_json(folder: Path) -> Path:
    (folder / "item.json").write_text(200_000 * "[")
    return folder / "item.json"


def mask_among_outputs(folder: Path) -> Call:
    scene = plain(folder)
    mask = write_scene(folder / f"{scene.stem}_confidence.tif", np.zeros((1, SIDE_PX, SIDE_PX), np.uint8))
    return Call(scene, None, folder, ("--overwrite", "--mask", f"{mask}:1"))


def area_among_outputs(folder: Path) -> Call:
    scene = plain(folder)
    area = folder / f"{scene.stem}_landuse.json"
    west, south, east, north = transform_bounds("EPSG:32618", "EPSG:4326", WEST_M, NORTH_M - 300, WEST_M + 300, NORTH_M)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return Call(scene, None, folder, ("--overwrite", "--aoi", str(area)))


# ---- Models


def model_file(content: bytes) -> Callable[[Path], Call]:
    def write(folder: Path) -> Call:
        path = folder / "model.onnx"
        path.write_bytes(content)
        return Call(plain(folder), path)

    return write


def unsealed(bundle: Bundle) -> bytes:
    """The file of a bundle without its checksum, so that it can be changed."""
    return replace(bundle, sealed=False).onnx_bytes


def changed_bit(folder: Path) -> Call:
    """A bundle with one bit changed in its weights, which it could be run with."""
    whole = bytearray(tiny_bundle().onnx_bytes)
    whole[whole.index(np.float32(GAIN).tobytes())] ^= 1
    return model_file(bytes(whole))(folder)


def model_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Call]:
    """Write the tiny bundle, with other bytes."""

    def write(folder: Path) -> Call:
        return model_file(change(unsealed(tiny_bundle())))(folder)

    return write


def with_metadata(whole: bytes, document: str) -> bytes:
    """Append another `geokd` document to a bundle's file; of two, the last holds."""
    import onnx

    entry = onnx.StringStringEntryProto(key="geokd", value=document)
    return whole + bytes(onnx.ModelProto(metadata_props=[entry]).SerializeToString())


def document_of(whole: bytes) -> dict[str, Any]:
    import onnx

    (text,) = [p.value for p in onnx.load_from_string(whole).metadata_props if p.key == "geokd"]
    document: dict[str, Any] = json.loads(text)
    return document


def said(*keys: str | int, value: Any) -> Callable[[Path], Call]:
    """A bundle of which one entry of the metadata says something else."""

    def write(folder: Path) -> Call:
        whole = unsealed(tiny_bundle())
        document = document_of(whole)
        place: Any = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return model_file(with_metadata(whole, json.dumps(document)))(folder)

    return write


def of_dense(changes: dict[str, Any]) -> Callable[[Path], Call]:
    """A bundle of a dense student whose input is another than its file says."""

    def write(folder: Path) -> Call:
        whole = unsealed(dense_bundle())
        document = document_of(whole)
        document["input"] |= changes
        return model_file(with_metadata(whole, json.dumps(document)))(folder)

    return write


def run_folder(folder: Path) -> Call:
    (folder / "run.json").write_text("{}")
    return Call(plain(folder), folder)


def metadata_text(change: Callable[[str], str]) -> Callable[[Path], Call]:
    """A bundle whose metadata are another text, which need not be JSON."""

    def write(folder: Path) -> Call:
        whole = unsealed(tiny_bundle())
        return model_file(with_metadata(whole, change(json.dumps(document_of(whole)))))(folder)

    return write


def graph(change: Callable[[Any], None]) -> Callable[[Path], Call]:
    """A bundle with a changed network."""

    def write(folder: Path) -> Call:
        import onnx

        network = onnx.load_from_string(tiny_graph())
        change(network)
        return model_file(tiny_bundle(network.SerializeToString()).onnx_bytes)(folder)

    return write


def weights_elsewhere(location: str) -> Callable[[Any], None]:
    def change(network: Any) -> None:
        import onnx

        weights = network.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("length", "36")):
            weights.external_data.add(key=key, value=value)

    return change


def constant_elsewhere(network: Any) -> None:
    """The same, hidden in a node instead of among the weights."""
    import onnx

    weights = network.graph.initializer.pop()
    weights_elsewhere("/etc/passwd")(type("Network", (), {"graph": type("Graph", (), {"initializer": [weights]})}))
    network.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["weights"], value=weights))


def endless_weights(network: Any) -> None:
    weights = network.graph.initializer[0]
    del weights.dims[:]
    weights.dims.extend([2**40, 2**20])


def unpacks_to(size_bytes: int) -> Callable[[Any], None]:
    """A constant of so many bytes, made of 16 while the network is loaded."""

    def change(network: Any) -> None:
        import onnx

        shape = onnx.numpy_helper.from_array(np.array([1024, size_bytes // 4096], np.int64), "shape")
        network.graph.initializer.append(shape)
        network.graph.node.insert(0, onnx.helper.make_node("ConstantOfShape", ["shape"], ["many"]))
        network.graph.node.insert(1, onnx.helper.make_node("ReduceSum", ["many"], ["one"], keepdims=0))
        network.graph.node[-1].input.append("one")

    return change


def unpacks_by_its_input(network: Any) -> None:
    """A constant of 4 TB for each step of brightness; nothing for black pixels, with which a model is tried."""
    import onnx

    node = onnx.helper.make_node
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**40], np.int64), "many of each"))
    nodes = [
        node("ReduceMax", ["floats"], ["top"], keepdims=0),
        node("Cast", ["top"], ["steps"], to=onnx.TensorProto.INT64),
        node("Mul", ["steps", "many of each"], ["count"]),
        node("ConstantOfShape", ["count"], ["many"]),
        node("ReduceSum", ["many"], ["one"], keepdims=0),
    ]
    for place, each in enumerate(nodes, 1):
        network.graph.node.insert(place, each)
    network.graph.node[-1].input.append("one")


def endless_loop(network: Any) -> None:
    """A loop of 2**62 rounds that does nothing."""
    import onnx

    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    body = onnx.helper.make_graph(
        [node("Identity", ["going"], ["goes on"]), node("Identity", ["before"], ["after"])],
        "body",
        [value("round", 7, []), value("going", 9, []), value("before", 1, [])],
        [value("goes on", 9, []), value("after", 1, [])],
    )
    for name, number in (("rounds", np.int64(2**62)), ("yes", np.bool_(True)), ("nought", np.float32(0))):
        network.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(number), name))
    network.graph.node.insert(0, node("Loop", ["rounds", "yes", "nought"], ["end"], body=body))
    network.graph.node[-1].input.append("end")


def functions_that_multiply(network: Any) -> None:
    """Thirty functions, each of which calls the one before twice: 2**30 operators."""
    import onnx

    node, opsets = onnx.helper.make_node, [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("ai.onnx", 1)]
    name, inner = "", "Identity"
    for level in range(30):
        name = f"F{level}"
        body = [node(inner, ["x"], ["y"]), node(inner, ["y"], ["z"])]
        network.functions.append(onnx.helper.make_function("ai.onnx", name, ["x"], ["z"], body, opsets))
        inner = name
    network.graph.node.insert(1, node(name, ["floats"], ["same"], domain="ai.onnx"))
    network.graph.node[2].input[0] = "same"


def a_condition(network: Any) -> None:
    """An `If` with a graph for yes and one for no."""
    import onnx

    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
    parts = [onnx.helper.make_graph([node("Identity", ["means"], ["m"])], "g", [], [value("m", 1, None)])] * 2
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(True), "yes"))
    network.graph.node.insert(3, node("If", ["yes"], ["chosen"], then_branch=parts[0], else_branch=parts[1]))
    network.graph.node[-1].input[0] = "chosen"


def hours_of_work(network: Any) -> None:
    """A power of a large matrix, from 100 bytes: each product takes seconds."""
    import onnx

    node = onnx.helper.make_node
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.array([6000, 6000], np.int64), "size"))
    products = [node("MatMul", [f"p{n}", "p0"], [f"p{n + 1}"]) for n in range(1000)]
    end = [node("ReduceMax", ["p1000"], ["most"], keepdims=0), node("Add", ["floats", "most"], ["more"])]
    for number, made in enumerate([node("ConstantOfShape", ["size"], ["p0"]), *products, *end], 1):
        network.graph.node.insert(number, made)
    network.graph.node[-3].input[0] = "more"


def behind_a_large_number(whole: bytes) -> bytes:
    """A graph with a loop in a field whose number others cut off to that of the graph."""
    import onnx

    network = onnx.load_from_string(tiny_graph())
    endless_loop(network)
    loop: bytes = network.graph.SerializeToString()
    return whole + varint((7 << 3 | 2) + 2**32) + varint(len(loop)) + loop


def two_networks(whole: bytes) -> bytes:
    """Of two graphs in a file, readers put the parts together."""
    return tiny_graph() + whole


def made_of(source: Callable[[Path], str], depth: int = 0) -> Callable[[Path], Path]:
    """A virtual raster of the plain scene's size, with another source; or a virtual raster of such ones."""

    def write(folder: Path) -> Path:
        named = source(folder)
        for level in range(depth + 1):
            path = folder / f"scene{level}.vrt"
            bands = "".join(
                f'<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">'
                f"{named}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
                for band in (1, 2, 3)
            )
            path.write_text(f'<VRTDataset rasterXSize="{SIDE_PX}" rasterYSize="{SIDE_PX}">{bands}</VRTDataset>')
            named = path.name
        return path

    return write


def a_pipe_beside(folder: Path) -> str:
    os.mkfifo(folder / "pipe.tif")
    return "pipe.tif"


def long_name(folder: Path) -> Path:
    return plain(folder, f"{'a' * 240}.tif")


def unknown_operator(network: Any) -> None:
    network.graph.node[1].op_type = "Exfiltrate"


def two_inputs(network: Any) -> None:
    network.graph.input.append(network.graph.input[0])
    network.graph.input[1].name = "more"


def answers_no_number(network: Any) -> None:
    """Logits that are NaN: 0 x the logarithm of 0."""
    import onnx

    weights = onnx.numpy_helper.to_array(network.graph.initializer[0]) * np.nan
    network.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "weights"))


def answers_some(network: Any) -> None:
    """Logits of black patches alone, which is what a blank batch is made of."""
    import onnx

    node = onnx.helper.make_node
    network.graph.node[-1].output[0] = "all"
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "across"))
    network.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    network.graph.node.extend(
        [
            node("ReduceMax", ["all", "across"], ["most"], keepdims=0),
            node("Less", ["most", "half"], ["black"]),
            node("Compress", ["all", "black"], ["logits"], axis=0),
        ]
    )


def other_contract(contract: InputContract) -> Callable[[Path], Call]:
    """A bundle that is sound in itself, but of another shape than the network in it."""

    def write(folder: Path) -> Call:
        shape = (4, len(contract.bands), contract.patch_px, contract.patch_px)
        golden = Golden(np.zeros(shape, np.uint8), np.zeros((4, 3), np.float32))
        return model_file(replace(tiny_bundle(), contract=contract, golden=golden).onnx_bytes)(folder)

    return write


def more_classes(folder: Path) -> Call:
    golden = Golden(np.zeros((4, 3, PATCH_PX, PATCH_PX), np.uint8), np.zeros((4, 4), np.float32))
    bundle = replace(tiny_bundle(), legend=default_legend([*CLASSES, "forest"]), golden=golden)
    return model_file(bundle.onnx_bytes)(folder)


def huge_model(folder: Path) -> Call:
    """3 GB of nothing that take no room on the disk."""
    path = folder / "model.onnx"
    with path.open("wb") as made:
        made.truncate(3 * 2**30)
    return Call(plain(folder), path)


def model_is(path: str) -> Callable[[Path], Call]:
    return lambda folder: Call(plain(folder), path)


def model_folder(folder: Path) -> Call:
    (folder / "model.onnx").mkdir()
    return Call(plain(folder), folder / "model.onnx")


NOT_AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
LEAST = float(np.finfo(np.float32).min)
EQUAL_AREA = "+proj=laea +lat_0=0 +lon_0=0 +datum=WGS84"
TOO_LONG = "x" * 300
BROKEN = "the bundle .* is broken: "

# fmt: off
CASES = [
    # Grids
    Case("plain", scene(), check=fields_in_place),
    Case("south up", turned(lambda v: v[:, ::-1], Affine(10, 0, WEST_M, 0, 10, NORTH_M - 480)), check=fields_in_place),
    Case("east left", turned(lambda v: v[:, :, ::-1], Affine(-10, 0, WEST_M + 480, 0, -10, NORTH_M)),
         check=fields_in_place),
    Case("upside down", turned(lambda v: v[:, ::-1, ::-1], Affine(-10, 0, WEST_M + 480, 0, 10, NORTH_M - 480)),
         check=fields_in_place),
    Case("rows are columns", turned(lambda v: v.transpose(0, 2, 1), Affine(0, 10, WEST_M, -10, 0, NORTH_M)),
         check=fields_in_place),
    Case("rotated by 30 degrees", rotated_by_30_degrees, check=fields_in_turned_place),
    Case("skewed", scene(transform=Affine(10, 6, WEST_M, 0, -8, NORTH_M)), "pixels are not rectangles"),
    Case("pixels without height", scene(transform=Affine(10, 0, WEST_M, 10, 0, NORTH_M)), "onto a line"),
    Case("pixels of 1e-300 m", scene(transform=Affine(1e-300, 0, WEST_M, 0, -1e-300, NORTH_M)), "unusable grid"),
    Case("pixels of 1e-150 m", scene(transform=Affine(1e-150, 0, WEST_M, 0, -1e-150, NORTH_M)), "pixels measure"),
    Case("pixels of 1e300 m", scene(transform=Affine(1e300, 0, WEST_M, 0, -1e300, NORTH_M)), "unusable grid"),
    Case("pixels of 10 by 1 m", scene(transform=Affine(10, 0, WEST_M, 0, -1, NORTH_M)), "pixels measure 10 x 1 m"),
    Case("place is NaN", vrt(place="nan, 10, 0, nan, 0, -10"), "unusable grid"),
    Case("place is 1e300", vrt(place="1e300, 10, 0, 1e300, 0, -10"), "place"),
    Case("place is nowhere in the zone", vrt(place="9e9, 10, 0, 9e9, 0, -10"), "place"),
    Case("no transform", scene(transform=None), "no geotransform"),
    Case("1 pixel", lambda f: write_scene(f / "scene.tif", three_fields(1, 1), photometric="RGB")),
    Case("1 x 100,000 pixels",
         coarse_stride(lambda f: write_scene(f / "scene.tif", three_fields(1, 100_000), photometric="RGB"))),
    Case("100,000 x 1 pixels",
         coarse_stride(lambda f: write_scene(f / "scene.tif", three_fields(100_000, 1), photometric="RGB"))),

    # Coordinate reference systems
    Case("no CRS", scene(crs=None), "no coordinate reference system"),
    Case("degrees", geographic(-76.0, 37.9), check=areas_are_right),
    Case("degrees of another datum", geographic(-76.0, 37.9, "EPSG:4267"), check=areas_are_right),
    Case("degrees, turned", lambda f: write_scene(
        f / "scene.tif", three_fields(SIDE_PX, SIDE_PX).transpose(0, 2, 1), photometric="RGB", crs="EPSG:4326",
        transform=Affine(0, 20 / 111_195, 10, -10 / 111_195, 0, 60)), check=areas_are_right),
    Case("grads", lambda f: plain(
        f, crs="EPSG:4807", transform=Affine(1e-4 * 2**0.5, 0, 0, 0, -1e-4, 50)), check=areas_are_right),
    Case("across the antimeridian", geographic(179.998, -17.0), check=areas_are_right),
    Case("beyond the north pole", geographic(10.0, 95.0), "latitude"),
    Case("at the north pole", geographic(10.0, 90.0), "latitude|pixels measure"),
    Case("latitude of 1e300", scene(crs="EPSG:4326", transform=Affine(1e-4, 0, 10, 0, -1e-4, 1e300)), "latitude"),
    Case("feet", scene(crs="EPSG:2263", transform=Affine(32.8083, 0, 980_000, 0, -32.8083, 200_000)),
         check=areas_are_right),
    Case("feet taken for metres", scene(crs="EPSG:2263", transform=Affine(10, 0, 980_000, 0, -10, 200_000)),
         "pixels measure 3.048 x 3.048 m"),
    Case("Mercator of the web", scene(crs="EPSG:3857", transform=Affine(10, 0, 0, 0, -10, 6_000_000)),
         "distorts areas .* times here"),
    Case("custom CRS", scene(crs="+proj=laea +lat_0=37 +lon_0=-76 +ellps=GRS80 +units=m",
                             transform=Affine(10, 0, 0, 0, -10, 0)), check=areas_are_right),
    Case("engineering CRS", scene(crs='LOCAL_CS["site grid",UNIT["metre",1]]'), "coordinate reference system"),
    Case("geocentric CRS", scene(crs="EPSG:4978"), "coordinate reference system"),
    Case("CRS of the Moon", scene(crs="+proj=longlat +R=1737400 +no_defs",
                                  transform=Affine(1e-4, 0, 10, 0, -1e-4, 0)), "not for the Earth"),
    Case("heights instead of places", scene(crs="EPSG:5703"), "coordinate reference system"),
    Case("CRS and heights", scene(crs="EPSG:32618+5703"), check=fields_in_place),
    Case("control points only", control_points, "control points.*gdalwarp"),
    Case("rational polynomials only", rational_polynomials, "polynomial.*gdalwarp"),

    # Values
    Case("NaN and infinities", gaps_and_infinities, check=north_is_missing),
    Case("nodata is NaN", reflectance(without_north(as_type("float32"), np.nan), nodata=np.nan),
         check=north_is_missing),
    Case("all NaN", reflectance(np.full((3, 48, 48), np.nan, np.float32)), check=nothing_is_mapped),
    Case("all nodata", pixels(np.zeros((3, 48, 48), np.uint8), nodata=0),
         check=nothing_is_mapped),
    Case("nodata outside of the type", vrt(in_band="<NoDataValue>-9999</NoDataValue>"), check=fields_in_place),
    Case("nodata is NaN, values are integers", vrt(in_band="<NoDataValue>nan</NoDataValue>"), check=fields_in_place),
    Case("nodata is infinite", reflectance(without_north(as_type("float64"), np.inf), nodata=np.inf),
         check=north_is_missing),
    Case("nodata at the end of the type",
         reflectance(without_north(as_type("float32"), LEAST),
                     nodata=LEAST), check=north_is_missing),
    Case("nodata of each band", nodata_of_each_band, check=north_is_missing),
    Case("mask is all zero", internal_mask, check=nothing_is_mapped),
    Case("float64", reflectance(as_type("float64")), check=fields_in_place),
    Case("float64 without a unit", pixels(as_type("float64")), "unit is unknown"),
    Case("int8", pixels(as_type("int8", 0.5))),
    Case("int16", pixels(as_type("int16")), check=fields_in_place),
    Case("int64", pixels(as_type("int64")), check=fields_in_place),
    Case("int64, nodata", pixels(without_north(as_type("int64"), -9999), nodata=-9999), check=north_is_missing),
    Case("uint64", pixels(as_type("uint64")), check=fields_in_place),
    Case("uint64, nodata at the end", vrt(in_band="<NoDataValue>18446744073709551615</NoDataValue>", dtype="UInt64"),
         check=fields_in_place),
    Case("complex", pixels(as_type("complex64")), "values are complex64"),
    Case("complex integers", vrt(dtype="CInt16"), "values are complex"),
    Case("1 bit a pixel", pixels(three_fields(48, 48) // 128, nbits=1), check=warned_of("black")),
    Case("12 bits a pixel", pixels(as_type("uint16"), nbits=12), check=fields_in_place),
    Case("scale tag is NaN", vrt(in_band="<Scale>nan</Scale>", dtype="UInt16"), "--value-scale"),
    Case("scale tag is 0", vrt(in_band="<Scale>0</Scale>", dtype="UInt16"), "scale 0 must be"),
    Case("all zero, no nodata", pixels(np.zeros((3, 48, 48), np.uint8)), check=warned_of("0 in all bands")),

    Case("nodata, scale tags and a mask", masked_and_scaled, check=north_is_missing),
    Case("fill all over, no nodata", scattered_fill, check=warned_of("4 % of the pixels are -9999 in all bands")),
    Case("values beyond the stretch", pixels(as_type("uint16", 250.0)), check=warned_of("upper end of the stretch")),
    Case("values before the stretch", lambda f: Call(
        pixels(as_type("float32", 1e-3))(f), arguments=("--value-scale", "1")), check=warned_of("nearly black")),

    # Bands
    Case("1 band", pixels(three_fields(48, 48)[:1]), "it has 1 band"),
    Case("200 bands", pixels(np.repeat(three_fields(48, 48)[:1], 200, axis=0)), "--bidx"),
    Case("200 bands, 3 named", lambda f: Call(
        pixels(np.concatenate([three_fields(48, 48)] * 67)[:200])(f), arguments=("--bidx", "1,2,3")),
        check=fields_in_place),
    Case("65,535 bands", raw_tiff(1, 1, bytes(65_535), t277=65_535, t258=8, t262=1), "--bidx", apart=True),
    Case("palette", palette, "-expand rgb"),
    Case("infrared, red, green", other_colours("NIR", "Red", "Green"), "--bidx"),
    Case("printer's inks", other_colours("Cyan", "Magenta", "Yellow", "Black"), "--bidx"),
    Case("hue and lightness", other_colours("Hue", "Saturation", "Lightness"), "--bidx"),

    # Files that are no TIFF, or lie
    Case("empty file", content("scene.tif", ""), "is not a raster"),
    Case("text", content("scene.tif", "to be done\n"), "is not a raster"),
    Case("JPEG without coordinates", image("scene.jpg"), "no coordinate reference system"),
    Case("PNG without coordinates", image("scene.png"), "no coordinate reference system"),
    Case("PNG of a palette", image("scene.png", "P"), "no coordinate reference system"),
    Case("PNG with alpha", image("scene.png", "RGBA"), "no coordinate reference system"),
    Case("PNG with a world file", world_file(10, WEST_M, NORTH_M), "no coordinate .* -a_srs EPSG:32618 "),
    Case("PNG with a world file in degrees", world_file(1e-4, -76, 38), "no coordinate .* -a_srs EPSG:4326 "),
    Case("ENVI raster", envi("scene.dat"), check=fields_in_place),
    Case("header of an ENVI raster", envi("scene.hdr"), "is the header of a raster, .* its pixels .scene.dat.$"),
    Case("ENVI raster without its header", envi("scene.dat", header=False),
         "scene.dat is not a raster that GDAL can open: its format is not known"),
    Case("download that was not finished", content("scene.tif.crdownload", "II*"), "not finished .*download the file"),
    Case("shapefile", content("scene.shp", "x"), "is a vector file, not a raster; .* with --aoi"),
    Case("folder of an archive", lambda f: content("scene.zip", "x")(f).parent, r"name an archive in it .scene\.zip.$"),
    Case("folder of rasters", lambda f: (plain(f, "a.tif"), plain(f, "b.tif"))[0].parent,
         r"name a raster in it .a\.tif, b\.tif., or one for each band with --bands"),
    Case("picture named .tif", image("scene.webp"), "no coordinate reference system"),
    Case("SQLite database", database, "is not a raster"),
    Case("GeoPackage of points", geopackage_of_points, "is a vector file, not a raster; an area"),
    Case("whole TIFF, written by hand", raw_tiff(), check=fields_in_place),
    Case("header cut short", damaged(lambda b: b[:100]), "is not a raster"),
    Case("pixels cut short", damaged(lambda b: b[:-3000]), "cannot read .* truncated"),
    Case("last block is damaged", mostly_there, "cannot read .* truncated"),
    Case("damaged overview", damaged_overviews, "cannot read .*: its block in row 0, column 0 is damaged; it may"),
    Case("width of 0", raw_tiff(0), "is not a raster"),
    Case("width of 4,294,967,295", raw_tiff(2**32 - 1), "is not a raster", apart=True),
    Case("more rows than bytes", raw_tiff(height=10_000_000), "cannot read|is not a raster|too large", apart=True),
    Case("strip lies past the end", raw_tiff(t273=2**31), "cannot read|is not a raster", apart=True),
    Case("strip without bytes", raw_tiff(t279=0), check=fields_in_place),
    Case("unknown compression", raw_tiff(t259=31_337), "is not a raster|cannot read"),
    Case("compression that does not hold", raw_tiff(t259=8), "cannot read"),
    Case("7 bits a pixel", raw_tiff(t258=7)),
    Case("tiles of 2**30 pixels", raw_tiff(t322=2**30, t323=2**30), "is not a raster|decompressed", apart=True),
    Case("directory that follows itself", raw_tiff(next_ifd=8), "cannot be read|cannot read", apart=True),
    Case("strip of 6 GB in 6 MB", huge_strip, "decompressed", apart=True),
    Case("sparse", coarse_stride(sparse), check=nothing_is_mapped, apart=True),
    Case("sparse, 10**12 pixels", vrt(size=(10**6, 10**6), crs=EQUAL_AREA, place="-5e6, 10, 0, 5e6, 0, -10"),
         "cells", 2, apart=True),
    Case("sparse, 4 * 10**18 pixels", vrt(
        size=(2**31 - 1, 2**31 - 1), crs=EQUAL_AREA, place="-1.07e10, 10, 0, 1.07e10, 0, -10"), "cells|outside its",
        apart=True),

    # Virtual rasters
    Case("VRT", vrt(), check=fields_in_place),
    Case("VRT of another folder", lambda f: vrt(source=str(plain(f, "other.tif").resolve()))(f),
         check=fields_in_place),
    Case("VRT that points nowhere", vrt(source="gone.tif"), "cannot read .*gone.tif"),
    Case("VRT that points at no raster", vrt(source="/etc/passwd"), "cannot read .*passwd"),
    Case("VRT of itself", vrt(source="scene.vrt"), "cannot read|is not a raster", apart=True),
    Case("VRT of a server that is not there", vrt(source="/vsicurl/http://127.0.0.1:9/a.tif"), "cannot read"),
    Case("VRT with a program", vrt(
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionLanguage>Python'
        "</PixelFunctionLanguage><PixelFunctionType>f</PixelFunctionType><PixelFunctionCode>import os; os.abort()\n"
        "def f(*a, **k): os.abort()</PixelFunctionCode></VRTRasterBand>"),
        "is not a raster|does not fit|cannot read", apart=True),
    Case("VRT of a strip of 6 GB", virtual_over(huge_strip), "its source .*stored.tif .* decompressed", apart=True),
    Case("VRT of a VRT of a strip of 6 GB", virtual_over(huge_strip, 3), "its source .*stored.tif .* decompressed",
         apart=True),
    Case("VRT of a strip of 6 GB by a virtual path", virtual_over(huge_strip, prefix="GTIFF_DIR:1:"),
         "its source GTIFF_DIR:1:.*stored.tif .* decompressed", apart=True),
    Case("VRT of a tile of 732 MiB that is part of a file", virtual_over(huge_tile, prefix="/vsisubfile/0,"),
         "its source /vsisubfile/0,.*stored.tif .* decompressed", apart=True),
    Case("VRT of VRTs of a scene that is in order", virtual_over(plain, 3), check=fields_in_place),
    Case("VRT of half a text", content("scene.vrt", "<VRTDataset rasterXSize='48'"), "is not a raster"),
    Case("VRT without bands", vrt(""), "is not a raster"),
    Case("VRT of no size", vrt(size=(0, 0)), "is not a raster"),

    # Names and places
    Case("spaces, quotes, letters of all kinds", scene(name="żółw 'n' \"地図\" $(x) `y`; #1.tif"),
         check=fields_in_place),
    Case("remedy for a name with a quote", scene(name="o'neill; rm x.tif", crs=None),
         r"""EPSG:32618 '[^ ]*o'"'"'neill; rm x.tif'"""),
    Case("newline and bell in the name", scene(name="a\nb\ac.tif"), "control characters", 2),
    Case("bytes as name", bytes_as_name, "not UTF-8", 2),
    Case("name too long", call(TOO_LONG + ".tif"), "no such file", 2),
    Case("nothing there", call(Path("gone.tif")), "no such file", 2),
    Case("empty path", call(""), "no such file", 2),
    Case("a folder", lambda folder: folder, "holds no product that is known"),
    Case("a pipe", pipe, "neither a file nor a folder", 2, apart=True),
    Case("standard input", call("/vsistdin/"), "standard input, which can be read only once", 2, apart=True),
    Case("virtual raster of a pipe", made_of(a_pipe_beside), "refers to .*pipe.tif, which is", 2, apart=True),
    Case("virtual raster of one of a pipe", made_of(a_pipe_beside, 2), "refers to .*pipe.tif", 2, apart=True),
    Case("virtual raster of standard input", made_of(lambda _: "/vsistdin/"), "refers to /vsistdin/", 2, apart=True),
    Case("scene with too long a name", long_name, "too long a name for this disk .*; give the scene", 2),
    Case("a socket", unix_socket, "neither a file nor a folder", 2, apart=True),
    Case("a device", call("/dev/zero"), "neither a file nor a folder", 2, apart=True),
    Case("a link to itself", link_to_itself, "no such file", 2),
    Case("page of a TIFF", page_by_name, check=fields_in_place),
    Case("page that is not there", lambda f: Call(f"GTIFF_DIR:9:{plain(f)}"), "is not a raster"),
    Case("netCDF, one variable", netcdf_variable, "it has 1 band"),
    Case("netCDF", netcdf, "name one of them"),
    Case("no server", call("http://127.0.0.1:9/scene.tif"), "is not a raster"),
    Case("unknown protocol", call("gopher://127.0.0.1/scene.tif"), "is not a raster|no such file"),
    Case("server that never answers", silent_server, "is not a raster.*too slow"),
    Case("archive that is not there", call("/vsizip/gone.zip/scene.tif"), "is not a raster"),
    Case("letters of another time", latin_1, "header .* cannot be read"),
    Case("output named by bytes", output_named(os.fsdecode(b"\xe8")), check=fields_in_place),
    Case("output of two lines", output_named("a\nb"), check=fields_in_place),
    Case("two of one name", two_of_one_name, "would both be written", 2),
    Case("output is a file", output_is_a_file, "is a file, not a folder", 2),
    Case("output below a file", output_below_a_file, "cannot write into"),
    Case("output where nobody may write", output_into("/proc/maps-of-mine"), "cannot write into"),
    Case("output of a name too long", output_into("/tmp/" + TOO_LONG), "cannot write into"),
    Case("unreadable scene", unreadable, "Permission denied", marks=(NOT_AS_ROOT,)),
    Case("output is read-only", read_only_output, "cannot write into", marks=(NOT_AS_ROOT,)),

    # Models
    Case("stride that does not divide", asked("--stride", "5"), "a stride of 5 px does not divide .*; take one of", 2),
    Case("confidence of no class", asked("--min-confidence-of", "sea=0.5"),
         "--min-confidence-of names .*; the model's classes are bare, meadow, lake", 2),
    Case("condition without an area", asked("--where", "a = 1"), "--where selects features of --aoi FILE", 2),
    Case("area and box", asked("--aoi", "a.gpkg", "--bbox", "0,0,1,1"), "--aoi and --bbox both give an area", 2),
    Case("mask of words", asked("--mask", "scene.tif:cloud"), "no such file: scene.tif:cloud", 2),
    Case("date of no day", asked("--acquired", "yesterday"), "'yesterday' is not a date such as 2016-01-12", 2),
    Case("date of another age", asked("--acquired", "1492-10-12"), "'1492-10-12' is not within the years", 2),
    Case("end before start", asked("--acquired", "2020-01-02/2020-01-01"), "it ends, .*, before it starts", 2),
    Case("record of moves that is damaged", cut_off_by("{"), "moves.json is damaged, the record of a run that was"),
    Case("record of moves to elsewhere", cut_off_by('{"old": ["../../../scene.tif"], "new": {}}'), "moves.json is dam"),
    Case("journal of another version", old_journal, "is not a journal of this version of geokd; start again with", 2),
    Case("no model", model_is("gone.onnx"), "neither a file nor one of the bundles"),
    Case("model with a name too long", model_is(TOO_LONG), "neither a file nor one of the bundles"),
    Case("model is a folder", model_folder, "neither a file nor one of the bundles"),
    Case("model is a text", model_file(b"hello"), "is not an ONNX file"),
    Case("model cut short", model_bytes(lambda b: b[:-100]), "is not an ONNX file"),
    Case("source of a virtual raster among the outputs", source_among_outputs, MADE_FROM, 2),
    Case("STAC item that is a pipe", json_pipe, "is neither a file nor a folder, but a pipe", 2, apart=True),
    Case("STAC item nested too deeply", deep_json, "is not a raster that GDAL can open"),
    Case("mask among the outputs", mask_among_outputs, MADE_FROM, 2),
    Case("area among the outputs", area_among_outputs, MADE_FROM, 2),
    Case("model with a changed bit", changed_bit, "does not match its checksum; copy or export it again"),
    Case("model without metadata", model_bytes(lambda _: tiny_graph()), "not a geokd bundle"),
    Case("model of 3 GB", huge_model, "bytes", apart=True),
    Case("model of another patch", other_contract(InputContract(("red", "green", "blue"), 8, 10.0, ValueScaling())),
         "does not fit"),
    Case("model of 4 bands", other_contract(InputContract(("red", "green", "blue", "nir"), 16, 10.0, ValueScaling())),
         "does not fit"),
    Case("model of 4 classes", more_classes, "does not fit"),
    Case("metadata: not UTF-8", model_bytes(lambda b: b.replace(b'"name": "tiny"', b'"name": "t\xffny"')),
         "is not an ONNX file|broken"),
    Case("metadata: a list", metadata_text(lambda _: "[]"), BROKEN + "its schema_version"),
    Case("metadata: 100,000 brackets", metadata_text(lambda _: "[" * 100_000), BROKEN, apart=True),
    Case("metadata: NaN", said("provenance", value={"accuracy": float("nan")}), BROKEN),
    Case("metadata: half a letter", said("name", value="\ud800"), BROKEN),
    Case("metadata: a number of 400 digits", said("temperature", value=10**400), BROKEN),
    Case("metadata: chips without end", said("familiarity", value={
        "chips": 1e999, "mean": [0] * 6, "covariance": np.eye(6).tolist(), "distance_limit": 1,
        "brightness_limits": [0, 1], "marks": [[0, 1]] * 5, "confidence_limit": 0}), BROKEN),
    Case("metadata: bands are numbers", said("input", "bands", value=[1, 2, 3]), BROKEN),
    Case("metadata: bands are one word", said("input", "bands", value="rgb"), BROKEN),
    Case("metadata: patch of 16.0 pixels", said("input", "patch_px", value=16.0), BROKEN),
    Case("metadata: resolution is a text", said("input", "ground_resolution_m", value="10"), BROKEN),
    Case("metadata: resolution is true", said("input", "ground_resolution_m", value=True), BROKEN),
    Case("metadata: value of a class is 0.0", said("legend", 0, "value", value=0.0), BROKEN),
    Case("metadata: title is a number", said("legend", 0, "title", value=7), BROKEN),
    Case("metadata: title clears the screen", said("legend", 0, "title", value="\x1b[2Jlake"), BROKEN),
    Case("metadata: title of two lines", said("legend", 0, "title", value="lake\nError: none"), BROKEN),
    Case("metadata: name rings", said("name", value="tiny\a"), BROKEN),
    Case("metadata: temperature of 1e-300", said("temperature", value=1e-300), BROKEN),
    Case("metadata: golden bomb", said("golden", value={
        "shape": [4, 3, 16, 16], "logits": [[0, 0, 0]] * 4,
        "pixels_zlib_base64": base64.b64encode(zlib.compress(bytes(10**8))).decode()}), BROKEN + "golden input"),
    Case("metadata: golden of 10**12 bytes", said("golden", "shape", value=[1000, 1000, 1000, 1000]),
         BROKEN + "golden input"),
    Case("metadata: provenance is a text", said("provenance", value="home"), BROKEN),
    Case("weights in /etc/passwd", graph(weights_elsewhere("/etc/passwd")), "other file"),
    Case("weights beside it", graph(weights_elsewhere("weights.bin")), "other file"),
    Case("weights in memory", graph(weights_elsewhere("*/_ORT_MEM_ADDR_/*")), "other file", apart=True),
    Case("a constant in /etc/passwd", graph(constant_elsewhere), "other file"),
    Case("weights of 2**62 bytes", graph(endless_weights), "cannot load", apart=True),
    Case("network that unpacks to 1 TB", graph(unpacks_to(2**40)), "needs more memory than the .* GiB", apart=True),
    Case("network that unpacks to more than half of what is left of 6 GiB", graph(unpacks_to(7 * 2**29)),
         "needs more memory than the .* GiB", apart=True),
    Case("network that unpacks to 1 PB by its input", graph(unpacks_by_its_input), "needs more memory than is",
         apart=True),
    Case("network that never ends", graph(endless_loop), "run endlessly", apart=True),
    Case("network with a condition", graph(a_condition), "subgraph, such as Loop or If"),
    Case("functions that multiply", graph(functions_that_multiply), "has functions", apart=True),
    Case("network that takes hours", graph(hours_of_work), "more than 6 s of processor time", apart=True),
    Case("loop behind a large number", model_bytes(behind_a_large_number), "is not an ONNX file: byte", apart=True),
    Case("two networks in a file", model_bytes(two_networks), "twice in a model"),
    Case("model in the format of ONNX Runtime", model_bytes(lambda b: bytes([24, 0, 0, 0]) + b"ORTM" + b),
         "is not an ONNX file"),
    Case("metadata: a value is left over", said("input", "bits", value=8), BROKEN + "the input contract has the keys"),
    Case("metadata: no bands", said("input", "bands", value=[]), BROKEN),
    Case("metadata: a band twice", said("input", "bands", value=["B04", "B04", "B02"]),
         BROKEN + "bands .* must be named and distinct"),
    Case("metadata: bands are a table", said("input", "bands", value={"B04": 1}), BROKEN + "bands .* must be a list"),
    Case("metadata: patch of 7 pixels", said("input", "patch_px", value=7),
         BROKEN + "patch_px 7 is not an integer within 8..4096"),
    Case("metadata: pixels of 16 bits", said("input", "data_type", value="uint16"), BROKEN + ".* data_type uint8"),
    Case("metadata: scaling by logarithm", said("input", "value_scaling", "type", value="log"),
         BROKEN + "value_scaling must be of type min-max"),
    Case("metadata: scaling of an empty range", said("input", "value_scaling", "maximum", value=0.0),
         BROKEN + "value scaling from .* is an empty range"),
    Case("metadata: scaling beyond a byte", said("input", "value_scaling", "output_maximum", value=256.0),
         BROKEN + "value scaling to .* is not within 0..255"),
    Case("metadata: a margin without cells", said("input", "margin_px", value=2), BROKEN + "the input contract"),
    *[Case(f"metadata of a dense student: {name}", of_dense(change), BROKEN + sentence) for name, change, sentence in (
        ("cells of 25 pixels", {"cell_px": 25}, "cell_px 25 must be a whole number from 1 to patch_px"),
        ("cells of no size", {"cell_px": None}, "cell_px must be a whole number; leave it out for a patch student"),
        ("cells that do not divide", {"cell_px": 5}, "cell_px 5 must divide patch_px 24 and margin_px"),
        ("a negative margin", {"margin_px": -1}, "margin_px -1 must be a whole number, 0 or more"),
        ("margins of all the patch", {"margin_px": 12}, "margin_px 12 on both sides leaves nothing of a patch"))],
    Case("metadata: no classes", said("legend", value=[]), BROKEN + "a legend needs at least one class"),
    Case("metadata: classes from 1", said("legend", 0, "value", value=1), BROKEN + "class values must be 0..2 in"),
    Case("metadata: a class twice", said("legend", 0, "name", value="lake"), BROKEN + "class names repeat"),
    Case("metadata: class of code 300", said("legend", 0, "value", value=300), BROKEN + "class value 300"),
    Case("metadata: name of a class is a path", said("legend", 0, "name", value="../lake"),
         BROKEN + "class name .* may hold letters"),
    Case("metadata: a class without a title", said("legend", 0, "title", value=" "), BROKEN + "class .* empty title"),
    Case("metadata: colour by name", said("legend", 0, "color_hint", value="blue"), BROKEN + ".* six digits RRGGBB"),
    Case("metadata: a class of another key", said("legend", 0, "icon", value="tree"), BROKEN + "a legend row has"),
    Case("metadata: familiarity of another form", said("familiarity", value={"chips": 5}),
         BROKEN + "statistics have missing or unknown keys"),
    Case("metadata: an unknown key", said("licence", value="MIT"), BROKEN + ".* missing or unknown"),
    Case("model that starts with an unknown field", model_bytes(lambda b: b"\x00\x00" + b), "byte 0 starts no field"),
    Case("model of an unknown wire type", model_bytes(lambda b: b"\x0b" + b), "has the unknown wire type 3"),
    Case("model that breaks off a number", model_bytes(lambda b: b + b"\x08\xff"), "breaks off a number"),
    Case("model that ends inside a field", model_bytes(lambda b: b + b"\x3a\x7f\x00"), "ends inside the field"),
    Case("field of no ONNX", model_bytes(lambda b: b + b"\xba\x3e\x01\x00"), "unknown field 999 in a model"),
    Case("folder of a run as model", run_folder, "is the folder of a training run; make a model with geokd export"),
    Case("unknown operator", graph(unknown_operator), "cannot load"),
    Case("two inputs", graph(two_inputs), "2 inputs"),
    Case("logits are NaN", graph(answers_no_number), "finite"),
    Case("logits of another shape now and then", graph(answers_some), "answers"),
]
# fmt: on


def write_all(folder: Path) -> None:
    """Write each case into a folder of its own and print the command that goes with it."""
    for case in CASES:
        place = folder / case.name.replace("/", "_")
        place.mkdir(parents=True)
        call = case.call(place)
        model = ["-m", str(call.model)] if call.model else []
        arguments = [str(call.scene), *model, *call.arguments]
        print(f"# {case.name}: {case.sentence or 'a map'}\ngeokd classify {shlex.join(arguments)}")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
