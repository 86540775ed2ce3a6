"""Whether familiarity, confidence and conformal sets show where a dense map is wrong.

    python recipes/trust_by_cell.py SCENE CHIPS EUROSAT LABELS CLIP.gpkg AROUND.gpkg [--model sentinel2-landuse-fp32]

SCENE holds the bands of the model, CHIPS a sheet of training chips of 64 x 64 px, EUROSAT a sheet of labelled chips
with their classes a line each in LABELS, CLIP and AROUND interpreted polygons (labels.gpkg and labels_around.gpkg of
sample_data). Pixels of the polygons are judged on the scene as it is and under simulated changes:

- AUC of each measure for separating wrong pixels from right ones, 95 % interval by the bootstrap over polygons: 1 -
  confidence; familiarity, the Mahalanobis distance and the distance to the nearest training pixel in the features of
  the student's last layer; the dissimilarity index of CAST (Meyer and Pebesma 2021, Methods in Ecology and Evolution
  12, 1620-1633) over the bands.
- confidence against accuracy by class of the map and by distance to the nearest border.
- coverage and size of conformal sets (Sadinle et al. 2019, J. Am. Stat. Assoc. 114, 223-234) at 90 %, calibrated on the
  EuroSAT chips or on the polygons of the clip, tested on the polygons around it; of the scene as it is, also by class
  of the map and by kind of land.
"""

import argparse
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import onnx
import onnxruntime
import rasterio
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from scipy.stats import rankdata

from geokd.assessment.shifts import SHIFTS
from geokd.model.bundle import Bundle, load_bundle, resolve_model

FEATURES = "clip_190"  # input of the head
NM = (665.0, 560.0, 490.0, 842.0)
A_POLYGON = 150  # pixels of each that are judged
RESAMPLES = 500
LEAST_PIXELS = 50  # of a row of a table
COVERAGE = 0.9
CHANGES = ("haze", "surface reflectance (L2A-like)", "gain 0.8", "gain 1.25", "low sun (contrast 0.75)")
Array = NDArray[Any]


class Looker:
    """The student, with the features of its last layer."""

    def __init__(self, bundle: Bundle) -> None:
        graph = onnx.load_from_string(bundle.graph)
        graph.graph.output.append(onnx.helper.make_tensor_value_info(FEATURES, onnx.TensorProto.FLOAT, None))
        self._session = onnxruntime.InferenceSession(graph.SerializeToString())
        self._side, self._margin = bundle.contract.patch_px, bundle.contract.margin_px
        self._temperature, self.names = bundle.temperature, [c.name for c in bundle.legend]

    def look(self, pixels: Array) -> tuple[Array, Array]:
        """Give probabilities (K, rows, cols) and features (C, rows // 2, cols // 2) of bytes (4, rows, cols)."""
        _, height, width = pixels.shape
        step, room = self._side - 2 * self._margin, self._margin
        rows, cols = -(-height // step) * step, -(-width // step) * step
        wide = np.pad(pixels, ((0, 0), (room, room + rows - height), (room, room + cols - width)), mode="reflect")
        shares = np.zeros((len(self.names), rows, cols), np.float16)
        features = np.zeros((48, rows // 2, cols // 2), np.float16)
        for row in range(0, rows, step):
            for col in range(0, cols, step):
                patch = wide[:, row : row + self._side, col : col + self._side][np.newaxis]
                logits, inner = self._session.run(["logits", FEATURES], {"pixels": patch})
                inside = slice(room, room + step)
                scaled = logits[0][:, inside, inside] / self._temperature
                scaled = np.exp(scaled - scaled.max(axis=0))
                shares[:, row : row + step, col : col + step] = scaled / scaled.sum(axis=0)
                half = slice(room // 2, (room + step) // 2)
                place = slice(row // 2, (row + step) // 2), slice(col // 2, (col + step) // 2)
                features[:, *place] = inner[0][:, half, half]
        return shares[:, :height, :width], features[:, : -(-height // 2), : -(-width // 2)]


def as_bytes(values: Array) -> Array:
    """Stretch reflectance x 10,000 to byte steps, not rounded."""
    highest = np.array([2750, 2750, 2750, 5500], np.float32)[:, np.newaxis, np.newaxis]
    return 1 + values.astype(np.float32) / highest * 254


def rounded(steps: Array) -> Array:
    """Round byte steps to bytes."""
    return np.asarray(steps.clip(1, 255).round().astype(np.uint8))


def pixels_of(path: Path, scene: rasterio.DatasetReader, seed: int) -> list[tuple[Array, Array, str, str]]:
    """Rows, columns, accepted classes and kind of some pixels of each polygon."""
    draws, found = np.random.default_rng(seed), []
    frame = geopandas.read_file(path)
    for polygon, accepted, kind in zip(frame.geometry, frame["landuse"], frame["land_use"], strict=True):
        inside = rasterize([polygon], scene.shape, transform=scene.transform)
        rows, cols = np.nonzero(inside)
        chosen = draws.permutation(len(rows))[:A_POLYGON]
        if len(chosen):
            found.append((rows[chosen], cols[chosen], str(accepted), kind))
    return found


def auc(measure: Array, wrong: Array) -> float:
    """Chance that a wrong pixel has a higher measure than a right one (Mann and Whitney)."""
    ranks, bad = rankdata(measure), int(wrong.sum())
    return float((ranks[wrong].sum() - bad * (bad + 1) / 2) / (bad * (len(wrong) - bad)))


def interval(figure: Callable[[Array], float], group: Array) -> tuple[float, float]:
    """95 % interval by drawing groups anew."""
    draws, members = np.random.default_rng(0), [np.flatnonzero(group == g) for g in np.unique(group)]
    found = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[k] for k in draws.integers(0, len(members), len(members))])
        found.append(figure(chosen))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def quantile(scores: Array, coverage: float = COVERAGE) -> float:
    """Return the conformal quantile: the ceil((n + 1) coverage)-th smallest score."""
    rank = int(np.ceil((len(scores) + 1) * coverage))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def training(looker: Looker, path: Path) -> tuple[Array, Array]:
    """Features (N, C) and bands (N, 4) of the middles of training chips, as they are and with air over them."""
    with rasterio.open(path) as sheet:
        values = sheet.read().astype(np.float32) * 10
    steps = as_bytes(values)
    features, bands = [], []
    for shown in (steps, SHIFTS["more air light"](SHIFTS["more air light"](steps, NM), NM)):
        pixels = rounded(shown)
        _, inner = looker.look(pixels)
        for at in (24, 32, 40):
            features.append(inner[:, at // 2 :: 32, at // 2 :: 32].reshape(48, -1).T.astype(np.float32))
            bands.append(pixels[:, at::64, at::64].reshape(4, -1).T.astype(np.float32))
    known = np.concatenate(bands).min(axis=1) > 1  # empty places of the sheet
    return np.concatenate(features)[known], np.concatenate(bands)[known]


class Measures:
    """Measures that may show that a pixel is unusual."""

    def __init__(self, features: Array, bands: Array) -> None:
        self._mean, self._spread = features.mean(axis=0), features.std(axis=0) + 1e-3
        inverse = np.linalg.inv(np.cov(features.T) + 1e-3 * np.eye(features.shape[1]))
        self._root = np.linalg.cholesky(inverse)
        draws = np.random.default_rng(0)
        some = draws.permutation(len(features))[:20_000]
        self._near = cKDTree((features[some] - self._mean) / self._spread)
        self._band_mean, self._band_spread = bands.mean(axis=0), bands.std(axis=0) + 1e-3
        scaled = (bands[some] - self._band_mean) / self._band_spread
        one, other = draws.integers(0, len(scaled), (2, 20_000))
        self._mean_distance = float(np.linalg.norm(scaled[one] - scaled[other], axis=1).mean())
        self._bands = cKDTree(scaled)

    def of(self, confidence: Array, features: Array, bands: Array) -> dict[str, Array]:
        """Measure pixels; the higher, the stranger."""
        return {
            "1 - confidence": 1 - confidence,
            "Mahalanobis distance of features": np.linalg.norm((features - self._mean) @ self._root, axis=1),
            "distance to the nearest features": self._near.query((features - self._mean) / self._spread)[0],
            "dissimilarity index (CAST)": self._bands.query((bands - self._band_mean) / self._band_spread)[0]
            / self._mean_distance,
        }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("scene", "chips", "eurosat", "labels", "clip", "around"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--model", default="sentinel2-landuse-fp32")
    call = parser.parse_args()
    looker = Looker(load_bundle(resolve_model(call.model)))
    measures = Measures(*training(looker, call.chips))
    with rasterio.open(call.scene) as scene:
        steps = as_bytes(scene.read())
        parts = {name: pixels_of(path, scene, 1) for name, path in (("clip", call.clip), ("around", call.around))}
    scores_of_chips = chip_scores(looker, call.eurosat, call.labels)
    for change in ("none", *CHANGES):
        pixels = rounded(steps if change == "none" else SHIFTS[change](steps, NM))
        shares, features = looker.look(pixels)
        looked = {name: Looked(found, looker.names, shares, features, pixels) for name, found in parts.items()}
        both = Looked([*parts["clip"], *parts["around"]], looker.names, shares, features, pixels)
        print_aucs(change, both, measures)
        print_sets(change, looked, scores_of_chips, looker.names)
        if change == "none":
            print_calibration(both, shares.argmax(axis=0), looker.names)


class Looked:
    """Judged pixels: probabilities (N, K), accepted (N, K), features, bands, polygon and place of each."""

    def __init__(self, found: list[Any], names: list[str], shares: Array, features: Array, pixels: Array) -> None:
        self.rows, self.cols = np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])
        self.group = np.repeat(np.arange(len(found)), [len(f[0]) for f in found])
        self.kinds = np.array([f[3] for f in found])[self.group]
        accepted = np.array([[name in f[2].split("|") for name in names] for f in found])
        self.accepted = accepted[self.group]
        self.shares = shares[:, self.rows, self.cols].T.astype(np.float32)
        self.features = features[:, self.rows // 2, self.cols // 2].T.astype(np.float32)
        self.bands = pixels[:, self.rows, self.cols].T.astype(np.float32)
        self.codes, self.confidence = self.shares.argmax(axis=1), self.shares.max(axis=1)
        self.wrong = ~self.accepted[np.arange(len(self.codes)), self.codes]

    @property
    def scores(self) -> Array:
        """1 - the probability of the likeliest accepted class."""
        return np.asarray(1 - np.where(self.accepted, self.shares, 0).max(axis=1))


def chip_scores(looker: Looker, path: Path, labels: Path) -> Array:
    """Conformal scores of the middle pixels of labelled chips."""
    names = [line.strip() for line in labels.read_text().splitlines() if line.strip()]
    with rasterio.open(path) as sheet:
        shares, _ = looker.look(rounded(as_bytes(sheet.read().astype(np.float32) * 4)))
    middle = shares[:, 32::64, 32::64].reshape(len(looker.names), -1).T[: len(names)].astype(np.float32)
    return np.array([1 - row[looker.names.index(name)] for row, name in zip(middle, names, strict=True)])


def print_aucs(change: str, looked: Looked, measures: Measures) -> None:
    """Print how well each measure detects wrong pixels."""
    print(f"\n{change}: {100 * looked.wrong.mean():.1f} % of {len(looked.wrong):,} pixels are wrong")
    for name, values in measures.of(looked.confidence, looked.features, looked.bands).items():

        def figure(chosen: Array, values: Array = values) -> float:
            return auc(values[chosen], looked.wrong[chosen])

        low, high = interval(figure, looked.group)
        print(f"  {name:34} AUC {auc(values, looked.wrong):.3f} ({low:.3f} to {high:.3f})")


def print_sets(change: str, looked: dict[str, Looked], chips: Array, names: list[str]) -> None:
    """Print coverage and size of conformal sets around the clip."""
    test = looked["around"]
    for name, scores in (("EuroSAT chips", chips), ("the clip's polygons", looked["clip"].scores)):
        limit = quantile(scores)
        sets = test.shares >= 1 - limit
        sets[np.arange(len(sets)), test.codes] = True
        covered = (sets & test.accepted).any(axis=1)
        low, high = interval(lambda chosen, covered=covered: float(covered[chosen].mean()), test.group)  # type: ignore[misc]
        print(f"  sets by {name}, {change}: hold the truth in {100 * covered.mean():.1f} % ({100 * low:.1f} to"
              f" {100 * high:.1f}), {sets.sum(axis=1).mean():.2f} classes")  # fmt: skip
        if change == "none":
            print_by_class(looked["around"], covered, sets.sum(axis=1), names)


def print_by_class(test: "Looked", covered: Array, sizes: Array, names: list[str]) -> None:
    """Print how often sets hold the truth, by the class of the map and by the kind of land."""
    kinds = [(f"mapped as {name}", test.codes == k) for k, name in enumerate(names)]
    kinds += [(f"truly {kind}", test.kinds == kind) for kind in sorted(set(test.kinds))]
    for what, chosen in kinds:
        if chosen.sum() < LEAST_PIXELS:
            continue
        own, groups = covered[chosen], test.group[chosen]
        low, high = interval(lambda of, own=own: float(own[of].mean()), groups)  # type: ignore[misc]
        print(f"    {what:30} n = {chosen.sum():6,} of {len(np.unique(groups)):3} polygons: {100 * own.mean():5.1f} %"
              f" ({100 * low:.1f} to {100 * high:.1f}), {sizes[chosen].mean():.2f} classes")  # fmt: skip


def print_calibration(looked: Looked, codes: Array, names: list[str]) -> None:
    """Print confidence against accuracy, by class of the map and by distance to the nearest border."""
    edge = np.zeros(codes.shape, np.bool_)
    for axis in (0, 1):
        differs = np.diff(codes, axis=axis) != 0
        edge[:-1, :] |= differs if axis == 0 else False
        edge[1:, :] |= differs if axis == 0 else False
        edge[:, :-1] |= differs if axis == 1 else False
        edge[:, 1:] |= differs if axis == 1 else False
    distance = distance_transform_edt(~edge)[looked.rows, looked.cols]
    cuts = [0, 1, 3, 8, 20, np.inf]
    rows = [(name, looked.codes == k) for k, name in enumerate(names)]
    rows += [(f"{low:g} to {high:g} px from a border", (distance >= low) & (distance < high))
             for low, high in pairwise(cuts)]  # fmt: skip
    right = ~looked.wrong
    for name, chosen in rows:
        if chosen.sum() < LEAST_PIXELS:
            continue
        own = right[chosen]
        groups = looked.group[chosen]
        low, high = interval(lambda of, own=own: float(own[of].mean()), groups)  # type: ignore[misc]
        print(f"  {name:32} n = {chosen.sum():6,} of {len(np.unique(groups)):3} polygons: confidence"
              f" {100 * looked.confidence[chosen].mean():5.1f} %, right {100 * own.mean():5.1f} %"
              f" ({100 * low:.1f} to {100 * high:.1f})")  # fmt: skip


if __name__ == "__main__":
    main()
