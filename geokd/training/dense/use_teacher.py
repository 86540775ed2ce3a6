"""The use teacher: a patch student that splits the labels of a dense student by land use."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.errors import RecipeError
from geokd.model.bundle import Bundle, load_bundle
from geokd.model.contract import InputContract
from geokd.scenes.bands import find_band
from geokd.scenes.scaling import to_uint8
from geokd.training.dense.recipe import UseTeacherRecipe
from geokd.training.quantisation import open_graph

_BATCH = 256


@dataclass(frozen=True, eq=False)
class UseTeacher:
    """A patch student that is ready to classify scenes.

    Parameters
    ----------
    bundle : Bundle
    run : callable
        From patches (N, C, side, side) to logits (N, U).
    bands : tuple of int
        Places of its bands among those of the dense student.
    recipe : UseTeacherRecipe
    """

    bundle: Bundle
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    bands: tuple[int, ...]
    recipe: UseTeacherRecipe

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of its classes."""
        return self.bundle.legend.names

    @property
    def described(self) -> dict[str, str]:
        """Name, precision and hash of its bundle."""
        bundle = self.bundle
        return {"name": bundle.name, "precision": bundle.precision, "sha256": bundle.sha256}

    def look(self, tiles: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield the probability of each class at each pixel of tiles.

        Patches of a scene lie `stride_px` apart, mirrored at its border; probabilities at their centres are
        interpolated bilinearly. Tiles no larger than a patch get one answer each.

        Parameters
        ----------
        tiles : float32 array (n, C, h, w)
            Top-of-atmosphere reflectance x 10,000 of the dense student's bands.

        Yields
        ------
        float32 array (U, h, w)
            For each tile.
        """
        contract = self.bundle.contract
        side, shape = contract.patch_px, tiles.shape[2:]
        own = tiles[:, list(self.bands)]
        if max(shape) > side:
            for tile in own:
                yield self._look_around(to_uint8(tile, 1.0, 0.0, contract.value_scaling))
            return
        top, left = ((side - length) // 2 for length in shape)
        for start in range(0, len(own), _BATCH):
            batch = [to_uint8(tile, 1.0, 0.0, contract.value_scaling) for tile in own[start : start + _BATCH]]
            for answer in self._answers(np.stack([_padded(pixels, top, left, side, side) for pixels in batch])):
                yield np.broadcast_to(answer[:, None, None], (len(answer), *shape))

    def _look_around(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities at every pixel of a tile (C, h, w) larger than a patch: (U, h, w)."""
        side, stride = self.bundle.contract.patch_px, self.recipe.stride_px
        _, height, width = pixels.shape
        rows, cols = (-(-length // stride) + 1 for length in (height, width))
        half = side // 2
        whole = _padded(pixels, half, half, (rows - 1) * stride + side, (cols - 1) * stride + side)
        found = np.empty((rows, cols, len(self.classes)), np.float32)
        for row in range(rows):
            top = row * stride
            patches = [whole[:, top : top + side, col * stride : col * stride + side] for col in range(cols)]
            found[row] = self._answers(np.stack(patches))
        return _between(_between(found.transpose(2, 0, 1), height, stride, axis=1), width, stride, axis=2)

    def _answers(self, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Mean over dihedral views of the probabilities for patches (N, C, side, side): (N, U)."""
        views = [np.rot90(patches, k % 4, (2, 3)) for k in range(4)]
        views += [view[:, :, :, ::-1] for view in views]
        chosen = views[:: max(1, len(views) // self.recipe.views)][: self.recipe.views]
        answers = [_softmax(self.run(np.ascontiguousarray(view)) / self.bundle.temperature) for view in chosen]
        return np.asarray(np.mean(answers, axis=0), np.float32)


def open_use_teacher(recipe: UseTeacherRecipe, contract: InputContract) -> UseTeacher:
    """Open the patch student of a recipe.

    Raises
    ------
    RecipeError
        If it is a dense one, needs bands that the dense student does not have, or has another pixel size.
    BundleError
        If it cannot be opened.
    """
    bundle = load_bundle(recipe.bundle)
    own = bundle.contract
    places = tuple(find_band(contract.bands, band) - 1 for band in own.bands)
    lacking = [band for band, place in zip(own.bands, places, strict=True) if place < 0]
    if own.is_dense:
        raise RecipeError(f"use_teacher.bundle = {recipe.bundle}: that is a dense student; name a patch student")
    if lacking:
        raise RecipeError(
            f"use_teacher.bundle = {recipe.bundle} needs the bands {', '.join(lacking)}, which are not among those of"
            f" the recipe ({', '.join(contract.bands)})"
        )
    if not 0.8 <= own.ground_resolution_m / contract.ground_resolution_m <= 1.25:
        raise RecipeError(
            f"use_teacher.bundle = {recipe.bundle} needs pixels of {own.ground_resolution_m:g} m, the recipe has"
            f" {contract.ground_resolution_m:g} m; name a bundle for that size"
        )
    return UseTeacher(bundle, open_graph(bundle.graph), places, recipe)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def _padded(pixels: NDArray[np.uint8], top: int, left: int, height: int, width: int) -> NDArray[np.uint8]:
    """Mirror pixels (C, h, w) beyond their borders, to `height` x `width`; also where they are smaller than that."""
    bottom, right = height - top - pixels.shape[1], width - left - pixels.shape[2]
    rows, cols = (
        np.pad(np.arange(n), (a, max(0, b)), mode="symmetric")[:m]
        for n, a, b, m in ((pixels.shape[1], top, bottom, height), (pixels.shape[2], left, right, width))
    )
    return pixels[:, rows[:, np.newaxis], cols]


def _between(values: NDArray[np.float32], length: int, stride: int, axis: int) -> NDArray[np.float32]:
    """Interpolate linearly along an axis, from points 0, `stride`, 2 `stride`, ... to pixels 0..length - 1."""
    place = np.arange(length) / stride
    first = np.minimum(place.astype(np.int64), values.shape[axis] - 2)
    share = (place - first).astype(np.float32)
    share = share.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    between = np.take(values, first, axis) * (1 - share) + np.take(values, first + 1, axis) * share
    return np.asarray(between, np.float32)
