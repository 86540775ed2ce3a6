"""Documents that somebody else wrote end in a sentence, soon."""

import os
from pathlib import Path

import pytest

from geokd.system.documents import parse_json, parse_toml, read_text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ("9" * 5000, "a number of more than 4,300 digits"),
        ("[NaN]", "holds NaN, which is not a JSON number"),
        ('{"a": -Infinity}', "holds -Infinity"),
        ("{", "Expecting property name"),
    ],
)
def test_what_is_no_json_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "9" * 5000, "a number of more than 4,300 digits"),
        ("a = ", "Invalid value"),
    ],
)
def test_what_is_no_toml_is_said(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_toml(text)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "W\xc3\xa4lder"\r\n')
    assert parse_toml(read_text(path)) == {"name": "Wälder"}
    assert parse_json("\ufeff{}".removeprefix("\ufeff")) == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_never_answers_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe, socket or device, not a file"):
        read_text(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe, socket or device, not a file"):
        read_text("/dev/zero")


def test_a_document_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(OSError, match="8,589,934,592 bytes, more than"):
        read_text(tmp_path / "large")
