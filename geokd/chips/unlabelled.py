"""Patches without labels: of a scene, or of a folder of chips."""

import hashlib
from pathlib import Path

import numpy as np

from geokd.chips.files import index_unlabelled
from geokd.chips.reading import Chips, picture_hash, read_chips
from geokd.errors import SceneError
from geokd.model.contract import InputContract
from geokd.scenes.opening import open_scene
from geokd.scenes.patches import PatchGrid
from geokd.scenes.reader import describe_scene, plan_scene, read_window


def read_unlabelled(path: str | Path, contract: InputContract, most: int) -> Chips:
    """Read up to `most` patches, evenly spread; all labels are 0.

    Parameters
    ----------
    path : path
        A scene, from which wholly valid patches side by side are taken; or a folder or zip archive of chips, from all
        its class folders.
    contract : InputContract
    most : int

    Raises
    ------
    CallError
        If the scene or folder does not exist.
    ChipError
        If chips cannot be read.
    SceneError
        If a scene cannot be read, does not fit the contract, or has no valid patch.
    """
    if Path(path).is_dir() or Path(path).suffix.lower() == ".zip":
        return read_chips(index_unlabelled(path, most), contract)
    plan = plan_scene(describe_scene(path), contract)
    grid = PatchGrid(plan.grid, contract.patch_px, contract.patch_px)
    windows = [grid.window(row, col) for row in range(grid.shape[0]) for col in range(grid.shape[1])]
    inside = [w for w in windows if w.row_off + w.height <= plan.grid.height and w.col_off + w.width <= plan.grid.width]
    pixels = []
    with open_scene(plan.raster, plan.path) as dataset:
        for number in np.unique(np.linspace(0, len(inside) - 1, min(most, len(inside))).round().astype(np.int64)):
            values, valid = read_window(plan, inside[number], dataset)
            if valid.all():
                pixels.append(values)
    if not pixels:
        raise SceneError(f"{path} has no patch of {contract.patch_px} px whose pixels are all valid")
    patches = np.stack(pixels)
    digest = hashlib.sha256(patches.tobytes()).hexdigest()
    picture_hashes = np.array([picture_hash(patch) for patch in patches], np.uint64)
    return Chips(patches, np.zeros(len(patches), np.int64), None, picture_hashes, digest, tuple(plan.notes))
