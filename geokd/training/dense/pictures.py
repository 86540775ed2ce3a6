"""A picture of a dense student's answers for held-out patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from geokd.files import written_whole
from geokd.training.dense.arrays import DenseData

_GAP_PX, _GREY = 4, 128


def draw_predictions(
    shown: Sequence[tuple[Tensor, NDArray[np.uint8], NDArray[np.int64]]],
    data: DenseData,
    visible: Sequence[int],
    path: Path,
) -> None:
    """Draw patches in columns: the scene, its labels (grey where there are none), and the student's classes.

    Parameters
    ----------
    shown : sequence of (float tensor (C, P, P), uint8 array (K, P, P), int64 array (P, P))
        Bytes, labels and classes of each patch.
    data : DenseData
    visible : sequence of int
        Places of red, green and blue among the bands; the first band is shown in grey if they are not all there.
    path : Path
        Of a PNG file.
    """
    colours = np.array([*(c.rgb for c in data.legend), (_GREY,) * 3], np.uint8)
    bands = list(visible) if len(visible) == 3 else [0, 0, 0]
    columns = []
    for pixels, labels, classes in shown:
        scene = pixels[bands].numpy().astype(np.uint8).transpose(1, 2, 0)
        known = np.where(labels.any(axis=0), labels.argmax(axis=0), len(data.legend))
        parts = [scene, colours[known], colours[classes]]
        gap = np.full((_GAP_PX, scene.shape[1], 3), 255, np.uint8)
        columns.append(np.concatenate([part for one in parts for part in (one, gap)][:-1]))
    if not columns:
        return
    height = max(column.shape[0] for column in columns)
    padded = [np.pad(c, ((0, height - len(c)), (0, _GAP_PX), (0, 0)), constant_values=255) for c in columns]
    with written_whole(path) as partial:
        Image.fromarray(np.concatenate(padded, axis=1)).save(partial, format="PNG")
