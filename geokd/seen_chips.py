"""Which chips a student has learned from: the value that travels in the bundle, so that none is taken for a test."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SeenChips:
    """Chips known by a hash of their pixels, as :attr:`geokd.scenes.chips.Chips.pictures` has it.

    Four bytes of each hash are kept: of 27,000 chips 108 kB, and one in 160,000 others is taken for one of them.

    Parameters
    ----------
    hashes : uint32 array (N,)
        In any order, each once.
    """

    hashes: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))

    @classmethod
    def of(cls, pictures: NDArray[np.uint64]) -> Self:
        """Remember chips by the hashes of their pixels, (N,)."""
        return cls(np.unique((pictures >> np.uint64(32)).astype(np.uint32)))

    def __or__(self, other: "SeenChips") -> "SeenChips":
        """Chips of either."""
        return SeenChips(np.union1d(self.hashes, other.hashes))

    def __len__(self) -> int:
        return len(self.hashes)

    def count(self, pictures: NDArray[np.uint64]) -> int:
        """Count the chips, by the hashes of their pixels, that are among these."""
        return int(np.isin((pictures >> np.uint64(32)).astype(np.uint32), self.hashes).sum())

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; the hashes are base64-coded, little endian."""
        content = self.hashes.astype("<u4").tobytes()
        return {
            "chips": len(self),
            "hashes_base64": base64.b64encode(content).decode("ascii"),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the document is not such a one.
        """
        content = base64.b64decode(document["hashes_base64"], validate=True)
        if len(content) != 4 * document["chips"]:
            raise ValueError(f"hashes of seen chips are {len(content)} bytes, {document['chips']} chips have 4 each")
        return cls(np.frombuffer(content, "<u4").astype(np.uint32))
