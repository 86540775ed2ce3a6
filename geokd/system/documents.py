"""Small documents from users, read with limits on their size, and plain messages for what is wrong with them."""

import csv
import errno
import io
import json
import re
import stat
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import msgspec
import numpy as np

_MOST_BYTES = 2**28
_DIGITS = re.compile(r"Exceeds the limit \((\d+) digits\)")


class Record:
    """Base of frozen dataclasses that are written as JSON: results of commands, and what manifests hold.

    Field names are the keys of the JSON object; None is null, tuples are arrays, times are written as in RFC 3339.
    """

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with all fields, those without a value as null."""
        return dict(_plain(msgspec.to_builtins(self, enc_hook=_number)))

    def evolve(self, **fields: Any) -> Self:
        """Return a copy with other values of some fields."""
        return replace(self, **fields)  # type: ignore[type-var]  # subclasses are dataclasses


def _number(value: Any) -> Any:
    """Convert a numpy number to a Python number.

    Raises
    ------
    TypeError
        If it is of another type that JSON does not have.
    """
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _plain(value: Any) -> Any:
    """Return a JSON value with lists for tuples, so that it compares equal to one that was read from a file."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


R = TypeVar("R", bound=Record)


def read_record(document: object, kind: type[R]) -> R:
    """Convert a JSON object to a record; unknown keys are ignored.

    Raises
    ------
    ValueError
        If a value is missing or has the wrong type: the first one, named by its place.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        what, _, place = str(error).replace("`", "").partition(" - at $")
        what = what[:1].lower() + what[1:]
        raise ValueError(f"{place.removeprefix('.')}: {what}" if place else what) from error


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, with or without a byte-order mark.

    Raises
    ------
    OSError
        If it cannot be read, is too large, or is a pipe or device, which might never end.
    UnicodeDecodeError
    """
    path = Path(path)
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a file; write it to a file first", str(path))
    if status.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than {_MOST_BYTES:,}", str(path))
    return path.read_bytes().decode("utf-8-sig")


def csv_rows(text: str) -> list[list[str]]:
    """Parse a table of comma-separated values; semicolons or tabs if its first line has more of these.

    Spreadsheets write semicolons where the comma is the decimal separator.

    Raises
    ------
    csv.Error
        If it is not one.
    """
    first = text.partition("\n")[0]
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count)))


def parse_json(text: str) -> Any:
    """Parse strict JSON: NaN and infinities are refused.

    Raises
    ------
    ValueError
        If it is invalid, nested too deeply, or has numbers of thousands of digits.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise _plainly(error) from error


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises
    ------
    ValueError
        If it is invalid, nested too deeply, or has numbers of thousands of digits.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise _plainly(error) from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is not a JSON number")


def _plainly(error: ValueError) -> ValueError:
    found = _DIGITS.match(str(error))
    return ValueError(f"it holds a number of more than {int(found[1]):,} digits") if found else error
