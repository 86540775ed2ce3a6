"""Small documents that somebody else wrote, read within bounds, and plain words for what is wrong with them."""

import errno
import json
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, NoReturn

_MOST_BYTES = 2**28
_DIGITS = re.compile(r"Exceeds the limit \((\d+) digits\)")


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, with a byte-order mark or without.

    Raises
    ------
    OSError
        If it cannot be read, is too large, or is a pipe or device, which might never answer.
    UnicodeDecodeError
    """
    path = Path(path)
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "it is no file, but a pipe, socket or device; write it to a file first", str(path))
    if status.st_size > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than {_MOST_BYTES:,}", str(path))
    return path.read_bytes().decode("utf-8-sig")


def parse_json(text: str) -> Any:
    """Parse JSON as its standard has it, so without NaN and infinities.

    Raises
    ------
    ValueError
        If it is none, too deep, or holds numbers of thousands of digits.
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
        If it is none, too deep, or holds numbers of thousands of digits.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise _plainly(error) from error


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number in JSON")


def _plainly(error: ValueError) -> ValueError:
    found = _DIGITS.match(str(error))
    return ValueError(f"it holds a number of more than {int(found[1]):,} digits") if found else error
