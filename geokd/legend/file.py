"""Class names and colours from a user's TOML, CSV or QGIS style; and a template to start with.

A file gives a list of :class:`Restyle`; :mod:`geokd.legend.regrouping` compares it with the existing classes.
"""

import csv
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geokd.errors import CallError, one_message
from geokd.legend.classes import Legend
from geokd.system.documents import parse_toml, read_text

_COLUMNS = ("from", "title", "color_hint", "name")
_COLOUR = re.compile(r"#?([0-9A-Fa-f]{6})")

_TEMPLATE = """\
# The classes of {origin}. Change titles and colours, and leave out classes that do not change. Classes are merged by
# `from`, a list of their names or titles as they are here:
#
#     [[legend]]
#     from = ["{first}", "{second}"]
#     title = "A title of your own"
#     color_hint = "F2D45C"
"""


@dataclass(frozen=True)
class Restyle:
    """One new class, made of one or several old ones.

    Parameters
    ----------
    sources : tuple of str
        Names, titles or values of the old classes.
    name, title, color_hint : str or None
        None: not stated. The colour is RRGGBB in upper case.
    """

    sources: tuple[str, ...]
    name: str | None = None
    title: str | None = None
    color_hint: str | None = None


def read_legend_file(path: str | Path) -> list[Restyle]:
    """Read a legend that a user wrote, or that QGIS saved.

    A `.toml` has tables `[[legend]]` like a recipe: `name`, `title`, `color_hint`, and `from`, a class or a list of
    them (default: the class `name`). A `.csv` has a row a class, columns `from`, `title` and perhaps `color_hint` and
    `name`; a `.qml` is the style of a paletted raster or of categorised polygons. In both, classes with the same title
    are merged.

    Raises
    ------
    CallError
        If it cannot be read or is not such a file: all problems in one message.
    """
    file = Path(path)
    readers = {".toml": _from_toml, ".csv": _from_csv, ".qml": _from_qml}
    if file.suffix.lower() not in readers:
        raise CallError(f"the legend {path} is neither .toml nor .csv nor .qml; write it as one of these")
    problems: list[str] = []
    try:
        found = list(readers[file.suffix.lower()](read_text(file), problems))
    except OSError as error:
        raise CallError(f"the legend {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CallError(f"the legend {path} is not in UTF-8; save it in UTF-8") from error
    except (ValueError, csv.Error, ET.ParseError) as error:  # of TOML, too
        raise CallError(f"the legend {path} cannot be read as {file.suffix[1:].upper()}: {error}") from error
    if not found and not problems:
        problems.append("it names no class")
    if problems:
        raise CallError(one_message([f"the legend {path} cannot be used: {problem}" for problem in problems]))
    return found


def legend_as_toml(legend: Legend, origin: str) -> str:
    """Return a legend as the text of a file for :func:`read_legend_file`, to be edited."""
    names = [json.dumps(c.name)[1:-1] for c in legend]
    lines = [_TEMPLATE.format(origin=" ".join(origin.split()), first=names[0], second=names[1 % len(names)])]
    for c in legend:
        values = {"name": c.name, "title": c.title, "color_hint": c.color_hint}
        rows = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
        lines.append("\n".join(["[[legend]]", *rows, ""]))
    return "\n".join(lines)


def _from_toml(content: str, problems: list[str]) -> Iterator[Restyle]:
    rows = parse_toml(content).get("legend", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append("its classes are not tables [[legend]]")
        return
    for number, row in enumerate(rows, 1):
        where = f"class {number}"
        unknown = sorted(set(row) - set(_COLUMNS))
        if unknown:
            problems.append(f"{where} has the unknown key {', '.join(unknown)}; it may have {', '.join(_COLUMNS)}")
        sources = row.get("from", row.get("name"))
        if isinstance(sources, str):
            sources = [sources]
        if not sources or not isinstance(sources, list) or not all(isinstance(text, str) for text in sources):
            problems.append(f"{where} has neither `name` nor `from`, so its class is unknown")
            continue
        texts = {key: row[key] for key in ("name", "title", "color_hint") if key in row}
        odd = [key for key, value in texts.items() if not isinstance(value, str)]
        if odd:
            problems.append(f"{where}: {', '.join(odd)} should be in quotes")
            continue
        yield _restyle(sources, texts, where, problems)


def _from_csv(content: str, problems: list[str]) -> Iterator[Restyle]:
    lines = content.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)  # spreadsheets write semicolons where the comma is the decimal separator
    header, *rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)] or [[]]
    if not {"from", "title"} <= set(header) <= set(_COLUMNS) or len(set(header)) < len(header):
        problems.append(f"its first line should have the columns from,title and maybe color_hint,name, not {first!r}")
        return
    rows = [row for row in rows if any(row)]
    if any(len(row) != len(header) for row in rows):
        problems.append("its lines differ in their number of columns")
        return
    yield from _merged((dict(zip(header, row, strict=True)) for row in rows), problems)


def _from_qml(content: str, problems: list[str]) -> Iterator[Restyle]:
    root = ET.fromstring(content)
    entries = [(e.get("value", ""), e.get("label", ""), e.get("color", "")) for e in root.iter("paletteEntry")]
    if not entries:
        renderer = root.find(".//renderer-v2[@type='categorizedSymbol']")
        if renderer is None:
            problems.append("it is the style of neither a paletted raster nor categorised polygons")
            return
        colours = {symbol.get("name", ""): _symbol_colour(symbol) for symbol in renderer.iterfind("symbols/symbol")}
        for category in renderer.iterfind("categories/category"):
            values = [val.get("value", "") for val in category.iterfind("val")] or [category.get("value", "")]
            entries += [
                (value, category.get("label", ""), colours.get(category.get("symbol", ""), "")) for value in values
            ]
    kept = [entry for entry in entries if entry[0]]  # without QGIS's "all other values"
    yield from _merged((dict(zip(("from", "title", "color_hint"), entry, strict=True)) for entry in kept), problems)


def _symbol_colour(symbol: ET.Element) -> str:
    """Colour of a symbol's layer as #rrggbb: QGIS writes `r,g,b,a`, from 3.26 on as an Option, before as a prop."""
    options = {o.get("name"): o.get("value", "") for o in symbol.iterfind("layer/Option/Option")}
    options |= {p.get("k"): p.get("v", "") for p in symbol.iterfind("layer/prop")}
    parts = options.get("color", "").split(",")[:3]
    numbers = [int(part) for part in parts if part.strip().isdigit()]
    return f"#{bytes(numbers).hex()}" if len(numbers) == 3 and max(numbers) < 256 else ""


def _merged(rows: Iterable[Mapping[str, str]], problems: list[str]) -> Iterator[Restyle]:
    """Merge rows with the same title; each row is about one old class."""
    groups: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        title = row["title"] or row["from"]
        groups.setdefault(title, []).append(row)
    for title, members in groups.items():
        where = f"class {title!r}"
        texts: dict[str, Any] = {}
        for key in ("color_hint", "name"):
            stated = list(dict.fromkeys(row[key] for row in members if row.get(key)))
            if key == "name" and len(stated) > 1:
                problems.append(f"{where} has several names: {', '.join(stated)}")
            texts |= {key: stated[0]} if stated else {}
        if any(row["title"] for row in members):
            texts["title"] = title
        yield _restyle([row["from"] for row in members], texts, where, problems)


def _restyle(sources: Iterable[str], texts: Mapping[str, str], where: str, problems: list[str]) -> Restyle:
    colour = texts.get("color_hint")
    match = None if colour is None else _COLOUR.fullmatch(colour.strip())
    if colour is not None and match is None:
        problems.append(f"the colour {colour!r} of {where} is not six digits #RRGGBB")
    title = texts.get("title")
    composed = None if title is None else unicodedata.normalize("NFC", title)
    return Restyle(tuple(sources), texts.get("name"), composed, match[1].upper() if match else None)
