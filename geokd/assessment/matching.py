"""Which class of a map a class of a reference is: by names, or by a table."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geokd.errors import CallError, named, one_message
from geokd.legend.classes import UNCLASSIFIED, Legend
from geokd.system.documents import csv_rows, read_text

SEPARATOR = "|"
"""Separates the classes that an interpreter would accept."""

_WHOLE = re.compile(r"0*(\d+)(?:\.0+)?")
_COLUMNS = ["map_class", "reference_class"]


@dataclass(frozen=True)
class ClassMatch:
    """Classes of a map and of a reference brought together.

    Where a class of the reference may be several of the map, these are judged as one.

    Parameters
    ----------
    names : tuple of str
        Of the classes that are judged.
    of_map : tuple of int
        For each code of the map, the index of its judged class; `len(names)` for unclassified.
    of_reference : dict of str to int or None
        For each class of the reference likewise; `len(names)` for one that is not a class of the map, None for one that
        means "unknown".
    joined : tuple of str
        Names that mean several classes of the map.
    by_number : tuple of str
        What numbers without a name were taken for: "0 = AnnualCrop".
    """

    names: tuple[str, ...]
    of_map: tuple[int, ...]
    of_reference: dict[str, int | None]
    joined: tuple[str, ...]
    by_number: tuple[str, ...] = ()

    @property
    def numbers_note(self) -> str:
        """Sentence about numbers that were taken for codes of the map; empty if there are none."""
        if not self.by_number:
            return ""
        return f"numbers without a name are taken for codes of the map: {named(list(self.by_number), 10)}"

    @property
    def has_foreign(self) -> bool:
        """Whether the reference has classes that the map does not have."""
        return len(self.names) in self.of_reference.values()

    @property
    def has_unclassified(self) -> bool:
        """Whether the map may have cells that were left unclassified."""
        return len(self.names) in self.of_map


def match_classes(
    legend: Legend, reference: Iterable[str], table: Sequence[tuple[str, str]] = (), source: str = "the reference"
) -> ClassMatch:
    """Find the class of the map for each class of a reference.

    Numbers without a name are codes of the map only if all of them are, and none is in the table: else they are of
    another list, and some occur in the map by chance.

    Parameters
    ----------
    legend : Legend
        Of the map.
    reference : iterable of str
        Names, titles or values; several acceptable ones are separated by `|`.
    table : sequence of (str, str)
        Class of the map, class of the reference; takes precedence over names. An empty class of the map: it has none.
    source : str
        What messages call the reference.

    Raises
    ------
    CallError
        If classes are unknown: all of them in one message.
    """
    by_table: dict[str, list[str]] = {}
    for of_map, of_reference in table:
        by_table.setdefault(plain(of_reference).casefold(), []).append(of_map.strip())
    strange_in_table = [name for name, _ in table if name.strip() and _code(legend, name) is None]
    texts = sorted(set(reference))
    numbers = [text for text in texts if plain(text).isdigit() and not _is_named(legend, text)]
    left = [text for text in numbers if plain(text) not in by_table]
    strange = any(_code(legend, text) is None for text in left)
    foreign = set(left) if len(left) < len(numbers) or strange else set()
    found: dict[str, list[int] | None] = {}
    strangers = []
    for text in texts:
        named = by_table.get(plain(text).casefold())
        wanted = [part for part in (text.split(SEPARATOR) if named is None else named) if part.strip()]
        matched = [_code(legend, part) for part in wanted]
        if text in foreign or (named is None and (None in matched or not matched)):
            strangers.append(text)
        found[text] = [code for code in matched if code is not None]
    _refuse(legend, strange_in_table, strangers, source)
    codes = sorted({int(plain(text)) for text in left})
    return replace(_brought_together(legend, found), by_number=tuple(f"{code} = {legend[code].name}" for code in codes))


def read_table(path: Path) -> list[tuple[str, str]]:
    """Read a table of classes of the map and of a reference, for :func:`match_classes`.

    Raises
    ------
    CallError
        If it is not such a table.
    """
    try:
        rows = [row for row in csv_rows(read_text(path)) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CallError(f"the table {path} cannot be read: {error}") from error
    if not rows or [cell.strip() for cell in rows[0]] != _COLUMNS or any(len(row) != 2 for row in rows):
        raise CallError(f"the table {path} should have the columns {','.join(_COLUMNS)}, named in its first line")
    return [(row[0], row[1]) for row in rows[1:]]


def plain(text: str) -> str:
    """Return a name without spaces around it, and a whole number as `7`, not `07` or `7.0`."""
    number = _WHOLE.fullmatch(text.strip())
    return number[1] if number else text.strip()


def _is_named(legend: Legend, text: str) -> bool:
    """Whether a text is the name or title of a class, perhaps a number written otherwise."""
    return legend.code_named(text) is not None or legend.code_named(plain(text)) is not None


def _code(legend: Legend, text: str) -> int | None:
    """Find a class by its name, title or value; the value may be written as `07` or `7.0`."""
    code = legend.code_of(text)
    return legend.code_of(plain(text)) if code is None else code


def _refuse(legend: Legend, in_table: list[str], strangers: list[str], source: str) -> None:
    problems, known = [], f"not classes of the map, which has {', '.join(legend.names)}"
    if in_table:
        problems.append(f"the table names {', '.join(dict.fromkeys(in_table))}, {known}; correct it")
    if strangers:
        problems.append(
            f"{source} holds {', '.join(strangers)}, {known}; define them with --match FILE.csv with the columns"
            " map_class and reference_class, with an empty map_class where the map has no such class"
        )
    if problems:
        raise CallError(one_message(problems))


def _brought_together(legend: Legend, found: Mapping[str, list[int] | None]) -> ClassMatch:
    unclassified = {c.value for c in legend if c.name == UNCLASSIFIED}
    group = {c.value: c.value for c in legend if c.value not in unclassified}
    for codes in found.values():
        known = [code for code in codes or () if code in group]
        together = {group[code] for code in known}
        for code, of in group.items():
            if of in together:
                group[code] = min(together)
    leaders = sorted(set(group.values()))
    members = [[legend[code] for code in group if group[code] == leader] for leader in leaders]
    names = tuple(" + ".join(c.name for c in classes) for classes in members)
    index = {code: leaders.index(leader) for code, leader in group.items()}
    return ClassMatch(
        names,
        tuple(index.get(c.value, len(names)) for c in legend),
        {text: _judged(codes or [], index, len(names)) for text, codes in found.items()},
        tuple(name for name, classes in zip(names, members, strict=True) if len(classes) > 1),
    )


def _judged(codes: list[int], index: Mapping[int, int], foreign: int) -> int | None:
    if not codes:
        return foreign
    known = [index[code] for code in codes if code in index]
    return known[0] if known else None
