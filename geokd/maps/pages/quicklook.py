"""The quicklook: one picture of the scene beside its map, with legend, shares, scale bar and north arrow."""

import io
import math
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from geokd.files import write_bytes
from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.class_map import ClassMap, class_areas
from geokd.maps.pages.panels import (
    _LINE,
    GREY,
    INK,
    ScenePicture,
    _Colour,
    _ground_size_m,
    _hatched,
    can_draw,
    cells_panel,
    class_palette,
    font,
    panel_size,
    percent,
    scene_panel,
)
from geokd.scenes.grid import SceneGrid

_PANEL_PX = 800  # longer side of scene and map
_THUMBNAIL_PX = 512  # longer side; catalogues expect less than 600
_CAPTIONED_PX = 110  # room that a panel's caption needs
_STACKED_FROM = 1.6  # scenes wider than this many times their height lie above their map, others beside it
_MARGIN_PX, _GAP_PX, _HEAD_PX, _CAPTION_PX = 44, 36, 100, 38
_KEY_WIDTH_PX, _KEY_FOOT_PX, _ROW_PX, _SWATCH_PX, _BAR_PX = 370, 190, 40, 26, 240
_BODY_PX = 460  # height at least, for legend and scale bar beside a flat scene
_TITLE_PX = 1400  # longest title or subtitle
_COMPRESS_LEVEL = 4  # of 9: a third of the time of the best, one percent larger
_HEADLINE, _TEXT, _SMALL = 36, 22, 19  # font sizes


@dataclass(frozen=True)
class _Entry:
    """A line of the legend; without a colour it shows the hatch of what is not mapped."""

    title: str
    share: str
    colour: _Colour | None


def write_quicklook(class_map: ClassMap, scene: ScenePicture | None, path: Path, title: str, subtitle: str) -> None:
    """Write a PNG of the scene and its map, both of the same ground at the same size; or of the map alone.

    `subtitle` stands below `title`, for example the model's name. Classes without cells are left out of the legend; the
    north arrow is drawn only where up is north.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    _write_png(_draw(class_map, scene, title, subtitle), path)


def write_thumbnail(class_map: ClassMap, path: Path) -> None:
    """Write a small PNG of the map alone, for lists of many.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    _write_png(draw_thumbnail(class_map, _THUMBNAIL_PX), path)


def draw_thumbnail(class_map: ClassMap, longest_px: int) -> Image.Image:
    """Draw the map alone, small."""
    grid = class_map.grid
    return cells_panel(class_map.codes, class_palette(class_map.legend), (grid, grid), panel_size(grid, longest_px))


def _write_png(picture: Image.Image, path: Path) -> None:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=_COMPRESS_LEVEL)
    write_bytes(path, content.getvalue())


def _draw(class_map: ClassMap, scene: ScenePicture | None, title: str, subtitle: str) -> Image.Image:
    grid = class_map.grid if scene is None else scene.grid
    size = panel_size(grid, _PANEL_PX)
    panels = {} if scene is None else {"Scene": scene_panel(scene, size)}
    panels["Land use"] = cells_panel(class_map.codes, class_palette(class_map.legend), (class_map.grid, grid), size)
    stacked = size[0] > _STACKED_FROM * size[1]
    step_x = 0 if stacked or scene is None else max(size[0], _CAPTIONED_PX) + _GAP_PX
    step_y = size[1] + _CAPTION_PX + _GAP_PX if stacked and scene is not None else 0
    body = max(step_y + size[1] + _CAPTION_PX, _BODY_PX)

    entries = _legend_entries(class_map, all_valid=scene is None or bool(scene.valid.all()))
    columns, rows = _arranged(len(entries), (body - _CAPTION_PX - _KEY_FOOT_PX) // _ROW_PX)
    key_x = _MARGIN_PX + step_x + max(size[0], _CAPTIONED_PX) + _GAP_PX
    key_width = columns * (_KEY_WIDTH_PX + _GAP_PX) - _GAP_PX
    heads = _fitted(title, _HEADLINE, _TITLE_PX), _fitted(subtitle, _TEXT, _TITLE_PX)
    head_width = max(font(_HEADLINE, heads[0]).getlength(heads[0]), font(_TEXT, heads[1]).getlength(heads[1]))
    width = max(key_x + key_width, _MARGIN_PX + math.ceil(head_width)) + _MARGIN_PX
    body_y = _MARGIN_PX + _HEAD_PX

    image = Image.new("RGB", (width, body_y + body + _MARGIN_PX), "white")
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN_PX, _MARGIN_PX), heads[0], INK, font(_HEADLINE, heads[0]), anchor="lt")
    draw.text((_MARGIN_PX, _MARGIN_PX + 50), heads[1], GREY, font(_TEXT, heads[1]), anchor="lt")
    for number, (caption, panel) in enumerate(panels.items()):
        x, y = _MARGIN_PX + number * step_x, body_y + number * step_y
        draw.text((x, y), caption, INK, font(_TEXT), anchor="lt")
        image.paste(panel, (x, y + _CAPTION_PX))
        draw.rectangle((x - 1, y + _CAPTION_PX - 1, x + size[0], y + _CAPTION_PX + size[1]), outline=_LINE)
    draw.text((key_x, body_y), "Share of the mapped area", INK, font(_TEXT), anchor="lt")
    for number, entry in enumerate(entries):
        column, row = divmod(number, rows)
        _draw_entry(image, (key_x + column * (_KEY_WIDTH_PX + _GAP_PX), body_y + _CAPTION_PX + row * _ROW_PX), entry)
    foot_y = body_y + _CAPTION_PX + rows * _ROW_PX + _GAP_PX
    _draw_foot(draw, (key_x, foot_y), class_map.grid, max(_ground_size_m(grid)) / _PANEL_PX)
    return image


def notes_of_letters(legend: Legend) -> list[str]:
    """Say which classes the pictures of a map call otherwise, since no font here has all letters of their titles."""
    lacking = [f"{c.title} as {drawn_title(c)}" for c in legend if not can_draw(c.title)]
    return [f"no font here has all letters of some titles, so pictures show {', '.join(lacking)}"] if lacking else []


def drawn_title(land_use: LandUseClass) -> str:
    """Return the title; where no font has its letters without their accents or, at last, the number of the class."""
    bare = unicodedata.normalize("NFKD", land_use.title)
    bare = "".join(letter for letter in bare if not unicodedata.combining(letter))
    return next(filter(can_draw, (land_use.title, bare)), f"class {land_use.value}")


def _arranged(count: int, fit: int) -> tuple[int, int]:
    """Return the number of columns and rows for `count` entries, as even as can be, `fit` in a column at most."""
    columns = max(1, -(-count // fit))
    return columns, -(-count // columns)


def _legend_entries(class_map: ClassMap, *, all_valid: bool) -> list[_Entry]:
    """List the classes that occur, the largest first, then the hatch where anything is not mapped."""
    present = sorted((row for row in class_areas(class_map) if row.cells), key=lambda row: -row.area_ha)
    entries = [
        _Entry(drawn_title(class_map.legend[row.value]), percent(row.share_percent), class_map.legend[row.value].rgb)
        for row in present
    ]
    if not (all_valid and class_map.cell_counts().sum() == class_map.codes.size):
        entries.append(_Entry("Not mapped", "", None))
    return entries


def _draw_entry(image: Image.Image, at: tuple[int, int], entry: _Entry) -> None:
    x, y = at
    draw = ImageDraw.Draw(image)
    swatch = (x, y, x + _SWATCH_PX, y + _SWATCH_PX)
    if entry.colour is None:
        image.paste(_hatched((_SWATCH_PX, _SWATCH_PX)), at)
    draw.rectangle(swatch, fill=entry.colour, outline=_LINE)
    middle = y + _SWATCH_PX // 2
    share_width = math.ceil(font(_TEXT).getlength("100.0 %")) + 12
    text_x = x + _SWATCH_PX + 14
    title = _fitted(entry.title, _TEXT, x + _KEY_WIDTH_PX - share_width - text_x)
    draw.text((text_x, middle), title, INK, font(_TEXT, title), anchor="lm")
    draw.text((x + _KEY_WIDTH_PX, middle), entry.share, INK, font(_TEXT), anchor="rm")


def _draw_foot(draw: ImageDraw.ImageDraw, at: tuple[int, int], grid: SceneGrid, metres_per_px: float) -> None:
    """Draw scale bar, north arrow and, in words, cells and CRS."""
    x, y = at
    metres = round_length(_BAR_PX * metres_per_px)
    half = round(metres / metres_per_px / 2)
    draw.rectangle((x, y + 28, x + 2 * half, y + 36), outline=INK)
    draw.rectangle((x, y + 28, x + half, y + 36), fill=INK)
    draw.text((x, y + 18), "0", INK, font(_SMALL), anchor="ls")
    draw.text((x + 2 * half, y + 18), _length(metres), INK, font(_SMALL), anchor="ms")
    t = grid.transform
    if t.b == t.d == 0 and t.a > 0 > t.e:
        north = x + _KEY_WIDTH_PX - 20
        draw.polygon(((north, y), (north - 11, y + 36), (north, y + 28)), fill=INK)
        draw.polygon(((north, y), (north + 11, y + 36), (north, y + 28)), outline=INK)
        draw.text((north, y - 6), "N", INK, font(_SMALL), anchor="ms")
    size_x, size_y = (f"{size:.4g}" for size in grid.pixel_size_m)
    crs = grid.crs.to_string() if grid.crs else "no CRS"
    draw.text((x, y + 62), f"Cells of {size_x} x {size_y} m", GREY, font(_SMALL), anchor="lt")
    draw.text((x, y + 88), _fitted(crs, _SMALL, _KEY_WIDTH_PX), GREY, font(_SMALL), anchor="lt")


def round_length(longest: float) -> float:
    """Return the greatest 1, 2 or 5 times a power of ten that is at most `longest`, a positive length."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)


def _length(metres: float) -> str:
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"


def _fitted(text: str, size: int, longest_px: int) -> str:
    """Cut `text` so that it is at most `longest_px` wide."""
    length = font(size, text).getlength
    if length(text) <= longest_px:
        return text
    while text and length(text + "...") > longest_px:
        text = text[:-1]
    return text.rstrip() + "..."
