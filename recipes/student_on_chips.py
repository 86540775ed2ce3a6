"""Dense students of red, green and blue on labelled chips of 64 x 64 px, such as EuroSAT's: a check besides scenes.

    python recipes/student_on_chips.py [--noise STEPS] CHIPS COUNT MODEL ...

CHIPS has a folder of 8-bit images for each class; COUNT of each are drawn (seed 0). Chips are extended with their
mirror images. --noise adds white noise of this standard deviation, in steps of the 8 bits. Printed are, for each model,
the share of the pixels of each class of chips that have this class, their mean over the classes, and what the pixels of
chips of sea and forest are mapped as.
"""

import argparse
from pathlib import Path

import numpy as np
from dense_from_student import chip_shares
from numpy.typing import NDArray
from PIL import Image

from geokd.model.bundle import load_bundle, resolve_model

SIDE_PX, SHOWN = 64, ("SeaLake", "Forest")


def main() -> None:
    """Print the figures of each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--noise", type=float, default=0.0, metavar="STEPS")
    parser.add_argument("chips", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("models", nargs="+")
    call = parser.parse_args()
    drawn = np.random.default_rng(0)
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    for folder in sorted(path for path in call.chips.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        images += [
            np.asarray(Image.open(files[n])).transpose(2, 0, 1) for n in drawn.permutation(len(files))[: call.count]
        ]
        labels += [folder.name] * (len(images) - len(labels))
    truth, noise = np.array(labels), np.random.default_rng(1)
    if call.noise:
        images = [
            np.clip(np.rint(image + call.noise * noise.standard_normal(image.shape)), 1, 255).astype(np.uint8)
            for image in images
        ]
    for model in call.models:
        bundle = load_bundle(resolve_model(model))
        names = bundle.legend.names
        shares = (
            np.stack(
                [np.bincount(chip.argmax(axis=0).ravel(), minlength=len(names)) for chip in chip_shares(bundle, images)]
            )
            / SIDE_PX**2
        )
        own = {label: 100 * float(shares[truth == label, names.index(label)].mean()) for label in dict.fromkeys(labels)}
        print(f"{model}: mean {np.mean(list(own.values())):.1f} %; {', '.join(f'{n} {v:.0f}' for n, v in own.items())}")
        for label in SHOWN:
            found = 100 * shares[truth == label].mean(axis=0)
            print(f"  {label}: {', '.join(f'{names[k]} {found[k]:.1f}' for k in np.argsort(-found)[:4])}")


if __name__ == "__main__":
    main()
