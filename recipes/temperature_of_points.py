"""Fit the temperature of a dense student to interpreted points, and write bundles with it.

    python recipes/temperature_of_points.py POINTS.csv FOLDER MODEL [TWIN ...]

POINTS has the columns scene (a file in scenes/ of GEOKD_DATA), row, col, and accepted: the classes that an interpreter
would accept there, separated by `|`. The temperature is that with the least negative log-likelihood of the accepted
classes together, for MODEL; MODEL and its TWINs are written to FOLDER with it. recipes/calibration_points.csv was drawn
at random, 80 points a scene; points on borders, clouds and doubtful land were left out.
"""

import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from dense_from_student import starts
from numpy.typing import NDArray
from round_dense import as_bytes, read

from geokd.files import write_bytes
from geokd.model.bundle import Bundle, load_bundle, resolve_model
from geokd.training.quantisation import open_graph

TEMPERATURES = np.round(np.arange(0.3, 1.5, 0.01), 2)


def main(points: str, folder: str, model: str, *twins: str) -> None:
    """Print accuracy and mean confidence of the points by temperature; write the bundles with the best."""
    bundle = load_bundle(resolve_model(model))
    with Path(points).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    logits = np.concatenate(
        [
            logits_at(bundle, scene, np.array([(row["row"], row["col"]) for row in rows if row["scene"] == scene], int))
            for scene in dict.fromkeys(row["scene"] for row in rows)
        ]
    )
    accepted = np.array([[name in row["accepted"].split("|") for name in bundle.legend.names] for row in rows])
    right = accepted[np.arange(len(rows)), logits.argmax(axis=1)]
    found = [judged(logits, accepted, float(temperature)) for temperature in TEMPERATURES]
    best = int(np.argmin([loss for loss, _ in found]))
    print(f"{len(rows)} points, {100 * right.mean():.1f} % right")
    for number in sorted({best, int(np.argmin(np.abs(TEMPERATURES - bundle.temperature)))}):
        loss, sure = found[number]
        print(f"temperature {TEMPERATURES[number]:g}: loss {loss:.3f}, mean confidence {100 * sure:.1f} %")
    for name in (model, *twins):
        twin = replace(load_bundle(resolve_model(name)), temperature=float(TEMPERATURES[best]))
        write_bytes(Path(folder, f"{Path(name).stem}.onnx"), twin.onnx_bytes)


def judged(logits: NDArray[np.float32], accepted: NDArray[np.bool_], temperature: float) -> tuple[float, float]:
    """Return negative log-likelihood of the accepted classes and mean confidence."""
    scaled = logits / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    return float(-np.log((shares * accepted).sum(axis=1)).mean()), float(shares.max(axis=1).mean())


def logits_at(bundle: Bundle, scene: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the logits (n, K) at rows and columns (n, 2) of a scene, mapped in patches side by side."""
    pixels = as_bytes(read(Path(os.environ["GEOKD_DATA"], "scenes", scene), bundle.contract), bundle.contract)
    run, side = open_graph(bundle.graph), bundle.contract.patch_px
    found = np.zeros((len(places), len(bundle.legend)), np.float32)
    for top in starts(pixels.shape[1], side):
        for left in starts(pixels.shape[2], side):
            row, col = places[:, 0] - top, places[:, 1] - left
            inside = (row >= 0) & (row < side) & (col >= 0) & (col < side)
            answer = run(pixels[np.newaxis, :, top : top + side, left : left + side])[0]
            found[inside] = answer[:, row[inside], col[inside]].T
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
