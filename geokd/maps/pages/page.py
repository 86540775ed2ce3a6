"""Self-contained HTML from Jinja templates: text is escaped, pictures are part of the page, nothing else is loaded."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from PIL import Image

from geokd.legend.classes import LandUseClass
from geokd.maps.class_map import ClassArea
from geokd.maps.pages.panels import percent

if TYPE_CHECKING:
    from jinja2 import Environment

_PICTURE_QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """An image that is part of a page: its data URL, and its size in pixels."""

    source: str
    width: int
    height: int


def picture(image: Image.Image, form: Literal["JPEG", "PNG"] = "PNG") -> Picture:
    """Encode an image for a page."""
    content = io.BytesIO()
    image.save(content, form, quality=_PICTURE_QUALITY, optimize=True)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return Picture(f"data:image/{form.lower()};base64,{data}", image.width, image.height)


def largest_first(areas: Iterable[ClassArea]) -> list[ClassArea]:
    """Return the classes that have cells, the largest first."""
    return sorted((area for area in areas if area.cells), key=lambda area: -area.area_ha)


def colours_of(legend: Iterable[LandUseClass]) -> dict[int, str]:
    """Return the colour RRGGBB of each class, by its code."""
    return {c.value: c.color_hint for c in legend}


def render(template: str, **values: Any) -> bytes:
    """Return a whole page, UTF-8. Its own policy forbids a browser to load or run anything that is not part of it."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace")


@cache
def _environment() -> "Environment":
    from jinja2 import DictLoader, Environment, StrictUndefined  # only pages need it, and they are optional

    texts = {name: _read(name) for name in ("page.html", "parts.html", "report.html", "index.html")}
    made = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"percent": percent, "quote": quote, "digest": _digest}
    made.globals |= {"style": _read("page.css"), "script": _read("page.js")}
    return made


def _read(name: str) -> str:
    return files("geokd.maps.pages").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
