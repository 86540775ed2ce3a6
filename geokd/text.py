"""Text made harmless for who sees it: terminals obey escapes, spreadsheets formulas, and addresses hold secrets."""

import re
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote

# Control characters but for tab and new line, those that turn the direction of writing round, and halves of letters.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"[=+\-@\t\r]")

_QUERY = r"\?(?:(?!,[A-Za-z]\w*=)[^\s'\"<>])*"  # to the next of `red=URL,green=URL`, or the end of the address
_OPTIONS_OF_VSI = re.compile(rf"/vsi(\w+){_QUERY}")  # /vsicurl?header.Authorization=...&url=https%3A%2F%2F...
_SIGNED = re.compile(rf"(\w+://[^\s?'\"<>]*|/vsi\w+/[^\s?'\"<>]*){_QUERY}(?<![:;,.)])")
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]")
_USER = re.compile(r"(\w+://)[^\s/@?'\"<>]+@")
_PASSWORD = re.compile(r"(\b(?:password|passwd|pwd)\s*=\s*)(?:'[^']*'|[^\s;,'\"]+)", re.IGNORECASE)


def printable(text: str) -> str:
    r"""Return `text` with every character that a terminal would obey as its escape in JSON, `\u001b`."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def table_cell(text: str) -> str:
    """Return `text` as a cell of a table: what a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) else text


def without_secrets(text: str) -> str:
    """Return `text` with addresses that open nothing to who reads them.

    What follows the `?` of a URL or of one of GDAL's virtual paths (signatures, tokens, keys), user and password before
    its host, and the password of a database are left out.
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
