"""Panels of pictures: a scene, and cells in colours, both true to scale."""

import contextlib
import importlib.util
import math
import re
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont, features

from geokd.legend.classes import NODATA, Legend
from geokd.scenes.grid import SceneGrid

_SLIM_PX = 24  # shorter side at least, so that a strip of one cell can be seen


_Colour = tuple[int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


INK: _Colour = (28, 32, 36)


GREY: _Colour = (98, 106, 114)


_LINE: _Colour = (176, 182, 188)


_HATCH: _Colour = (204, 208, 212)


_HATCH_GROUND: _Colour = (240, 242, 244)


@dataclass(frozen=True, eq=False)
class ScenePicture:
    """The scene as shown in a quicklook, as a rule read at reduced resolution.

    Parameters
    ----------
    rgb : uint8 array (3, rows, cols)
        True colour.
    valid : bool array (rows, cols)
        Which pixels hold data.
    grid : SceneGrid
        The grid of the whole scene at full resolution; `rgb` shows all of it, at whatever size.

    Raises
    ------
    ValueError
        If shapes or types disagree.
    """

    rgb: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    grid: SceneGrid

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.ndim != 3 or self.rgb.shape[0] != 3:
            raise ValueError(f"a scene picture is uint8 (3, rows, cols), not {self.rgb.dtype} {self.rgb.shape}")
        if self.valid.dtype != np.bool_ or self.valid.shape != self.rgb.shape[1:]:
            raise ValueError(f"its validity is bool {self.rgb.shape[1:]}, not {self.valid.dtype} {self.valid.shape}")


def _ground_size_m(grid: SceneGrid) -> tuple[float, float]:
    """Return width and height of the scene on the ground."""
    size_x, size_y = grid.pixel_size_m
    return grid.width * size_x, grid.height * size_y


def panel_size(grid: SceneGrid, longest_px: int) -> tuple[int, int]:
    """Return width and height of a panel in pixels: true to scale, but never too slim to be seen."""
    ground = _ground_size_m(grid)
    scale = longest_px / max(ground)
    return max(_SLIM_PX, round(ground[0] * scale)), max(_SLIM_PX, round(ground[1] * scale))


def scene_panel(scene: ScenePicture, size: tuple[int, int]) -> Image.Image:
    """Draw the scene, hatched where it holds no data."""
    enlarged = size[0] > scene.rgb.shape[2]
    how = Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX
    picture = Image.fromarray(np.ascontiguousarray(scene.rgb.transpose(1, 2, 0))).resize(size, how)
    valid = Image.fromarray(scene.valid).resize(size, Image.Resampling.NEAREST)
    return Image.composite(picture, _hatched(size), valid)


def class_palette(legend: Legend) -> NDArray[np.uint8]:
    """Return the colour of each code, uint8 (256, 3)."""
    palette = np.zeros((NODATA + 1, 3), np.uint8)
    palette[: len(legend)] = [c.rgb for c in legend]
    return palette


def cells_panel(
    values: NDArray[np.uint8], palette: NDArray[np.uint8], grids: tuple[SceneGrid, SceneGrid], size: tuple[int, int]
) -> Image.Image:
    """Draw the part of a map that the scene covers: the last cells of a map may reach past their scene.

    Parameters
    ----------
    values : uint8 array (rows, cols)
        Of the cells; 255, not mapped, is hatched.
    palette : uint8 array (256, 3)
        The colour of each value.
    grids : pair of SceneGrid
        The cells', the scene's.
    size : two ints
        Width and height of the panel.
    """
    cells, scene = grids
    cell, pixel = cells.transform, scene.transform
    cells_wide = scene.width * math.hypot(pixel.a, pixel.d) / math.hypot(cell.a, cell.d)
    cells_high = scene.height * math.hypot(pixel.b, pixel.e) / math.hypot(cell.b, cell.e)
    cols = ((np.arange(size[0]) + 0.5) / size[0] * cells_wide).astype(int).clip(max=cells.width - 1)
    rows = ((np.arange(size[1]) + 0.5) / size[1] * cells_high).astype(int).clip(max=cells.height - 1)
    shown = values[rows[:, np.newaxis], cols]
    return Image.composite(Image.fromarray(palette[shown]), _hatched(size), Image.fromarray(shown != NODATA))


def _hatched(size: tuple[int, int]) -> Image.Image:
    """Draw what is not mapped: light diagonal lines."""
    x, y = np.ogrid[: size[1], : size[0]]
    line = ((x + y) % 10 < 2).astype(np.intp)
    return Image.fromarray(np.array([_HATCH_GROUND, _HATCH], np.uint8)[line])


def percent(share: float) -> str:
    """Write a share in percent; of what there is, none as nothing."""
    return f"{share:.1f} %" if share >= 0.05 else "< 0.1 %"


_PROBE_PX = 22
_OWN_FONT = ""  # which Pillow brings along; it has hardly a letter beyond ASCII
_OTHER_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf")
_FONT_FOLDERS = (  # of Linux, macOS and Windows
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    *("C:/Windows/Fonts", "~/AppData/Local/Microsoft/Windows/Fonts"),
)
_MOST_FONTS = 2_000
_SHAPED = ((0x0590, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x17FF))  # written from the right, or letters join or move
_FONTS_OF_SCRIPTS = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "PingFang.ttc")


def font(size: int, text: str = "") -> _Font:
    """Return a font that has all letters of a text, if there is one, at a size in pixels."""
    return _font(_font_of(text) or _OWN_FONT, size)


def can_draw(text: str) -> bool:
    """Whether a font here has all letters of a text; pictures show a box for those that it lacks."""
    return _font_of(text) is not None


@cache
def _font_of(text: str) -> str | None:
    """Name the first font that has all letters of a text."""
    if any(first <= ord(letter) <= last for first, last in _SHAPED for letter in text) and not features.check("raqm"):
        return None
    if _has_letters(_OWN_FONT, text):
        return _OWN_FONT
    return next((name for name in chain(_fonts(), _font_files()) if _has_letters(name, text)), None)


@cache
def _fonts() -> tuple[str, ...]:
    """Name the fonts that this machine has beside Pillow's own."""
    beside = importlib.util.find_spec("matplotlib")
    own = () if beside is None or beside.origin is None else (_font_of_matplotlib(beside.origin),)
    found = []
    for name in (*_OTHER_FONTS, *own, *_FONTS_OF_SCRIPTS):
        with contextlib.suppress(OSError):
            ImageFont.truetype(name, _PROBE_PX)
            found.append(name)
    return tuple(found)


@cache
def _font_files() -> tuple[str, ...]:
    """List all font files of this machine, upright ones of usual weight first."""
    folders = (Path(folder).expanduser() for folder in _FONT_FOLDERS)
    files = (
        file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in (".ttf", ".otf", ".ttc")
    )
    styled = re.compile(r"bold|italic|oblique|light|thin|black|cond", re.IGNORECASE)
    return tuple(sorted(map(str, islice(files, _MOST_FONTS)), key=lambda file: (bool(styled.search(file)), file)))


def _font_of_matplotlib(origin: str) -> str:
    return str(Path(origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")


@cache
def _font(name: str, size: int) -> _Font:
    return ImageFont.load_default(size) if name == _OWN_FONT else ImageFont.truetype(name, size)


@cache
def _has_letters(name: str, text: str) -> bool:
    try:
        box = bytes(_font(name, _PROBE_PX).getmask("\uffff"))
        return all(c.isspace() or c < "\x7f" or bytes(_font(name, _PROBE_PX).getmask(c)) != box for c in set(text))
    except OSError:  # a broken file, or a kind of font that FreeType does not know
        return False
