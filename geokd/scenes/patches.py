"""Where the patches of a scene and the cells of its map lie: pure geometry, no file is opened here.

A scene is cut into square patches of `patch_px` pixels, `stride_px` apart. The map is made of square cells of `cell_px`
pixels: cell (r, c) starts at pixel (r * cell_px, c * cell_px). With a patch student, a cell is as wide as the stride,
and overlapping patches are averaged (:class:`PatchGrid`). With a dense student, each patch gives the cells in its
middle, and overlaps its neighbours by the margin around these (:class:`DenseGrid`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from affine import Affine
from rasterio.windows import Window

from geokd.scenes.grid import SceneGrid


@dataclass(frozen=True)
class PatchGrid:
    """The patches that cover a scene, and the cells they are averaged on.

    Patches start at the scene's first pixel. The last row and column may reach past the scene by less than one stride
    (or, in a scene smaller than a patch, by up to a patch); readers fill that part by reflection.

    Parameters
    ----------
    scene_grid : SceneGrid
    patch_px : int
        Side of a patch in pixels.
    stride_px : int
        Distance between neighbouring patches in pixels; divides `patch_px`.

    Raises
    ------
    ValueError
        If the stride is not positive or does not divide the patch.
    """

    scene_grid: SceneGrid
    patch_px: int
    stride_px: int

    def __post_init__(self) -> None:
        if self.stride_px < 1 or self.patch_px < 1:
            raise ValueError(f"patch {self.patch_px} px and stride {self.stride_px} px must be at least 1")
        if self.patch_px % self.stride_px:
            raise ValueError(f"stride {self.stride_px} px does not divide the patch of {self.patch_px} px")

    @property
    def cell_px(self) -> int:
        """Side of a cell in pixels: the stride."""
        return self.stride_px

    @property
    def margin_px(self) -> int:
        """Width of the unused border of a patch: 0."""
        return 0

    @property
    def cells_per_patch(self) -> int:
        """Number of cells along one side of a patch."""
        return self.patch_px // self.stride_px

    @cached_property
    def cell_grid(self) -> SceneGrid:
        """The grid of the map: the scene's transform times the stride, exactly; partial cells count as whole."""
        return grid_of_cells(self.scene_grid, self.stride_px)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        overlap = self.cells_per_patch - 1
        return max(1, self.cell_grid.height - overlap), max(1, self.cell_grid.width - overlap)

    def window(self, row: int, col: int) -> Window:
        """Pixels of patch (row, col); may reach past the scene's last row and column.

        Raises
        ------
        IndexError
            If the patch does not exist.
        """
        rows, cols = self.shape
        if not (0 <= row < rows and 0 <= col < cols):
            raise IndexError(f"patch ({row}, {col}) is outside the {rows} x {cols} patches")
        return Window(col * self.stride_px, row * self.stride_px, self.patch_px, self.patch_px)

    def block_window(self, block: "PatchBlock") -> Window:
        """Pixels of all patches of `block`; may reach past the scene's last row and column."""
        return Window(
            block.col_start * self.stride_px,
            block.row_start * self.stride_px,
            (block.cols - 1) * self.stride_px + self.patch_px,
            (block.rows - 1) * self.stride_px + self.patch_px,
        )

    def blocks(self, height_px: int, width_px: int) -> Iterator["PatchBlock"]:
        """Cut the patches into blocks, row by row, whose windows measure about `height_px` x `width_px` pixels or less.

        Every patch is in exactly one block.
        """
        return _blocks(self, height_px, width_px)

    def own_cells(self, block: "PatchBlock") -> tuple[slice, slice]:
        """Rows and columns of the cells from the block's first patch to the next block's; a cell is in one block.

        The last patches own the cells to the end of the map.
        """
        rows, cols = self.shape
        row_stop = block.row_stop if block.row_stop < rows else self.cell_grid.height
        col_stop = block.col_stop if block.col_stop < cols else self.cell_grid.width
        return slice(block.row_start, row_stop), slice(block.col_start, col_stop)


@dataclass(frozen=True)
class DenseGrid:
    """The patches of a dense student, and the cells that it classifies.

    Patches lie on one lattice fixed by the scene: patch (r, c) owns the `stride_px` x `stride_px` pixels from (r *
    stride_px, c * stride_px), and begins `margin_px` before them. So the first and last patches reach past the scene on
    all sides; readers fill that part by reflection.

    Parameters
    ----------
    scene_grid : SceneGrid
    patch_px : int
        Side of a patch in pixels.
    cell_px : int
        Side of a cell in pixels.
    margin_px : int
        Border of a patch whose answers are not used.

    Raises
    ------
    ValueError
        If a cell does not divide patch and margin, or the margins fill the patch.
    """

    scene_grid: SceneGrid
    patch_px: int
    cell_px: int
    margin_px: int

    def __post_init__(self) -> None:
        if self.cell_px < 1 or self.margin_px < 0 or self.stride_px < 1:
            raise ValueError(
                f"cells of {self.cell_px} px and margins of {self.margin_px} px do not fit a patch of"
                f" {self.patch_px} px"
            )
        if self.patch_px % self.cell_px or self.margin_px % self.cell_px:
            raise ValueError(
                f"cells of {self.cell_px} px do not divide the patch of {self.patch_px} px and its margin of"
                f" {self.margin_px} px"
            )

    @property
    def stride_px(self) -> int:
        """Distance between neighbouring patches in pixels, and side of the square that a patch owns."""
        return self.patch_px - 2 * self.margin_px

    @cached_property
    def cell_grid(self) -> SceneGrid:
        """The grid of the map: the scene's transform times the cell, exactly; partial cells count as whole."""
        return grid_of_cells(self.scene_grid, self.cell_px)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return -(-self.scene_grid.height // self.stride_px), -(-self.scene_grid.width // self.stride_px)

    def block_window(self, block: "PatchBlock") -> Window:
        """Pixels of all patches of `block`; may reach past the scene on all sides."""
        return Window(
            block.col_start * self.stride_px - self.margin_px,
            block.row_start * self.stride_px - self.margin_px,
            block.cols * self.stride_px + 2 * self.margin_px,
            block.rows * self.stride_px + 2 * self.margin_px,
        )

    def blocks(self, height_px: int, width_px: int) -> Iterator["PatchBlock"]:
        """Cut the patches into blocks, row by row, whose windows measure about `height_px` x `width_px` pixels or less.

        Every patch is in exactly one block.
        """
        return _blocks(self, height_px, width_px)

    def own_cells(self, block: "PatchBlock") -> tuple[slice, slice]:
        """Rows and columns of the cells that the patches of a block give; a cell is in one block."""
        cells, grid = self.stride_px // self.cell_px, self.cell_grid
        return (
            slice(block.row_start * cells, min(block.row_stop * cells, grid.height)),
            slice(block.col_start * cells, min(block.col_stop * cells, grid.width)),
        )


AnyGrid = PatchGrid | DenseGrid
"""The patches and cells of either kind of student."""


def grid_of_cells(scene: SceneGrid, cell_px: int) -> SceneGrid:
    """Return the grid of square cells of `cell_px` pixels over a scene; partial cells count as whole."""
    return SceneGrid(
        transform=scene.transform @ Affine.scale(cell_px),
        height=-(-scene.height // cell_px),
        width=-(-scene.width // cell_px),
        crs=scene.crs,
    )


def _blocks(grid: AnyGrid, height_px: int, width_px: int) -> Iterator["PatchBlock"]:
    high = max(1, (height_px - grid.patch_px) // grid.stride_px + 1)
    wide = max(1, (width_px - grid.patch_px) // grid.stride_px + 1)
    rows, cols = grid.shape
    for row in range(0, rows, high):
        for col in range(0, cols, wide):
            yield PatchBlock(row, min(row + high, rows), col, min(col + wide, cols))


@dataclass(frozen=True)
class PatchBlock:
    """A rectangle of patches, from `row_start`, `col_start` inclusive to `row_stop`, `col_stop` exclusive."""

    row_start: int
    row_stop: int
    col_start: int
    col_stop: int

    @property
    def rows(self) -> int:
        """Number of patch rows."""
        return self.row_stop - self.row_start

    @property
    def cols(self) -> int:
        """Number of patch columns."""
        return self.col_stop - self.col_start
