"""Self-contained HTML: text is escaped wherever it goes in, pictures are part of the page, nothing else is loaded."""

import base64
import io
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Literal

from PIL import Image

_VOID = frozenset(("img", "input"))
_PICTURE_QUALITY = 85


class Html(str):
    """Markup, which goes into a page as it is; any other text is escaped."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: str | int | float | bool | None) -> Html:
    """Return an element.

    Parameters
    ----------
    tag : str
    *content : str
        Text, or :class:`Html`.
    **attributes
        None and False leave one out, True gives none a value; `class_` is `class`, `aria_label` is `aria-label`.
    """
    shown = "".join(
        f" {name.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{shown}>" if tag in _VOID else f"<{tag}{shown}>{joined(content)}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    """Put text and markup together."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def picture(image: Image.Image, alt: str, form: Literal["JPEG", "PNG"] = "PNG") -> Html:
    """Return an image that is part of the page."""
    content = io.BytesIO()
    image.save(content, form, quality=_PICTURE_QUALITY, optimize=True)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    source = f"data:image/{form.lower()};base64,{data}"
    return element("img", src=source, alt=alt, width=image.width, height=image.height)


def bar(share: float, colour: str | None = None) -> Html:
    """Return a bar, `share` (0 to 1) of the width there is, of a colour RRGGBB."""
    fill = f"#{colour}" if colour else "currentColor"
    length = f"{100 * share:.2f}%"
    drawn = element("rect", x="0.5", y="0.5", width=length, height="11", fill=fill, class_="outlined")
    return element("svg", drawn, class_="bar", aria_hidden="true")


def swatch(colour: str | None) -> Html:
    """Return a small square of a colour RRGGBB; None is hatched, for what is not mapped."""
    if colour is None:
        return element("span", class_="swatch hatched", aria_hidden="true")
    square = element("rect", width="100%", height="100%", fill=f"#{colour}")
    return element("svg", square, class_="swatch", aria_hidden="true")


def table(head: Iterable[str], rows: Iterable[Iterable[str]], numbers: Iterable[int] = ()) -> Html:
    """Return a table; columns `numbers`, from 0, are set as figures are, and the first cell of a row is its head."""
    right = set(numbers)

    def row(cells: Iterable[str], first: str, rest: str) -> Html:
        return element(
            "tr",
            *(
                element(
                    rest if number else first,
                    cell,
                    class_="number" if number in right else None,
                    scope=("col" if rest == "th" else "row") if "th" in (rest if number else first) else None,
                )
                for number, cell in enumerate(cells)
            ),
        )

    body = element("tbody", *(row(cells, "th", "td") for cells in rows))
    return element("div", element("table", element("thead", row(head, "th", "th")), body), class_="scrolled")


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Return names and their values."""
    return element("dl", *(joined((element("dt", name), element("dd", value))) for name, value in pairs if value))


def section(title: str, *content: str) -> Html:
    """Return a part of a page, under its title."""
    return element("section", element("h2", title), *content)


def page(title: str, *content: str) -> bytes:
    """Return a whole page, UTF-8. Its own policy forbids a browser to load or run anything that is not part of it."""
    style, script = _part("page.css"), _part("page.js")
    whole = Template(_part("page.html")).substitute(
        title=escape(title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        content=joined(content),
    )
    return whole.encode("utf-8", "replace")


def _part(name: str) -> str:
    return files("geokd.maps.pages").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
