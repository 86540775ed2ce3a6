"""Which cells and blocks of a scene an area of interest overlaps."""

from typing import TYPE_CHECKING

from geokd.errors import SceneError
from geokd.scenes.grid import Rectangle, SceneGrid
from geokd.scenes.options import AreaOptions
from geokd.scenes.patches import AnyGrid, PatchBlock, PatchGrid

if TYPE_CHECKING:
    from geokd.scenes.area import Area


def find_area(options: AreaOptions, patches: AnyGrid, scene: str) -> "Area | None":
    """Read the area of interest; None if none is given.

    Raises
    ------
    CallError, SceneError
        If it cannot be used, or contains no cell centre.
    """
    if options.aoi is None and options.bbox is None:
        return None
    from geokd.scenes.area import read_area  # vector files take a while to import

    cells = patches.cell_grid
    area = read_area(options, cells, scene)
    if area is not None and not area.holds(cells, *cells_of_area(area, cells).slices).any():
        size = max(cells.pixel_size_m)
        raise SceneError(
            f"the area contains no centre of the {size:.4g} m cells of the map of {scene}; use a larger one, a model"
            " with smaller cells, or a smaller --stride"
        )
    return area


def cells_of_area(area: "Area", cells: SceneGrid) -> Rectangle:
    """Return the bounding rectangle of an area, in cells."""
    rows, cols = area.extent(cells)
    return Rectangle(rows.start, rows.stop, cols.start, cols.stop)


def has_say(block: PatchBlock, patches: AnyGrid, area: "Area") -> bool:
    """Whether the patches of a block overlap a cell of an area."""
    rows, cols = patches.own_cells(block)
    if isinstance(patches, PatchGrid):
        over = patches.cells_per_patch - 1
        rows, cols = slice(rows.start, rows.stop + over), slice(cols.start, cols.stop + over)
    return area.touches(patches.cell_grid, rows, cols)
