"""Chips that a student was trained on, stored in the bundle, so that none of them counts as a test."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_BYTES = 5


@dataclass(frozen=True, eq=False)
class SeenChips:
    """Chips identified by a hash of their pixels, see :attr:`geokd.chips.reading.Chips.picture_hashes`.

    Five bytes of each hash are kept, seven in the file: with 27,000 chips, one in 40 million other chips is mistaken
    for one of these.

    Parameters
    ----------
    hashes : uint64 array (N,)
        Five bytes each, sorted, each once.
    """

    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    @classmethod
    def of(cls, picture_hashes: NDArray[np.uint64]) -> Self:
        """Make a record from the hashes of chips, (N,)."""
        return cls(np.unique(_shortened(picture_hashes)))

    def __or__(self, other: "SeenChips") -> "SeenChips":
        """Chips of both records."""
        return SeenChips(np.union1d(self.hashes, other.hashes))

    def __len__(self) -> int:
        return len(self.hashes)

    def count(self, picture_hashes: NDArray[np.uint64]) -> int:
        """Count the chips, by the hashes of their pixels, that are among these."""
        return int(np.isin(_shortened(picture_hashes), self.hashes).sum())

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; the hashes are base64-coded, little endian."""
        content = self.hashes.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_BYTES].tobytes()
        return {"chips": len(self), "hashes_base64": base64.b64encode(content).decode("ascii")}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the document is not such a one.
        """
        count, content = document["chips"], base64.b64decode(document["hashes_base64"], validate=True)
        if type(count) is not int or len(content) != _BYTES * count:
            raise ValueError(f"hashes of seen chips are {len(content)} bytes, {count!r} chips have {_BYTES} each")
        whole = np.zeros((count, 8), np.uint8)
        whole[:, :_BYTES] = np.frombuffer(content, np.uint8).reshape(-1, _BYTES)
        return cls(np.unique(whole.reshape(-1).view("<u8").astype(np.uint64)))


def _shortened(picture_hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return picture_hashes >> np.uint64(64 - 8 * _BYTES)
