"""Small pictures of the scene around each cell of a sample or review, for labelling."""

import base64
import io
from collections.abc import Iterator

import numpy as np
import rasterio.crs
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.errors import CallError, SceneError
from geokd.maps.map_file import MapFile
from geokd.scenes.bands import find_band
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.reader import describe_scene

_SIDE_PX = 192
_CELLS_AROUND = 1.5
_LEAST_PX = 48  # of the scene to each side, so that small cells are seen in their surroundings
_STRETCH = (2, 98)  # percentiles of the scene that become black and white
_LOOK_PX = 512


def picture_cells(
    class_map: MapFile, scene: str | None, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> tuple[list[str], list[str]]:
    """Draw the scene around each cell, or note why there are no pictures.

    Parameters
    ----------
    class_map : MapFile
    scene : str or None
        None: the path in the map's manifest. A scene that is named must exist.
    rows, cols : int64 arrays (N,)

    Returns
    -------
    pictures : list of str
        JPEG in base64 each, or the empty text.
    notes : list of str

    Raises
    ------
    CallError, SceneError
        If a scene that is named cannot be used.
    """
    made_from = class_map.manifest.scene
    path = scene or (None if made_from is None else made_from.path)
    if path is None:
        return [""] * len(rows), [
            "the points have no pictures of the scene, whose path is not in the map's manifest; give it with --scene"
        ]
    used = () if made_from is None else made_from.bands_used
    names = tuple(band.taken_as for band in used)
    found = [find_band(names, colour) for colour in ("red", "green", "blue")]
    bidx = [used[band - 1].bidx for band in found] if all(found) else [used[0].bidx if used else 1] * 3
    try:
        return list(_draw(path, (bidx[0], bidx[1], bidx[2]), class_map, rows, cols)), []
    except (CallError, SceneError) as error:
        if scene is not None:
            raise
        return [""] * len(rows), [f"the points have no pictures of the scene: {error}; give its path with --scene"]


def _draw(
    scene: str, bidx: tuple[int, int, int], class_map: MapFile, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> Iterator[str]:
    """Draw the scene around each cell, with the cell framed in white; `bidx` are shown as red, green and blue."""
    with open_scene(describe_scene(scene).raster, scene) as dataset:
        if dataset.crs != rasterio.crs.CRS.from_user_input(class_map.grid.crs) or max(bidx) > dataset.count:
            raise SceneError(f"{scene} is not the scene that {class_map.path} was made from: its CRS or bands differ")
        corner_x, corner_y = ~dataset.transform @ (class_map.grid.transform @ (0, 0))
        next_x, next_y = ~dataset.transform @ (class_map.grid.transform @ (1, 1))
        wide, high = next_x - corner_x, next_y - corner_y
        try:
            shape = (min(dataset.height, _LOOK_PX), min(dataset.width, _LOOK_PX))
            look = dataset.read(bidx, out_shape=(3, *shape), masked=True).astype(np.float32)
            black, white = np.nanpercentile(look.filled(np.nan).reshape(3, -1), _STRETCH, axis=1)
            half = max(_CELLS_AROUND * max(abs(wide), abs(high)), _LEAST_PX)
            side = round(2 * half)
            for row, col in zip(rows, cols, strict=True):
                x, y = corner_x + (col + 0.5) * wide, corner_y + (row + 0.5) * high
                pixels = _around(dataset, bidx, (int(y - half), int(x - half)), side)
                yield _encoded(_stretched(pixels, black, white), abs(wide) / side, abs(high) / side)
        except GdalErrors as error:
            raise SceneError(f"{scene} cannot be read: {gdal_reason(error)}; copy or download it again") from error


def _around(
    dataset: DatasetReader, bidx: tuple[int, int, int], start: tuple[int, int], side: int
) -> NDArray[np.generic]:
    """Read a square of `side` pixels from (row, col) `start`, downsampled if large, black beyond the scene."""
    step = max(1, side // _SIDE_PX)
    small = -(-side // step)
    pixels = np.zeros((3, small, small), dataset.dtypes[bidx[0] - 1])
    (top, left), (height, width) = start, dataset.shape
    first, last = (max(0, -top), max(0, -left)), (min(side, height - top), min(side, width - left))
    rows, cols = (-(-max(0, b - a) // step) for a, b in zip(first, last, strict=True))
    if rows and cols:
        window = Window(left + first[1], top + first[0], last[1] - first[1], last[0] - first[0])
        at = first[0] // step, first[1] // step
        part = dataset.read(bidx, window=window, out_shape=(3, rows, cols))[:, : small - at[0], : small - at[1]]
        pixels[:, at[0] : at[0] + rows, at[1] : at[1] + cols] = part
    return pixels


def _stretched(
    pixels: NDArray[np.generic], black: NDArray[np.float32], white: NDArray[np.float32]
) -> NDArray[np.uint8]:
    low, span = black[:, np.newaxis, np.newaxis], np.maximum(white - black, 1e-6)[:, np.newaxis, np.newaxis]
    stretched = np.nan_to_num((pixels.astype(np.float32) - low) / span).clip(0, 1)
    return np.asarray((255 * stretched).round().astype(np.uint8).transpose(1, 2, 0))


def _encoded(picture: NDArray[np.uint8], wide: float, high: float) -> str:
    """Encode a picture with its middle framed: `wide` and `high` are the shares of its side that the cell takes."""
    image = Image.fromarray(np.ascontiguousarray(picture)).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC)
    frame = tuple(_SIDE_PX * (0.5 + part / 2) for part in (-wide, -high, wide, high))
    ImageDraw.Draw(image).rectangle(frame, outline="white")
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return base64.b64encode(content.getvalue()).decode("ascii")
