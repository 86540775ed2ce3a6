"""Deciding cells that several maps cover: pure numpy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import NODATA

Place = tuple[slice, slice]


class Part(NamedTuple):
    """The values of one map for some cells.

    Parameters
    ----------
    number : int
        Number of the map, from 1, in the order of the call.
    place : (slice, slice)
        Rows and columns of the cells.
    codes, confidence : uint8 array (rows, cols)
        255 where the map has no class.
    percent : uint8 array (K, rows, cols) or None
        Probability of each class.
    """

    number: int
    place: Place
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    percent: NDArray[np.uint8] | None


class Overlay(NamedTuple):
    """Cells as decided.

    Parameters
    ----------
    codes, confidence : uint8 array (rows, cols)
        255 where no map has a class.
    sources : uint16 array (rows, cols)
        Number of the map that a cell comes from; 0 where there is none.
    percent : uint8 array (K, rows, cols) or None
        Mean probability of each class, where probabilities decided; 255 where no map has a class.
    covering : uint16 array (rows, cols)
        Number of maps with a class.
    """

    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    sources: NDArray[np.uint16]
    percent: NDArray[np.uint8] | None
    covering: NDArray[np.uint16]


def by_confidence(parts: Sequence[Part], shape: tuple[int, int]) -> Overlay:
    """Take each cell from the map with the highest confidence there; in a tie, from the one named first."""
    codes, confidence = (np.full(shape, NODATA, np.uint8) for _ in range(2))
    sources, covering = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    for part in sorted(parts, key=lambda part: part.number):
        best = confidence[part.place]
        better = (part.codes != NODATA) & ((best == NODATA) | (part.confidence > best))
        codes[part.place][better] = part.codes[better]
        sources[part.place][better] = part.number
        best[better] = part.confidence[better]
        covering[part.place] += part.codes != NODATA
    return Overlay(codes, confidence, sources, None, covering)


def by_probability(parts: Sequence[Part], shape: tuple[int, int], classes: int) -> Overlay:
    """Give each cell the class of the highest probability, summed over the maps that cover it.

    In a tie, the class that more of these maps show is used, then the lowest code. A cell that a single map covers does
    not change. The source of a cell is the map that gives its class the highest probability; in a tie, the one named
    first.
    """
    parts = sorted(parts, key=lambda part: part.number)
    most = len(parts) + 1  # weight of a sum, so large that no number of maps outweighs one percent
    scores = np.zeros((classes, *shape), np.uint32)
    covering = np.zeros(shape, np.uint16)
    every = np.arange(classes, dtype=np.uint8)[:, np.newaxis, np.newaxis]
    for part in parts:
        assert part.percent is not None, "a part without probabilities"
        mapped = part.codes != NODATA
        scores[:, *part.place] += np.where(mapped, part.percent.astype(np.uint32) * most + (part.codes == every), 0)
        covering[part.place] += mapped
    codes = np.where(covering > 0, scores.argmax(axis=0), NODATA).astype(np.uint8)
    scores //= most
    percent = np.full(scores.shape, NODATA, np.uint8)
    for k in range(classes):
        mean = np.rint(scores[k] / np.maximum(covering, 1))
        percent[k] = np.where(covering > 0, mean, NODATA)
    chosen = np.where(covering > 0, codes, 0)[np.newaxis]
    confidence = np.take_along_axis(percent, chosen, axis=0)[0]
    sources, surest = np.zeros(shape, np.uint16), np.full(shape, -1, np.int16)
    for part in parts:
        assert part.percent is not None
        alone = (part.codes != NODATA) & (covering[part.place] == 1)
        codes[part.place][alone] = part.codes[alone]
        confidence[part.place][alone] = part.confidence[alone]
        own = np.take_along_axis(part.percent, chosen[:, *part.place], axis=0)[0]
        surer = (part.codes != NODATA) & (own > surest[part.place])
        surest[part.place][surer] = own[surer]
        sources[part.place][surer] = part.number
    return Overlay(codes, confidence, sources, percent, covering)
