"""A file is written whole, or not at all."""

from pathlib import Path

import pytest

from geokd.files import PARTIAL, written_whole


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written_whole(path) as partial:
        partial.write_text("new")
        assert (partial.parent, partial.suffix, path.read_text()) == (tmp_path, PARTIAL, "old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    with pytest.raises(RuntimeError, match="no word"), written_whole(path):
        raise RuntimeError("no word was written")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "new")]
