"""The training data of a dense student, as arrays. No raster library is needed here."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geokd.legend.classes import Legend
from geokd.model.contract import InputContract

WHOLE = 255
"""A share of 1 in the labels, which are bytes."""


@dataclass(frozen=True, eq=False)
class LabelledTiles:
    """Pixels and labels of one source: a scene is a single tile, a sheet of chips many.

    Parameters
    ----------
    name : str
    share : float
        Of the training patches.
    ground : float16 array (n, C, h, w)
        Surface reflectance x 10,000; bytes 0..255 where the contract has no value scaling.
    labels : uint8 array (n, K, h, w)
        Share of each class in :data:`WHOLE` parts; 0 in all where a pixel has no label.
    soft : bool
        Whether labels are a teacher's probabilities rather than given classes.
    held_out : bool array (n, h, w)
        Pixels whose labels are for validation only.
    top_of_atmosphere : bool
        Whether the source's own values were top-of-atmosphere reflectance.
    """

    name: str
    share: float
    ground: NDArray[np.float16]
    labels: NDArray[np.uint8]
    soft: bool
    held_out: NDArray[np.bool_]
    top_of_atmosphere: bool

    @property
    def side_px(self) -> int:
        """The shorter side of a tile."""
        return int(min(self.ground.shape[2:]))

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which pixels have a label, bool (n, h, w)."""
        return np.asarray(self.labels.any(axis=1))


@dataclass(frozen=True, eq=False)
class DenseData:
    """The training data of a dense student.

    Parameters
    ----------
    name : str
        Of the table of scenes.
    contract : InputContract
    legend : Legend
    sources : tuple of LabelledTiles
    use_teacher : dict or None
        Name and hash of the patch student that splits labels.
    notes : tuple of str
        Choices made in reading, one sentence each.
    """

    name: str
    contract: InputContract
    legend: Legend
    sources: tuple[LabelledTiles, ...]
    use_teacher: dict[str, str] | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the record of a run's data: names, counts and hashes."""
        return {
            "table": self.name,
            "sources": [
                {
                    "name": source.name,
                    "share": source.share,
                    "tiles": list(source.ground.shape),
                    "labels": "soft" if source.soft else "hard",
                    "held_out_pixels": int((source.held_out & source.labelled).sum()),
                    "sha256": _hash(source),
                }
                for source in self.sources
            ],
            "use_teacher": self.use_teacher,
            "notes": list(self.notes),
        }


def _hash(source: LabelledTiles) -> str:
    digest = hashlib.sha256()
    for array in (source.ground, source.labels, source.held_out):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()
