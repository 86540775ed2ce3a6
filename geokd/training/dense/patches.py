"""Training patches drawn from labelled tiles, and validation patches over held-out labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from geokd.errors import ChipError
from geokd.training.data.augmentation import VIEWS
from geokd.training.dense.arrays import WHOLE, DenseData, LabelledTiles
from geokd.training.dense.recipe import DenseRecipe
from geokd.training.dense.variation import View

_PURE = 0.97  # minimum share of water in a window for simulating marsh


@dataclass(frozen=True, eq=False)
class Places:
    """Windows of one source that training patches are cut from.

    Parameters
    ----------
    source : LabelledTiles
    window_px : int
        Side of a window; `pieces` x `pieces` of them make a patch.
    pieces : int
    corners : int64 tensor (P, 3)
        Tile, row and column of each window.
    weights : float64 tensor (P,)
        How often each is drawn.
    water : int64 tensor (W, 3)
        Those with open water only.
    """

    source: LabelledTiles
    window_px: int
    pieces: int
    corners: Tensor
    weights: Tensor
    water: Tensor


@dataclass(frozen=True, eq=False)
class DenseBatch:
    """Patches of surface reflectance, and their labels.

    Parameters
    ----------
    ground : float tensor (N, C, P, P)
    labels : float tensor (N, K, P, P)
        Shares; 0 in all classes where a pixel has no label.
    hard : bool tensor (N,)
        Whether the labels are given classes.
    """

    ground: Tensor
    labels: Tensor
    hard: Tensor


def find_places(data: DenseData, recipe: DenseRecipe, view: View) -> list[Places]:
    """Find, for each source, where training patches may be cut.

    Raises
    ------
    ChipError
        If a source leaves no labelled pixel for training, or marsh is to be simulated and there is no open water.
    """
    found = [_places(source, recipe, view.water) for source in data.sources]
    if recipe.variation.marsh_share and not any(len(one.water) for one in found):
        raise ChipError(
            f"marsh cannot be simulated: no window of {recipe.student.patch_px} px or less is open water"
            f" ({', '.join(recipe.variation.water_classes)}) only; set variation.marsh_share to 0, or add a scene with"
            " water"
        )
    return found


def _places(source: LabelledTiles, recipe: DenseRecipe, water: Sequence[int]) -> Places:
    patch = recipe.student.patch_px
    pieces = next(m for m in range(1, patch + 1) if patch % m == 0 and patch // m <= source.side_px)
    side = patch // pieces
    corners, prevailing, pure = [], [], []
    for tile, (labels, held) in enumerate(zip(source.labels, source.held_out, strict=True)):
        for row in _lattice(labels.shape[1], side):
            for col in _lattice(labels.shape[2], side):
                part = labels[:, row : row + side, col : col + side]
                counts = np.where(held[row : row + side, col : col + side], 0, part).sum(axis=(1, 2), dtype=np.int64)
                if not counts.any():
                    continue
                corners.append((tile, row, col))
                prevailing.append(int(counts.argmax()))
                whole = np.uint8(WHOLE * 0.5) < part[list(water)].sum(axis=0, dtype=np.int64) if water else np.zeros(1)
                pure.append(whole.mean() >= _PURE)
    if not corners:
        raise ChipError(f"{source.name}: no label is left for training; lower validation_share")
    frequency = np.bincount(prevailing)[prevailing]
    weights = 1.0 / frequency**recipe.rarity
    where = torch.tensor(corners, dtype=torch.int64)
    return Places(source, side, pieces, where, torch.from_numpy(weights / weights.sum()), where[torch.tensor(pure)])


def draw_patches(places: Sequence[Places], count: int, generator: Generator) -> DenseBatch:
    """Draw a batch: sources by their shares, windows by their weights, each in a random dihedral view."""
    shares = torch.tensor([one.source.share for one in places], dtype=torch.float64)
    which = torch.multinomial(shares, count, replacement=True, generator=generator).tolist()
    cut = [_patch(places[i], generator) for i in which]
    return DenseBatch(
        torch.stack([ground for ground, _ in cut]),
        torch.stack([labels for _, labels in cut]),
        torch.tensor([not places[i].source.soft for i in which]),
    )


def draw_water(places: Sequence[Places], count: int, generator: Generator) -> Tensor:
    """Draw patches of open water, float (N, C, P, P); smaller windows are mirrored until they fill a patch."""
    wet = [one for one in places if len(one.water)]
    patches = []
    for i in torch.randint(len(wet), (count,), generator=generator).tolist():
        one = wet[i]
        corner = one.water[int(torch.randint(len(one.water), (1,), generator=generator))]
        ground, _ = _window(one, corner, int(torch.randint(VIEWS, (1,), generator=generator)))
        while ground.shape[-1] < one.window_px * one.pieces:
            ground = torch.cat([ground, ground.flip(-1)], dim=-1)
            ground = torch.cat([ground, ground.flip(-2)], dim=-2)
        side = one.window_px * one.pieces
        patches.append(ground[:, :side, :side])
    return torch.stack(patches)


def _patch(one: Places, generator: Generator) -> tuple[Tensor, Tensor]:
    """Assemble a patch from windows."""
    count = one.pieces**2
    chosen = torch.multinomial(one.weights, count, replacement=True, generator=generator)
    views = torch.randint(VIEWS, (count,), generator=generator).tolist()
    moves = torch.rand((count, 2), generator=generator)
    height, width = one.source.ground.shape[2:]
    windows = []
    for corner, view, move in zip(one.corners[chosen], views, moves, strict=True):
        moved = corner.clone()
        for axis, length in ((1, height), (2, width)):  # anywhere about the lattice point
            shift = round((float(move[axis - 1]) - 0.5) * one.window_px / 2)
            moved[axis] = min(max(int(corner[axis]) + shift, 0), length - one.window_px)
        windows.append(_window(one, moved, view))
    if count == 1:
        return windows[0]
    rows = [
        [torch.cat([window[k] for window in windows[i : i + one.pieces]], dim=2) for k in (0, 1)]
        for i in range(0, count, one.pieces)
    ]
    return torch.cat([row[0] for row in rows], dim=1), torch.cat([row[1] for row in rows], dim=1)


def _window(one: Places, corner: Tensor, view: int) -> tuple[Tensor, Tensor]:
    """Cut a window: float pixels (C, s, s) and labels (K, s, s), without held-out labels."""
    tile, row, col = corner.tolist()
    rows, cols = slice(row, row + one.window_px), slice(col, col + one.window_px)
    source = one.source
    ground = torch.from_numpy(source.ground[tile, :, rows, cols].astype(np.float32))
    labels = torch.from_numpy(source.labels[tile, :, rows, cols] * ~source.held_out[tile, rows, cols])
    return _turned(ground, view), _turned(labels, view).float() / WHOLE


def _turned(window: Tensor, view: int) -> Tensor:
    """Turn (B, s, s) by `view` % 4 quarters, mirrored first if `view` is 4 or more."""
    return torch.rot90(window.flip(-1) if view >= 4 else window, view % 4, (-2, -1))


def validation_patches(
    data: DenseData, recipe: DenseRecipe, most: int
) -> Iterator[tuple[LabelledTiles, NDArray[np.float32], NDArray[np.uint8]]]:
    """Yield source, pixels (C, P, P) and labels (K, P, P) of windows with held-out labels.

    Labels that are not held out are 0. At most about `most` windows of all sources are taken, evenly.
    """
    patch = recipe.student.patch_px
    found: list[tuple[LabelledTiles, int, int, int, int]] = []
    for source in data.sources:
        side = min(patch, source.side_px // 32 * 32 or source.side_px)
        for tile, held in enumerate(source.held_out):
            if not held.any():
                continue
            for row in range(0, held.shape[0] - side + 1, side):
                for col in range(0, held.shape[1] - side + 1, side):
                    inside = held[row : row + side, col : col + side]
                    if inside.any() and source.labels[tile, :, row : row + side, col : col + side][:, inside].any():
                        found.append((source, tile, row, col, side))
    step = max(1, -(-len(found) // most))
    for source, tile, row, col, side in found[::step]:
        rows, cols = slice(row, row + side), slice(col, col + side)
        kept = source.labels[tile, :, rows, cols] * source.held_out[tile, rows, cols]
        yield source, source.ground[tile, :, rows, cols].astype(np.float32), kept


def _lattice(length: int, side: int) -> list[int]:
    """First rows or columns of windows half a side apart, the last at the end."""
    last = length - side
    return sorted({*range(0, last + 1, max(1, side // 2)), last})
