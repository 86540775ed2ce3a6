"""Windows assembled from the tiles a scene is stored in, each decompressed once for all windows that it overlaps.

Windows of neighbouring blocks overlap by a margin, and begin and end within tiles, so that reading them one by one
would decompress most tiles twice. Tiles are cached as input for the student, which takes half the memory or less.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from geokd.scenes.opening import open_scene
from geokd.scenes.plan import ScenePlan
from geokd.scenes.reader import mirrored, read_values
from geokd.scenes.scaling import to_uint8

CACHE_BYTES = 96_000_000
"""Memory limit for tiles in a process."""

_TILE_PX = (64, 2048)  # sides of tiles that are worth caching

_Tile = tuple[NDArray[np.uint8], NDArray[np.bool_] | None]  # None: all are valid


class TileCache:
    """Caches the tiles last used, of all scenes of a process.

    A thread waits for a tile that another thread is reading.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._most, self._held = most_bytes, 0
        self._lock = threading.Lock()
        self._tiles: OrderedDict[tuple[str, int, int], Future[_Tile]] = OrderedDict()

    def read_window(
        self, plan: ScenePlan, window: Window, tile_px: tuple[int, int], run: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read a window, with the same result as :func:`geokd.scenes.reader.read_window`.

        Parameters
        ----------
        plan : ScenePlan
        window : Window
        tile_px : tuple of int
            Height and width of the tiles that the scene is stored in.
        run : str
            Identifier of the run, because a file may change between runs.

        Returns
        -------
        pixels : uint8 array (C, h, w)
        valid : bool array (h, w)

        Raises
        ------
        SceneError
            If the pixels cannot be read.
        """
        rows = mirrored(window.row_off, window.height, plan.grid.height)
        cols = mirrored(window.col_off, window.width, plan.grid.width)
        top, left = int(rows.min()), int(cols.min())
        bottom, right = int(rows.max()) + 1, int(cols.max()) + 1
        pixels = np.empty((len(plan.bidx), bottom - top, right - left), np.uint8)
        valid = np.empty(pixels.shape[1:], np.bool_)
        high, wide = tile_px
        with open_scene(plan.raster, plan.path) as dataset:
            for row in range(top // high, -(-bottom // high)):
                for col in range(left // wide, -(-right // wide)):
                    tile, known = self._tile(plan, dataset, (row, col), tile_px, run)
                    own = (
                        _overlap(row * high, tile.shape[1], top, bottom),
                        _overlap(col * wide, tile.shape[2], left, right),
                    )
                    place = (
                        slice(own[0].start + row * high - top, own[0].stop + row * high - top),
                        slice(own[1].start + col * wide - left, own[1].stop + col * wide - left),
                    )
                    pixels[:, *place], valid[place] = tile[:, *own], True if known is None else known[own]
        if Window(left, top, right - left, bottom - top) == window:
            return pixels, valid
        return pixels[:, rows - top][:, :, cols - left], valid[rows - top][:, cols - left]

    def _tile(
        self, plan: ScenePlan, dataset: DatasetReader, place: tuple[int, int], tile_px: tuple[int, int], run: str
    ) -> _Tile:
        """Return a tile: from the cache, from another thread that reads it, or read here."""
        key = (run, *place)
        with self._lock:
            kept = self._tiles.get(key)
            if kept is not None:
                self._tiles.move_to_end(key)
            else:
                mine: Future[_Tile] = Future()
                self._tiles[key] = mine
        if kept is not None:
            return kept.result()
        try:
            tile = _unpack(plan, dataset, place, tile_px)
        except BaseException as error:
            with self._lock:
                self._tiles.pop(key, None)
            mine.set_exception(error)
            raise
        mine.set_result(tile)
        with self._lock:
            self._held += _size(tile)
            self._shrink()
        return tile

    def forget(self, run: str) -> None:
        """Release the tiles of a finished run."""
        with self._lock:
            for key in list(self._tiles):
                if key[0] == run:
                    self._drop(key)

    def _shrink(self) -> None:
        """Release the least recently used tiles."""
        for key in list(self._tiles):
            if self._held <= self._most:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, int, int]) -> None:
        """Release a tile, unless it is being read."""
        if self._tiles[key].done():
            self._held -= _size(self._tiles.pop(key).result())


def blocks_abreast(window_px: tuple[int, int], step_px: int, tile_px: tuple[int, int], bands: int) -> int:
    """Return how many blocks may lie in a row so that the tiles of a row are still kept when the next one is read.

    Parameters
    ----------
    window_px : tuple of int
        Height and width of a block's window.
    step_px : int
        From a block to its right neighbour.
    tile_px : tuple of int
    bands : int
    """
    down, across = (side / tile + 1 for side, tile in zip(window_px, tile_px, strict=True))
    most_across = CACHE_BYTES / (tile_px[0] * tile_px[1] * bands) / down
    return max(1, 1 + int((most_across - across) * tile_px[1] / step_px))


def worth_keeping(storage_px: tuple[int, int], width: int) -> bool:
    """Whether a scene with this number of columns is stored in tiles, not in rows, that are neither tiny nor huge."""
    least, greatest = _TILE_PX
    return least <= min(storage_px) and max(storage_px) <= greatest and storage_px[1] < width


def _unpack(plan: ScenePlan, dataset: DatasetReader, place: tuple[int, int], tile_px: tuple[int, int]) -> _Tile:
    (row, col), (high, wide) = place, tile_px
    height, width = min(high, plan.grid.height - row * high), min(wide, plan.grid.width - col * wide)
    values, valid = read_values(plan, Window(col * wide, row * high, width, height), plan.bidx, dataset)
    pixels = to_uint8(values, plan.value_scales, plan.value_offsets, plan.scaling)
    return pixels, None if valid.all() else valid


def _overlap(start: int, length: int, first: int, stop: int) -> slice:
    """Which part of a tile that begins at `start` lies between `first` and `stop`."""
    return slice(max(0, first - start), min(length, stop - start))


def _size(tile: _Tile) -> int:
    return tile[0].nbytes + (0 if tile[1] is None else tile[1].nbytes)


TILES = TileCache()
"""The tiles of this process."""
