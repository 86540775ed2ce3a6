"""A file is written whole, or not at all."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from geokd.errors import OutputError, SceneError
from geokd.files import PARTIAL, plainly_named, written_whole


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


@pytest.mark.parametrize(
    ("folder", "words"), [("plain", "make room or choose another folder"), ("50%", "make room in .*TMPDIR")]
)
def test_a_full_disk_is_named_whatever_the_library_says(
    folder: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / folder / "a.gpkg"
    path.parent.mkdir()
    with pytest.raises(ValueError, match="no such table"), plainly_named(path):
        raise ValueError("no such table")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OutputError, match=f"a.gpkg: the disk is full; {words}"), plainly_named(path):
        raise ValueError("no such table")
    with pytest.raises(SceneError, match="it has no bands"), plainly_named(path):
        raise SceneError("it has no bands")
    assert not list(path.parent.iterdir())


def test_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in /tmp")

    monkeypatch.setattr("tempfile.gettempdir", none)
    path = tmp_path / "50%" / "a.gpkg"
    path.parent.mkdir()
    with pytest.raises(OutputError, match="a.gpkg: No usable temporary directory"), plainly_named(path):
        raise AssertionError("nothing can be written")
