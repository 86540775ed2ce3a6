"""The input contract: the input that a student needs, shared by bundle, recipe, scenes and training."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class ValueScaling:
    """A linear stretch of reflectance x 10,000 to bytes, rounded to nearest and clipped to 0..255.

    The defaults are those of EuroSAT's RGB chips: `gdal_translate -scale 0 2750 1 255`. `maximum` may be
    a tuple with one value for each band, such as a higher one for the near infrared.

    Raises
    ------
    ValueError
        If a bound is not finite or the input range is empty.
    """

    minimum: float = 0.0
    maximum: float | tuple[float, ...] = 2750.0
    output_minimum: float = 1.0
    output_maximum: float = 255.0

    def __post_init__(self) -> None:
        maxima = self.maximum if isinstance(self.maximum, tuple) else (self.maximum,)
        if not all(math.isfinite(v) for v in (self.minimum, *maxima, self.output_minimum, self.output_maximum)):
            raise ValueError(f"value scaling {self} has a bound that is not finite")
        if not maxima or not all(self.minimum < maximum for maximum in maxima):
            raise ValueError(f"value scaling from {self.minimum} to {self.maximum} is an empty range")
        if not 0 <= self.output_minimum < self.output_maximum <= 255:
            raise ValueError(f"value scaling to {self.output_minimum}..{self.output_maximum} is not within 0..255")

    def of_bands(self, bands: int) -> tuple["ValueScaling", ...]:
        """Return the stretch of each band, with a single number as `maximum`.

        Raises
        ------
        ValueError
            If there are not as many maxima as bands.
        """
        if not isinstance(self.maximum, tuple):
            return (self,) * bands
        if len(self.maximum) != bands:
            raise ValueError(f"value scaling has {len(self.maximum)} maxima for {bands} bands")
        return tuple(replace(self, maximum=maximum) for maximum in self.maximum)

    @property
    def slope(self) -> float:
        """Byte steps for each unit of reflectance x 10,000, of a stretch with a single maximum.

        Raises
        ------
        ValueError
            If the bands have different maxima; see :meth:`of_bands`.
        """
        if isinstance(self.maximum, tuple):
            raise ValueError(f"value scaling {self} has a slope for each band")
        return (self.output_maximum - self.output_minimum) / (self.maximum - self.minimum)

    @property
    def input_range(self) -> str:
        """The range that is stretched, in words: `0..2750`, or `0..2750, 2750, 2750, 5500 by band`."""
        if isinstance(self.maximum, tuple):
            return f"{self.minimum:g}..{', '.join(f'{maximum:g}' for maximum in self.maximum)} by band"
        return f"{self.minimum:g}..{self.maximum:g}"

    def __str__(self) -> str:
        """Return the stretch as text, such as `0..2750 to 1..255`."""
        return f"{self.input_range} to {self.output_minimum:g}..{self.output_maximum:g}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the names of the STAC `mlm` extension."""
        maximum = list(self.maximum) if isinstance(self.maximum, tuple) else self.maximum
        return {"type": "min-max", **asdict(self), "maximum": maximum}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, TypeError
            If the document is invalid.
        """
        fields = dict(document)
        if fields.pop("type", None) != "min-max":
            raise ValueError("value_scaling must be of type min-max")
        maximum = fields.get("maximum")
        if isinstance(maximum, list):
            fields["maximum"] = tuple(float(value) for value in maximum)
        return cls(**fields)


@dataclass(frozen=True)
class InputContract:
    """The input that a student needs.

    Parameters
    ----------
    bands : tuple of str
        Band names in the order of the channels, as in STAC and Sentinel-2 ("B04", "red", ...).
    patch_px : int
        Side of a patch in pixels.
    ground_resolution_m : float
        Ground size of a pixel in metres.
    value_scaling : ValueScaling or None
        How reflectance becomes bytes; None for a student of 8-bit images, which takes no other values.
    cell_px : int or None
        Side of a cell in pixels, for a dense student, which classifies every cell of a patch; None for a patch student,
        which classifies the whole patch.
    margin_px : int
        Width of the border of a patch whose answers are not used, because the network lacks its surroundings; 0 for a
        patch student.

    Raises
    ------
    ValueError
        If a field is out of its range, or the fields contradict each other.
    """

    bands: tuple[str, ...]
    patch_px: int
    ground_resolution_m: float
    value_scaling: ValueScaling | None = None
    cell_px: int | None = None
    margin_px: int = 0

    def __post_init__(self) -> None:
        named = all(isinstance(band, str) and band.isprintable() and band for band in self.bands)
        if not self.bands or not named or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands {self.bands} must be named and distinct")
        if type(self.patch_px) is not int or not 8 <= self.patch_px <= 4096:
            raise ValueError(f"patch_px {self.patch_px!r} is not an integer within 8..4096")
        size_m = self.ground_resolution_m
        if isinstance(size_m, bool) or not (math.isfinite(size_m) and size_m > 0):
            raise ValueError(f"ground_resolution_m {size_m} must be positive")
        if self.value_scaling is not None:
            self.value_scaling.of_bands(len(self.bands))
        self._check_cells()

    def _check_cells(self) -> None:
        """Check that cells fill the patch and its border, and leave something within the border."""
        cell, margin = self.cell_px, self.margin_px
        if type(margin) is not int or margin < 0:
            raise ValueError(f"margin_px {margin!r} must be a whole number, 0 or more")
        if cell is None:
            if margin:
                raise ValueError(f"margin_px {margin} is given without cell_px: only a dense student has a margin")
            return
        if type(cell) is not int or not 1 <= cell <= self.patch_px:
            raise ValueError(f"cell_px {cell!r} must be a whole number from 1 to patch_px ({self.patch_px})")
        if self.patch_px % cell or margin % cell:
            raise ValueError(f"cell_px {cell} must divide patch_px {self.patch_px} and margin_px {margin}")
        if 2 * margin >= self.patch_px:
            raise ValueError(f"margin_px {margin} on both sides leaves nothing of a patch of {self.patch_px} px")

    @property
    def is_dense(self) -> bool:
        """Whether the student classifies every cell of a patch instead of the whole patch."""
        return self.cell_px is not None

    @property
    def cells_per_side(self) -> int:
        """Cells along one side of a dense student's patch, its margin included; 1 for a patch student."""
        return 1 if self.cell_px is None else self.patch_px // self.cell_px

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of the answer for one patch and class: () for a patch student, else (rows, cols) of its cells."""
        return () if self.cell_px is None else (self.cells_per_side, self.cells_per_side)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with the field names of the STAC `mlm` extension."""
        scaling = None if self.value_scaling is None else self.value_scaling.to_json()
        dense = {} if self.cell_px is None else {"cell_px": self.cell_px, "margin_px": self.margin_px}
        return {
            "bands": list(self.bands),
            "patch_px": self.patch_px,
            **dense,
            "ground_resolution_m": self.ground_resolution_m,
            "value_scaling": scaling,
            "resize_type": None,
            "data_type": "uint8",
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError
            If a key is missing or unknown, or a value unusable.
        """
        expected = {"bands", "patch_px", "ground_resolution_m", "value_scaling", "resize_type", "data_type"}
        if set(document) - {"cell_px", "margin_px"} != expected or ("cell_px" in document) != ("margin_px" in document):
            raise ValueError(
                f"the input contract has the keys {sorted(document)}, not {sorted(expected)}, and for a dense student"
                " cell_px and margin_px"
            )
        if document["data_type"] != "uint8" or document["resize_type"] is not None:
            raise ValueError("the input contract must have data_type uint8 and no resize_type")
        if not isinstance(document["bands"], list):
            raise ValueError(f"bands {document['bands']!r} must be a list")
        scaling = document["value_scaling"]
        if scaling is not None:
            scaling = ValueScaling.from_json(scaling)
        cell_px, margin_px = document.get("cell_px"), document.get("margin_px", 0)
        if cell_px is None and "cell_px" in document:
            raise ValueError("cell_px must be a whole number; leave it out for a patch student")
        return cls(
            tuple(document["bands"]), document["patch_px"], document["ground_resolution_m"], scaling, cell_px, margin_px
        )
