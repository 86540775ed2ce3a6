"""Many maps of one scene on one picture, each with a caption."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geokd.files import write_bytes
from geokd.legend.classes import NODATA, Legend
from geokd.maps.pages.panels import GREY, INK, font
from geokd.maps.pages.quicklook import drawn_title

_PANEL_PX, _GAP_PX, _CAPTION_PX, _COLUMNS = 380, 18, 54, 5
_SWATCH_PX, _KEY_STEP_PX = 20, 230


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture with a caption.

    Parameters
    ----------
    title, note : str
    picture : uint8 array (rows, cols) of class codes, or (rows, cols, 3) in colour
    """

    title: str
    note: str
    picture: NDArray[np.uint8]


def write_contact_sheet(panels: list[Panel], legend: Legend, path: Path) -> None:
    """Write a PNG of all panels, five a row, the legend below.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    palette = np.full((NODATA + 1, 3), 255, np.uint8)
    palette[: len(legend)] = [c.rgb for c in legend]
    rows, cols = panels[0].picture.shape[:2]
    shrink = _PANEL_PX / max(rows, cols)
    size = max(1, round(cols * shrink)), max(1, round(rows * shrink))
    step_x, step_y = max(size[0], 200) + _GAP_PX, size[1] + _CAPTION_PX + _GAP_PX
    across = min(_COLUMNS, len(panels))
    down = -(-len(panels) // across)
    width = across * step_x + _GAP_PX
    keys_across = max(1, (width - _GAP_PX) // _KEY_STEP_PX)
    height = down * step_y + _GAP_PX + -(-len(legend) // keys_across) * 30 + _GAP_PX
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, panel in enumerate(panels):
        x, y = _GAP_PX + number % across * step_x, _GAP_PX + number // across * step_y
        draw.text((x, y), panel.title, INK, font(19, panel.title))
        draw.text((x, y + 25), panel.note, GREY, font(16, panel.note))
        colours = palette[panel.picture] if panel.picture.ndim == 2 else panel.picture
        how = Image.Resampling.NEAREST if panel.picture.ndim == 2 else Image.Resampling.BOX
        sheet.paste(Image.fromarray(colours).resize(size, how), (x, y + _CAPTION_PX))
    for number, label in enumerate(legend):
        x = _GAP_PX + number % keys_across * _KEY_STEP_PX
        y = down * step_y + _GAP_PX + number // keys_across * 30
        title = drawn_title(label)
        draw.rectangle((x, y, x + _SWATCH_PX, y + _SWATCH_PX), fill=label.rgb, outline=GREY)
        draw.text((x + _SWATCH_PX + 8, y + _SWATCH_PX // 2), title, INK, font(16, title), anchor="lm")
    content = io.BytesIO()
    sheet.save(content, "PNG", optimize=True)
    write_bytes(path, content.getvalue())
