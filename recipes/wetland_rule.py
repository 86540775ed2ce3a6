"""Append the rule for plants in water to a dense student, and count the water that it changes.

    python recipes/wetland_rule.py RECIPE.toml MODEL OUTPUT.onnx

The rule is the section [wetland] of RECIPE. Of the pixels that MODEL calls water, the share is printed that becomes
wetland: in EuroSAT's 200 chips of all bands, chip by chip, in 3,422 European chips side by side, and in the scenes of
Thailand and Brandenburg. Hardly any of these has a salt marsh, so most of it should stay water. Last comes how many
times as long the network takes with the rule, in one thread. GEOKD_DATA holds chips and scenes.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from dense_from_student import starts
from numpy.typing import NDArray
from round_dense import as_bytes, read, unruled

from geokd.files import write_bytes
from geokd.model.bundle import load_bundle, resolve_model
from geokd.training.dense.wetland import with_rule
from geokd.training.quantisation import open_graph
from geokd.training.recipe_file import load_dense_recipe

CHIPS, LABELS = "chips_s2/eurosat_ms200_10m_b04b03b02b08.tif", "chips_s2/eurosat_ms200_labels.txt"
SCENES = (
    "chips_s2/s2_l2a_chips_10m_b04b03b02b08.tif",
    "scenes/s2_l2a_thailand_2020-02-23_10m.tif",
    "scenes/s2_l1c_brandenburg_2017-02-16_10m.tif",
)
CHIP_PX, COLUMNS = 64, 20
ROUNDS, RUNS = 15, 4

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def main(recipe: str, model: str, output: str) -> None:
    """Write the bundle with the rule, and print what the rule changes."""
    rule = load_dense_recipe(Path(recipe), []).wetland
    plain = unruled(load_bundle(resolve_model(model)))
    ruled = with_rule(plain, rule)
    write_bytes(Path(output), ruled.onnx_bytes)
    waters = [plain.legend.names.index(name) for name in rule.water]
    wetland = plain.legend.names.index(rule.becomes)
    folder = Path(os.environ["GEOKD_DATA"])

    runs = [open_graph(bundle.graph) for bundle in (plain, ruled)]

    def changed(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Pixels of water, and those that become wetland; middle of a chip, or a whole scene."""
        before, after = (codes(run, pixels, plain.contract.patch_px) for run in runs)
        water = np.isin(before, waters)
        return np.array([water.sum(), (water & (after == wetland)).sum()])

    sheet = as_bytes(read(folder / CHIPS, plain.contract), plain.contract)
    counts: dict[str, NDArray[np.int64]] = {}
    for number, kind in enumerate((folder / LABELS).read_text(encoding="utf-8").split()):
        row, col = (CHIP_PX * place for place in divmod(number, COLUMNS))
        found = changed(sheet[:, row : row + CHIP_PX, col : col + CHIP_PX])
        counts[f"chips of {kind}"] = counts.get(f"chips of {kind}", 0) + found
    for scene in SCENES:
        counts[scene] = changed(as_bytes(read(folder / scene, plain.contract), plain.contract))
    for name, (water, lost) in counts.items():
        if water:
            print(f"{name}: {water:,} pixels of water, {100 * lost / water:.2f} % become {rule.becomes}")
    ratios = times_as_long(runs, plain.golden.pixels.shape)
    print(f"{np.median(ratios):.2f} times as long ({ratios.min():.2f} to {ratios.max():.2f} in {ROUNDS} rounds)")


def times_as_long(runs: list[Run], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how many times as long the second graph takes as the first, (rounds,), for patches of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    seconds = np.zeros((ROUNDS, 2))
    for number in range(ROUNDS):
        for which, run in enumerate(runs):
            start = time.perf_counter()
            for _ in range(RUNS):
                run(pixels)
            seconds[number, which] = time.perf_counter() - start
    return np.asarray(seconds[:, 1] / seconds[:, 0])


def codes(run: Run, pixels: NDArray[np.uint8], side: int) -> NDArray[np.intp]:
    """Return the class of each pixel, (rows, cols), of (bands, rows, cols); a chip is mirrored to a patch's size."""
    high, wide = pixels.shape[1:]
    if high < side:
        margin = (side - high) // 2
        patch = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
        return np.asarray(run(patch[np.newaxis])[0].argmax(axis=0)[margin : margin + high, margin : margin + wide])
    found = np.zeros((high, wide), np.intp)
    for row in starts(high, side):
        for col in starts(wide, side):
            patch = pixels[np.newaxis, :, row : row + side, col : col + side]
            found[row : row + side, col : col + side] = run(patch)[0].argmax(axis=0)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
