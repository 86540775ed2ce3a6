"""A raster as plain bytes on disk with overviews, described by a GDAL virtual raster: the fastest way to a GeoTIFF.

Bands are stored one after the other, rows from top to bottom. Each overview halves the one before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from geokd.legend.classes import NODATA

Halve = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Reduces each 2 x 2 to one value; the numbers of rows and columns are even, 255 is nodata."""

Write = Callable[[tuple[slice, slice], NDArray[np.uint8]], None]

_STRIP_BYTES = 4_000_000


class RawRaster:
    """A raster of uint8, nodata 255, in its own file.

    Parameters
    ----------
    stem : Path
        Beginning of the names of its files.
    bands, height, width : int
    """

    def __init__(self, stem: Path, bands: int, height: int, width: int) -> None:
        self.stem, self.bands, self.height, self.width = stem, bands, height, width
        self._overviews: list[RawRaster] = []

    @property
    def path(self) -> Path:
        """The bytes."""
        return self.stem.with_name(f"{self.stem.name}.raw")

    @property
    def description(self) -> Path:
        """The virtual raster, once :meth:`describe` has written it."""
        return self.stem.with_name(f"{self.stem.name}.vrt")

    @contextmanager
    def opened(self) -> Iterator[Write]:
        """Open the file for writing; yields a function that writes values (bands, rows, cols) to rows and columns.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        with self.path.open("wb") as file:

            def write(place: tuple[slice, slice], values: NDArray[np.uint8]) -> None:
                rows, cols = place
                whole = cols.start == 0 and cols.stop == self.width
                for band in range(self.bands):
                    first = (band * self.height + rows.start) * self.width + cols.start
                    lines = [values[band]] if whole else list(values[band])
                    for number, line in enumerate(lines):
                        file.seek(first + number * self.width)
                        file.write(np.ascontiguousarray(line).data)

            yield write

    def write_overviews(self, halve: Halve, least_px: int) -> None:
        """Write overviews until no side is longer than `least_px`.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        last = self
        while max(last.height, last.width) > least_px:
            stem = self.stem.with_name(f"{self.stem.name}_{len(self._overviews) + 1}")
            smaller = RawRaster(stem, self.bands, -(-last.height // 2), -(-last.width // 2))
            with last.path.open("rb") as source, smaller.path.open("wb") as target:
                for _ in range(self.bands):
                    for strip in last._strips(source.read):
                        target.write(np.ascontiguousarray(halve(strip)).data)
            self._overviews.append(smaller)
            last = smaller

    def describe(self, transform: Affine) -> Path:
        """Write the virtual raster, and those of its overviews; return its path.

        Parameters
        ----------
        transform : Affine
            From (col, row) of pixel corners to x, y.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        for overview in self._overviews:
            overview.describe(transform)
        bands = "".join(self._band(number) for number in range(1, self.bands + 1))
        numbers = ", ".join(repr(number) for number in transform.to_gdal())
        text = (
            f'<VRTDataset rasterXSize="{self.width}" rasterYSize="{self.height}">'
            f"<GeoTransform>{numbers}</GeoTransform>{bands}</VRTDataset>"
        )
        self.description.write_text(text, encoding="utf-8")
        return self.description

    def _band(self, number: int) -> str:
        overviews = "".join(
            f'<Overview><SourceFilename relativeToVRT="1">{escape(overview.description.name)}</SourceFilename>'
            f"<SourceBand>{number}</SourceBand></Overview>"
            for overview in self._overviews
        )
        return (
            f'<VRTRasterBand dataType="Byte" band="{number}" subClass="VRTRawRasterBand">'
            f"<NoDataValue>{NODATA}</NoDataValue>"
            f'<SourceFilename relativetoVRT="1">{escape(self.path.name)}</SourceFilename>'
            f"<ImageOffset>{(number - 1) * self.height * self.width}</ImageOffset><PixelOffset>1</PixelOffset>"
            f"<LineOffset>{self.width}</LineOffset>{overviews}</VRTRasterBand>"
        )

    def _strips(self, read: Callable[[int], bytes]) -> Iterator[NDArray[np.uint8]]:
        """Yield a band from the top in strips with even numbers of rows and columns, padded with nodata."""
        step = max(1, _STRIP_BYTES // self.width // 2) * 2
        for row in range(0, self.height, step):
            rows = min(step, self.height - row)
            strip = np.frombuffer(read(rows * self.width), np.uint8).reshape(rows, self.width)
            if rows % 2 or self.width % 2:
                strip = np.pad(strip, ((0, rows % 2), (0, self.width % 2)), constant_values=NODATA)
            yield strip


def halved_by_mode(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce each 2 x 2 to its most frequent value, in a tie the first from the upper left; 255 has no vote."""
    first, second, third, fourth = (np.ascontiguousarray(values[i::2, j::2]) for i in (0, 1) for j in (0, 1))
    out = first.copy()
    for other in (second, third, fourth):
        np.copyto(out, other, where=out == NODATA)
    np.copyto(out, third, where=(third == fourth) & (third != NODATA))
    np.copyto(out, second, where=((second == third) | (second == fourth)) & (second != NODATA))
    np.copyto(out, first, where=((first == second) | (first == third) | (first == fourth)) & (first != NODATA))
    return out


def halved_by_mean(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduce each 2 x 2 to the mean of its values, rounded half up; 255 is ignored, unless there is no other value."""
    if values.max() < NODATA:
        rows = values[::2].astype(np.uint16) + values[1::2]
        return np.asarray((rows[:, ::2] + rows[:, 1::2] + 2) >> 2, np.uint8)
    known = values != NODATA
    total = np.where(known, values, 0).astype(np.uint16)
    rows, counts = total[::2] + total[1::2], known[::2].astype(np.uint16) + known[1::2]
    total, count = rows[:, ::2] + rows[:, 1::2], counts[:, ::2] + counts[:, 1::2]
    mean = (2 * total + count) // np.maximum(2 * count, 1)
    return np.where(count > 0, mean, NODATA).astype(np.uint8)
