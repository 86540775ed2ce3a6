"""Round a dense student to int8 anew, from its fp32 bundle, and count the pixels whose class that changes.

    python recipes/round_dense.py FP32_BUNDLE CHIPS.tif OUTPUT.onnx [SCENE.tif ...]

CHIPS is the sheet of Sentinel-2 chips (surface reflectance, B04 B03 B02 B08, 64 px) that calibration patches are put
together of; every other one is put under a standard atmosphere. Reflectance x 10,000 = DN x the scale tag. For each
SCENE, the share of pixels is printed to which int8 gives another class than fp32. A rule for plants in water is left
out; recipes/wetland_rule.py appends it.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geokd.files import write_bytes
from geokd.model.bundle import Bundle, golden_cells, load_bundle, resolve_model
from geokd.model.contract import InputContract
from geokd.scenes.bands import wavelengths_nm
from geokd.training.dense.atmosphere import standard_atmosphere
from geokd.training.dense.wetland import without_rule
from geokd.training.quantisation import PREPARATIONS, open_graph, quantise, run_graph

CHIP_PX, CHIPS, COLUMNS = 64, 3422, 60
CALIBRATION_PATCHES, GAIN = 16, 0.15
NOTE = (
    "rounded anew from the fp32 bundle: ranges of channels equalised, biases corrected, the first three convolutions"
    " and the last in fp32"
)


def main(model: str, chips: str, output: str, *scenes: str) -> None:
    """Write the int8 bundle and print how far it is from fp32."""
    fp32 = unruled(load_bundle(resolve_model(model)))
    graph = quantise(fp32.graph, calibration(Path(chips), fp32.contract), PREPARATIONS)
    rounded = fp32.with_graph(graph, "int8", golden_cells(run_graph(graph, fp32.golden.pixels)))
    write_bytes(Path(output), replace(rounded, provenance={**fp32.provenance, "rounding": NOTE}).onnx_bytes)
    for scene in scenes:
        print(
            f"{scene}: int8 changes the class of {100 * changed(fp32, rounded, read(Path(scene), fp32.contract)):.2f} %"
        )


def unruled(bundle: Bundle) -> Bundle:
    """Return a student without its rule for plants in water."""
    graph = without_rule(bundle.graph)
    plain = bundle.with_graph(graph, bundle.precision, golden_cells(run_graph(graph, bundle.golden.pixels)))
    return replace(plain, provenance={k: v for k, v in bundle.provenance.items() if k != "rules"})


def calibration(chips: Path, contract: InputContract) -> NDArray[np.uint8]:
    """Put patches (n, C, P, P) together of chips drawn at random."""
    drawn = np.random.default_rng(0)
    sheet, side = read(chips, contract), contract.patch_px // CHIP_PX
    air, through = (a[:, None, None] for a in standard_atmosphere(wavelengths_nm(contract.bands)))
    patches = []
    for number in range(CALIBRATION_PATCHES):
        places = [divmod(int(k), COLUMNS) for k in drawn.integers(CHIPS, size=side**2)]
        cut = [sheet[:, r * CHIP_PX : (r + 1) * CHIP_PX, c * CHIP_PX : (c + 1) * CHIP_PX] for r, c in places]
        patch = np.concatenate([np.concatenate(cut[i : i + side], 2) for i in range(0, side**2, side)], 1)
        seen = patch * through + air if number % 2 else patch
        patches.append(as_bytes(seen * np.exp(GAIN * drawn.standard_normal()), contract))
    return np.stack(patches)


def read(path: Path, contract: InputContract) -> NDArray[np.float32]:
    """Read reflectance x 10,000 of the contract's bands."""
    with rasterio.open(path) as dataset:
        order = [dataset.descriptions.index(band) for band in contract.bands]
        read: NDArray[np.float32] = (dataset.read() * np.array(dataset.scales)[:, None, None])[order].astype(np.float32)
        return read


def as_bytes(reflectance: NDArray[np.float32], contract: InputContract) -> NDArray[np.uint8]:
    """Stretch reflectance (C, h, w) according to the contract."""
    assert contract.value_scaling is not None
    scalings = contract.value_scaling.of_bands(len(contract.bands))
    bands = [s.output_minimum + s.slope * (band - s.minimum) for band, s in zip(reflectance, scalings, strict=True)]
    return np.asarray(np.rint(np.clip(bands, 0, 255)), np.uint8)


def changed(fp32: Bundle, int8: Bundle, reflectance: NDArray[np.float32]) -> float:
    """Return the share of pixels, in windows of the patch's size, whose class differs."""
    pixels, side = as_bytes(reflectance, fp32.contract), fp32.contract.patch_px
    runs = [open_graph(bundle.graph) for bundle in (fp32, int8)]
    shares = []
    for row in [*range(0, pixels.shape[1] - side, side), pixels.shape[1] - side]:
        for col in [*range(0, pixels.shape[2] - side, side), pixels.shape[2] - side]:
            window = pixels[np.newaxis, :, row : row + side, col : col + side]
            one, other = (run(window).argmax(1) for run in runs)
            shares.append((one != other).mean())
    return float(np.mean(shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
