"""Making text safe to show: control characters for terminals, formulas for spreadsheets, secrets in addresses."""

import re
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote

# Control characters except tab and new line, changes of writing direction, and lone surrogates.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"[=+\-@\t\r]")

_QUERY = r"\?(?:(?!,[A-Za-z]\w*=)[^\s'\"<>])*"  # to the next of `red=URL,green=URL`, or the end of the address
_OPTIONS_OF_VSI = re.compile(rf"/vsi(\w+){_QUERY}")  # /vsicurl?header.Authorization=...&url=https%3A%2F%2F...
_SIGNED = re.compile(rf"(\w+://[^\s?'\"<>]*|/vsi\w+/[^\s?'\"<>]*){_QUERY}(?<![:;,.)])")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]")
_USER = re.compile(r"(\w+://)[^\s/@?'\"<>]+@")
_PASSWORD = re.compile(r"(\b(?:password|passwd|pwd)\s*=\s*)(?:'[^']*'|[^\s;,'\"]+)", re.IGNORECASE)


def printable(text: str) -> str:
    r"""Return `text` with control characters as JSON escapes, `\u001b`."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def table_cell(text: str) -> str:
    """Return `text` as a cell of a table: formulas of spreadsheets get an apostrophe in front."""
    return f"'{text}" if _FORMULA.match(text) else text


def without_secrets(text: str) -> str:
    """Return `text` without the secrets of addresses.

    The query of a URL or of a GDAL virtual path (signatures, tokens, keys), user and password before the host, and the
    password of a database are removed.
    """
    text = _OPTIONS_OF_VSI.sub(_without_options, text)
    return _PASSWORD.sub(r"\1***", _USER.sub(r"\1", _SIGNED.sub(r"\1", text)))


def _without_options(found: re.Match[str]) -> str:
    address = re.search(r"[?&]url=([^&]*)", found.group())
    return f"/vsi{found[1]}/{unquote(address[1])}" if address else f"/vsi{found[1]}/"


def file_name(path: str) -> str:
    """Return the last part of a path or an address, without its secrets."""
    plain = without_secrets(path)
    if plain == path and "://" not in path and not path.startswith("/vsi"):
        return PurePath(path).name
    return _NOT_IN_NAMES.sub("_", PurePosixPath(unquote(plain)).name)
