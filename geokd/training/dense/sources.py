"""The table of labelled scenes for training a dense student: a TOML or CSV file, one entry for each scene."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from geokd.errors import CallError, one_message
from geokd.scenes.options import AreaOptions
from geokd.system.documents import csv_rows, parse_toml, read_text
from geokd.training.recipe_file import expanded

Values = Literal["surface reflectance", "top of atmosphere"]
Kind = Literal["codes", "shares", "polygons"]

_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "share": float,
    "chips_px": int,
    "value_scale": float,
    "value_offset": float,
}
_TEMPLATE = 'scene = "scene.tif", labels = "labels.tif", kind = "codes"'


@dataclass(frozen=True)
class Source:
    """One labelled scene.

    Parameters
    ----------
    scene : Path
        A raster with the recipe's bands.
    labels : Path
        Its labels: a raster on the same pixels, or polygons.
    kind : {"codes", "shares", "polygons"}
        A raster of class codes; a raster with a band for each class, of shares or probabilities (scale tags are
        used); or a vector file of polygons.
    field : str
        The attribute of polygons that holds the class.
    share : float
        Share of the training patches that come from this scene; shares are scaled to sum 1.
    values : {"surface reflectance", "top of atmosphere"}
        The kind of the scene's values: the atmosphere is varied accordingly.
    chips_px : int
        Side of the chips if both files are sheets of unrelated square chips; 0: one scene.
    value_scale, value_offset : float or None
        Reflectance x 10,000 = DN * value_scale + value_offset; None: from the scene's tags.
    aoi, where, bbox
        The area whose labels are used, as in :class:`geokd.scenes.options.AreaOptions`. None: the whole scene.
    mask : str or None
        Mask of pixels whose labels are not used, as in :class:`geokd.scenes.options.SceneOptions`.
    """

    scene: Path
    labels: Path
    kind: Kind = "codes"
    field: str = "class"
    share: float = 1.0
    values: Values = "surface reflectance"
    chips_px: int = 0
    value_scale: float | None = None
    value_offset: float | None = None
    aoi: str | None = None
    where: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    mask: str | None = None

    @property
    def area(self) -> AreaOptions:
        """The part of the scene whose labels are used."""
        return AreaOptions(aoi=self.aoi, where=self.where, bbox=self.bbox)


def is_table(path: str | Path) -> bool:
    """Whether a path names a table of labelled scenes rather than chips."""
    return Path(path).suffix.lower() in (".toml", ".csv")


def read_sources(path: str | Path) -> tuple[Source, ...]:
    """Read a table of labelled scenes; paths in it are relative to its folder, `~` and `$VARIABLE` are expanded.

    Raises
    ------
    CallError
        If the table cannot be read, or an entry is unusable: all problems in one message.
    """
    table = Path(path)
    rows = _rows(table)
    if not rows:
        raise CallError(f"{table} lists no scene; give at least one [[source]] with {_TEMPLATE}")
    problems: list[str] = []
    found = [_source(row, f"source {number} of {table}", table.parent, problems) for number, row in enumerate(rows, 1)]
    if problems:
        raise CallError(one_message(problems))
    return tuple(source for source in found if source is not None)


def _rows(table: Path) -> list[dict[str, Any]]:
    try:
        text = read_text(table)
        if table.suffix.lower() == ".csv":
            header, *rows = [[cell.strip() for cell in row] for row in csv_rows(text) if row] or [[]]
            return [{key: value for key, value in zip(header, row, strict=False) if key and value} for row in rows]
        document = parse_toml(text)
    except OSError as error:
        raise CallError(f"cannot read the table of scenes {table}: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise CallError(f"the table of scenes {table} cannot be read: {error}") from error
    found = document.get("source", [])
    if set(document) - {"source"} or not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise CallError(f"the table of scenes {table} must contain only entries [[source]], each with {_TEMPLATE}")
    return found


def _source(row: Mapping[str, Any], where: str, folder: Path, problems: list[str]) -> Source | None:
    """Check one entry; add what is wrong with it to `problems`."""
    known = [f.name for f in fields(Source)]
    before = len(problems)
    unknown = [key for key in row if key not in known]
    if unknown:
        problems.append(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for key, value in row.items():
        kind = _box if key == "bbox" else _NUMBERS.get(key, str)
        try:
            values[key] = kind(value)
        except (ValueError, TypeError):
            wanted = "four numbers: west, south, east, north" if key == "bbox" else "a number"
            problems.append(f"{where}: {key} = {value!r} is not {wanted}")
    for key in ("scene", "labels"):
        if key not in values:
            problems.append(f"{where}: {key} is missing")
            continue
        named = expanded(values[key])
        values[key] = named if named.is_absolute() else folder / named
        if not values[key].exists():
            problems.append(f"{where}: {key} = {values[key]}: the file does not exist")
    for key, choices in (
        ("kind", ("codes", "shares", "polygons")),
        ("values", ("surface reflectance", "top of atmosphere")),
    ):
        if key in values and values[key] not in choices:
            problems.append(f"{where}: {key} = {values[key]!r} is not one of {', '.join(map(repr, choices))}")
    if values.get("share", 1.0) is not None and not 0 < values.get("share", 1.0) < float("inf"):
        problems.append(f"{where}: share = {values['share']} must be above 0")
    if values.get("chips_px", 0) and not 16 <= values["chips_px"] <= 1024:
        problems.append(f"{where}: chips_px = {values['chips_px']} is outside 16..1024")
    if values.get("kind") == "polygons" and values.get("chips_px"):
        problems.append(f"{where}: a sheet of chips cannot have polygons as labels; give a raster of labels")
    _check_area_and_mask(values, where, folder, problems)
    known_values = {key: value for key, value in values.items() if key in known}
    return Source(**known_values) if len(problems) == before else None


def _check_area_and_mask(values: dict[str, Any], where: str, folder: Path, problems: list[str]) -> None:
    """Make the paths of area and mask absolute; add what is wrong with them to `problems`."""
    if values.get("mask"):
        values["mask"] = _mask_of(values["mask"], folder)
    aoi = values.get("aoi")
    if aoi is not None:
        named = expanded(aoi)
        values["aoi"] = str(named if named.is_absolute() else folder / named)
    try:
        area = AreaOptions(**{name: values.get(name) for name in ("aoi", "where", "bbox")})
    except CallError as error:
        problems.append(f"{where}: {str(error).replace('--', '')}")
        return
    if (area != AreaOptions() or values.get("mask")) and values.get("chips_px"):
        problems.append(f"{where}: chips of a sheet have no place; leave out aoi, bbox and mask")


def _mask_of(asked: str, folder: Path) -> str:
    """Return a mask with the path of its file made absolute, if it is one."""
    name, colon, values = asked.rpartition(":")
    for file, rest in ((asked, ""), (name, colon + values)):
        if file and (path := folder / expanded(file)).is_file():
            return f"{path}{rest}"
    return asked


def _box(value: Any) -> tuple[float, ...]:
    """Read a list of four numbers, or a text of them separated by commas or spaces.

    Raises
    ------
    ValueError, TypeError
        If it is not one.
    """
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    west, south, east, north = (float(part) for part in parts)
    return west, south, east, north
