"""Where the pixels of a raster lie: pure geometry, no file is opened here."""

import math
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

METRES_PER_DEGREE_LATITUDE = 111_195.0  # of a sphere of 6,371,008.8 m, the mean radius of the WGS 84 ellipsoid


@dataclass(frozen=True)
class SceneGrid:
    """The pixel grid of a raster.

    Parameters
    ----------
    transform : Affine
        From (col, row) of pixel corners to x, y of `crs`.
    height, width : int
        Size in pixels, at least 1.
    crs : CRS or None
        Coordinate reference system; None if the file has none.

    Raises
    ------
    ValueError
        If the size is not positive or the transform is degenerate or not finite.
    """

    transform: Affine
    height: int
    width: int
    crs: CRS | None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid of {self.height} x {self.width} pixels is empty")
        if not all(map(math.isfinite, self.transform[:6])):
            raise ValueError(f"the transform {tuple(self.transform)[:6]} holds a number that is not finite")
        if not math.isfinite(self.transform.determinant) or self.transform.determinant == 0:
            raise ValueError(f"the transform {tuple(self.transform)[:6]} maps pixels onto a line")

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of the grid in world coordinates, also for rotated grids."""
        corners = [self.transform @ (c, r) for c in (0, self.width) for r in (0, self.height)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def pixel_size_m(self) -> tuple[float, float]:
        """Ground size of a pixel in metres, (x, y), at the centre of the grid.

        Angles are converted on a sphere (good to 0.5 %), other units by the factor of the CRS. Without a CRS the
        transform is assumed to be in metres.
        """
        (x, y), t = self._metres_per_unit, self.transform
        return math.hypot(t.a * x, t.d * y), math.hypot(t.b * x, t.e * y)

    @property
    def squareness(self) -> float:
        """Sine of the angle between the sides of a pixel, at the centre of the grid; 1 if it is a rectangle."""
        (x, y), (size_x, size_y) = self._metres_per_unit, self.pixel_size_m
        return abs(self.transform.determinant) * x * y / (size_x * size_y) if size_x * size_y else 0.0

    @property
    def _metres_per_unit(self) -> tuple[float, float]:
        """Ground length of one unit of x and y, at the centre of the grid."""
        if self.crs is None:
            return 1.0, 1.0
        if not self.crs.is_geographic:
            factor = float(self.crs.linear_units_factor[1])
            return factor, factor
        radians = float(self.crs.units_factor[1])
        _, latitude = self.transform @ (self.width / 2, self.height / 2)
        metres = METRES_PER_DEGREE_LATITUDE * math.degrees(radians)
        return metres * max(math.cos(latitude * radians), 0.0), metres


@dataclass(frozen=True)
class Rectangle:
    """Some rows and columns of a grid.

    Parameters
    ----------
    row_start, row_stop, col_start, col_stop : int
        The stops are exclusive.
    """

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.row_stop - self.row_start

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.col_stop - self.col_start

    @property
    def window(self) -> Window:
        """The same as a window of rasterio's."""
        return Window(self.col_start, self.row_start, self.width, self.height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns as slices."""
        return slice(self.row_start, self.row_stop), slice(self.col_start, self.col_stop)

    def times(self, side: int, grid: SceneGrid) -> "Rectangle":
        """Return the pixels of a grid that cells of `side` pixels cover."""
        return Rectangle(
            self.row_start * side,
            min(self.row_stop * side, grid.height),
            self.col_start * side,
            min(self.col_stop * side, grid.width),
        )

    def of(self, grid: SceneGrid) -> SceneGrid:
        """Return the grid of this part."""
        transform = grid.transform @ Affine.translation(self.col_start, self.row_start)
        return SceneGrid(transform, self.height, self.width, grid.crs)

    def common(self, rows: slice, cols: slice) -> "Rectangle":
        """Return its intersection with other rows and columns; with height or width 0 if it is empty."""
        top, left = max(self.row_start, rows.start), max(self.col_start, cols.start)
        bottom, right = min(self.row_stop, rows.stop), min(self.col_stop, cols.stop)
        return Rectangle(top, max(top, bottom), left, max(left, right))

    def within(self, row: int, col: int) -> tuple[slice, slice]:
        """Return its rows and columns counted from another first row and column."""
        return slice(self.row_start - row, self.row_stop - row), slice(self.col_start - col, self.col_stop - col)


def whole(grid: SceneGrid) -> Rectangle:
    """Return all rows and columns of a grid."""
    return Rectangle(0, grid.height, 0, grid.width)
