"""Choosing the cells of a map for review: uncertain, spread out, from all classes. Pure numpy."""

import numpy as np
from numpy.typing import NDArray

_CROWD = 4  # candidates of a class for each cell to be chosen, however its cells lie together
_LARGEST_TILE = 1024  # cells; maps are read in windows of so many, and tiles lie within windows
_NEAREST = 0.5  # no two cells nearer than this fraction of the spacing that they would have on a regular grid
_SHRINK = 0.8


class Candidates:
    """Keeps the most uncertain cell of each class in each tile of a map, window by window.

    Memory holds a few candidates for each cell to be chosen, not the whole map.

    Parameters
    ----------
    cells : int64 array (K,)
        Cells of each class in the whole map; rare classes get smaller tiles.
    total : int
        Number of cells to be chosen.
    """

    def __init__(self, cells: NDArray[np.int64], total: int) -> None:
        self.total, self.cells = total, cells
        sides = np.sqrt(np.maximum(cells / (_CROWD * total), 1))
        self._tile_side = np.minimum(2 ** np.floor(np.log2(sides)).astype(np.int64), _LARGEST_TILE)
        self._kept: list[NDArray[np.int64]] = []

    def pass_by(self, start: tuple[int, int], codes: NDArray[np.uint8], margins: NDArray[np.uint8]) -> None:
        """Add a window of the map that begins with the cell (row, col) `start`, each a multiple of 1024.

        Parameters
        ----------
        start : tuple of int
        codes : uint8 array (rows, cols)
            Codes of classes; other codes are ignored.
        margins : uint8 array (rows, cols)
            Lead of the likeliest class over the next; the lower, the more uncertain.
        """
        for code, side in enumerate(self._tile_side):
            rows, cols = np.nonzero(codes == code)
            tiles = rows // side * _LARGEST_TILE + cols // side
            doubt = margins[rows, cols]
            order = np.lexsort((cols, rows, doubt, tiles))
            first = order[np.unique(tiles[order], return_index=True)[1]]
            found = np.stack([rows[first] + start[0], cols[first] + start[1], np.full(len(first), code), doubt[first]])
            self._kept.append(found.astype(np.int64))

    def choose(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Choose `total` cells; the map must have at least as many.

        Half of them are shared out evenly over the classes, rare ones first, the rest goes to the lowest margins. The
        minimum distance between them is reduced where the cells of a class lie close together.

        Returns
        -------
        rows, cols, codes : int64 arrays (total,)
            The most uncertain of each class first, then the second of each, and so on.
        """
        rows, cols, codes, doubt = np.concatenate(self._kept, axis=1)
        order = np.lexsort((cols, rows, doubt))
        rows, cols, codes, doubt = rows[order], cols[order], codes[order], doubt[order]
        spacing = _NEAREST * np.sqrt(self.cells.sum() / self.total)
        apart = np.full(len(rows), np.inf)  # from the nearest cell that was chosen
        chosen: list[int] = []

        def take(among: NDArray[np.bool_], count: int) -> None:
            distance = spacing
            while count > 0 and distance > 0:
                fit = among & (apart >= distance) & (apart > 0)
                if not fit.any():
                    distance = distance * _SHRINK if distance > 1 else 0.0
                    continue
                best = int(fit.argmax())
                chosen.append(best)
                np.minimum(apart, np.hypot(rows - rows[best], cols - cols[best]), out=apart)
                count -= 1

        present = np.flatnonzero(self.cells)
        least = max(1, self.total // (2 * len(present)))
        for code in present[np.argsort(self.cells[present], kind="stable")]:
            take(codes == code, min(least, self.total - len(chosen)))
        take(np.ones(len(rows), np.bool_), self.total - len(chosen))
        picked = np.sort(chosen)
        rank = np.zeros(len(picked), np.int64)
        for code in present:
            of_class = codes[picked] == code
            rank[of_class] = np.arange(of_class.sum())
        picked = picked[np.lexsort((doubt[picked], rank))]
        return rows[picked], cols[picked], codes[picked]
