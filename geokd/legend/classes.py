"""The land-use classes of a model or map: code, name, title, colour.

Field names are those of the STAC `classification` extension (value, name, title, color_hint). Codes are the indices of
the network's logits, so 0 is a class; :data:`NODATA` marks cells that were not mapped.
"""

import colorsys
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

NODATA = 255
"""Code of a cell that is not mapped, in class maps and confidence maps alike."""

UNCLASSIFIED = "unclassified"
"""Name of the class for cells with data whose confidence is too low."""

# The first match gives a class its colour if the recipe gives none: colours usual in land-use maps.
_COLOURS_BY_WORD: tuple[tuple[str, str], ...] = (
    (r"sea|ocean", "1F5FA8"),
    (r"river|stream|bay", "4FA3D9"),
    (r"water|lake|pond|harbou?r", "3B7DC4"),
    (r"forest|wood|tree|chaparral", "2E7D32"),
    (r"marsh|wetland|herb", "A5C46B"),
    (r"pasture|meadow|grass", "B7E07A"),
    (r"permanent|orchard|vineyard", "D98B3A"),
    (r"crop|farm|field|agricult", "F2D45C"),
    (r"beach|sand|bare|desert", "F3E3B3"),
    (r"highway|road|freeway|parking|runway|overpass|intersection", "6E6E6E"),
    (r"industr|storage|airplane", "8E44AD"),
    (r"town|urban|city|resident|building", "D7263D"),
)
_HEX_COLOUR = re.compile(r"[0-9A-F]{6}")
_MACHINE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML and terminals


@dataclass(frozen=True)
class LandUseClass:
    """One class.

    Parameters
    ----------
    value : int
        Code in the map, 0 to 254.
    name : str
        Machine-readable name: letters, digits, `_` and `-`.
    title : str
        Name as shown in legends.
    color_hint : str
        Six upper-case hexadecimal digits, RRGGBB.

    Raises
    ------
    ValueError
        If a field is out of its range.
    """

    value: int
    name: str
    title: str
    color_hint: str

    def __post_init__(self) -> None:
        if type(self.value) is not int or not 0 <= self.value < NODATA:
            raise ValueError(f"class value {self.value!r} is not an integer within 0..{NODATA - 1}")
        if not _MACHINE_NAME.fullmatch(self.name):
            raise ValueError(f"class name {self.name!r} may hold letters, digits, '_' and '-' only")
        if not self.title.strip():
            raise ValueError(f"class {self.name!r} has an empty title")
        if _CONTROL.search(self.title):
            raise ValueError(f"title {self.title!a} of class {self.name!r} holds control characters")
        if not _HEX_COLOUR.fullmatch(self.color_hint):
            raise ValueError(f"colour {self.color_hint!r} of class {self.name!r} is not six digits RRGGBB")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        red, green, blue = bytes.fromhex(self.color_hint)
        return red, green, blue


@dataclass(frozen=True)
class Legend:
    """All classes of a model or map, in the order of their codes 0..K-1.

    Raises
    ------
    ValueError
        If there are no classes, codes are not 0..K-1 in order, or two classes share a name.
    """

    classes: tuple[LandUseClass, ...]

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("a legend needs at least one class")
        values = [c.value for c in self.classes]
        if values != list(range(len(values))):
            raise ValueError(f"class values must be 0..{len(values) - 1} in order, not {values}")
        if len({c.name for c in self.classes}) != len(self.classes):
            raise ValueError(f"class names repeat: {[c.name for c in self.classes]}")

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[LandUseClass]:
        return iter(self.classes)

    def __getitem__(self, value: int) -> LandUseClass:
        return self.classes[value]

    @property
    def names(self) -> tuple[str, ...]:
        """Machine-readable names in the order of the codes."""
        return tuple(c.name for c in self.classes)

    def code_of(self, text: str) -> int | None:
        """Find a class by its name, title or value, whatever the case; names come before titles, titles before values.

        As :meth:`code_named`, also for tables that give classes by number.
        """
        code = self.code_named(text)
        return {str(c.value): c.value for c in self.classes}.get(text.strip()) if code is None else code

    def code_named(self, text: str) -> int | None:
        """Find a class by its name or title, whatever the case; names come before titles.

        If nothing matches, texts are compared as :func:`machine_name` writes them: `annual crop` finds
        `Annual_crop`, and a folder `Forêt` finds `Foret`.
        """
        codes = {machine_name(c.title).casefold(): c.value for c in self.classes}
        codes |= {c.title.casefold(): c.value for c in self.classes}
        codes |= {c.name.casefold(): c.value for c in self.classes}
        plain = text.strip().casefold()
        if plain in codes or not any(map(str.isalnum, plain)):
            return codes.get(plain)
        return codes.get(machine_name(text).casefold())

    def with_unclassified(self) -> "Legend":
        """Add a last class for unclassified cells.

        Raises
        ------
        ValueError
            If that class exists already.
        """
        if UNCLASSIFIED in {text.casefold() for c in self.classes for text in (c.name, c.title)}:
            raise ValueError(f"it has a class {UNCLASSIFIED!r} already")
        if len(self) >= NODATA:
            raise ValueError(f"its {len(self)} classes leave no code for {UNCLASSIFIED!r}")
        return Legend((*self.classes, LandUseClass(len(self), UNCLASSIFIED, "Unclassified", "C8C8C8")))

    def to_json(self) -> list[dict[str, Any]]:
        """Return a list of {value, name, title, color_hint}, as in the STAC classification extension."""
        return [{"value": c.value, "name": c.name, "title": c.title, "color_hint": c.color_hint} for c in self.classes]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, Any]]) -> "Legend":
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError
            If a row lacks a key, has an unknown one, or holds an unusable value.
        """
        keys = {"value", "name", "title", "color_hint"}
        rows = list(rows)
        for row in rows:
            if set(row) != keys:
                raise ValueError(f"a legend row has the keys {sorted(row)}, not {sorted(keys)}")
        return cls(tuple(LandUseClass(**row) for row in rows))


def machine_name(text: str) -> str:
    """Turn a folder or attribute name into a class name: everything but letters, digits, `_`, `-` becomes `_`.

    Letters lose their accents; characters of other scripts become their code points, such as `u68ee_u6797`.
    """
    plain = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text.strip()))
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_")
    return name or "_".join(f"u{ord(character):04x}" for character in text if character.isalnum()) or "class"


def human_title(name: str) -> str:
    """Turn `AnnualCrop` or `annual_crop` into `Annual crop`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").replace("-", " ").split()
    return " ".join(words).capitalize()


def default_legend(names: Iterable[str]) -> Legend:
    """Make a legend from class names alone: titles with :func:`human_title`, colours by the meaning of the word.

    A name without a rule, or whose colour is taken, gets another hue.
    """
    taken: set[str] = set()
    classes = []
    for value, name in enumerate(names):
        words = name.lower()
        colour = next((c for pattern, c in _COLOURS_BY_WORD if re.search(pattern, words)), None)
        step = value
        while colour is None or colour in taken:
            hue = (0.61803398875 * step) % 1.0  # golden ratio: neighbours in the list get distant hues
            colour = bytes(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.55, 0.85)).hex().upper()
            step += 1
        taken.add(colour)
        classes.append(LandUseClass(value, machine_name(name), human_title(name), colour))
    return Legend(tuple(classes))
