"""Text of unknown origin, made harmless for what shows it: terminals obey escape sequences, spreadsheets formulas."""

import re

# Control characters but for tab and new line, those that turn the direction of writing round, and halves of letters.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_FORMULA = re.compile(r"[=+\-@\t\r]")


def printable(text: str) -> str:
    r"""Return `text` with every character that a terminal would obey as its escape in JSON, `\u001b`."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def table_cell(text: str) -> str:
    """Return `text` as a cell of a table: what a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) else text
