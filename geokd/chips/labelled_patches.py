"""Which patches of a scene become chips, and of which class: from polygons, or from labelled cells.

The others are counted in `reasons`, under the names of :class:`geokd.chips.cutting.LeftOut`.
"""

from collections import Counter
from collections.abc import Iterator

from rasterio.windows import Window

from geokd.labels.cell_labels import CellLabels
from geokd.labels.cell_names import NONE_OF_THESE, UNLABELLED
from geokd.labels.polygons import Labels, cover_of_row
from geokd.scenes.area import Area
from geokd.scenes.patches import PatchGrid

_ROUNDING = 1e-9  # a patch wholly inside a polygon may have a share just below 1


def patches_of_grid(
    grid: PatchGrid, labels: Labels | None, min_cover: float, reasons: Counter[str]
) -> Iterator[tuple[Window, str]]:
    """Yield the patches of the grid that are labelled clearly, each with its class ("" without labels)."""
    for row in range(grid.shape[0]):
        yield from _candidates(grid, labels, min_cover, row, reasons)


def patches_about(cells: CellLabels, grid: PatchGrid, reasons: Counter[str]) -> Iterator[tuple[Window, str]]:
    """Yield the patch about each labelled cell with its class; count the others.

    A chip that would reach past the scene's edge is moved inwards.
    """
    scene, side = grid.scene_grid, grid.patch_px
    cols, rows = ~scene.transform @ (cells.x, cells.y)
    taken: set[tuple[int, int]] = set()
    for row, col, code in zip(rows, cols, cells.codes.tolist(), strict=True):
        inside = 0 <= row < scene.height and 0 <= col < scene.width and side <= min(scene.height, scene.width)
        if code == UNLABELLED:
            reasons["not_labelled"] += 1
        elif code == NONE_OF_THESE:
            reasons["none_of_these"] += 1
        elif not inside:
            reasons["past_the_edge"] += 1
        else:
            top = min(max(round(row - side / 2), 0), scene.height - side)
            left = min(max(round(col - side / 2), 0), scene.width - side)
            if (top, left) in taken:
                reasons["repeated"] += 1
                continue
            taken.add((top, left))
            yield Window(left, top, side, side), cells.classes[code]


def patches_within(
    area: Area | None, wanted: Iterator[tuple[Window, str]], grid: PatchGrid, reasons: Counter[str]
) -> Iterator[tuple[Window, str]]:
    """Yield the patches that lie wholly within an area; all if there is none."""
    for window, class_name in wanted:
        rows = slice(window.row_off, window.row_off + window.height)
        cols = slice(window.col_off, window.col_off + window.width)
        if area is None or area.covers(grid.scene_grid, rows, cols):
            yield window, class_name
        else:
            reasons["outside_area"] += 1


def _candidates(
    grid: PatchGrid, labels: Labels | None, min_cover: float, row: int, reasons: Counter[str]
) -> Iterator[tuple[Window, str]]:
    """Yield those of a row."""
    scene = grid.scene_grid
    cover = None if labels is None else cover_of_row(labels, grid, row)
    for col in range(grid.shape[1]):
        window = grid.window(row, col)
        if window.row_off + window.height > scene.height or window.col_off + window.width > scene.width:
            reasons["past_the_edge"] += 1
        elif labels is None or cover is None:
            yield window, ""
        elif cover[col].sum() < min_cover - _ROUNDING:
            reasons["not_labelled"] += 1
        elif (cover[col] >= min_cover - _ROUNDING).sum() != 1:
            reasons["mixed"] += 1
        else:
            yield window, labels.classes[cover[col].argmax()]
