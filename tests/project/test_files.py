"""Files are written whole, or not at all; and several are moved, or none is."""

from pathlib import Path

import pytest

from geokd.files import PARTIAL, move_all, written_whole


def test_files_are_moved_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("new")
    move_all([(tmp_path / "a", tmp_path / "aside" / "a"), (tmp_path / "b", tmp_path / "a")])
    assert (tmp_path / "aside" / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "b").exists()


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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "the server did not answer")])
@pytest.mark.parametrize("moved", [False, True])
def test_a_failure_is_undone_whether_it_comes_before_or_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool, error: BaseException
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == tmp_path / "out" / "b":
            if moved:
                replace(self, target)
            raise error
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(type(error)):
        move_all([(tmp_path / name, tmp_path / "out" / name) for name in ("a", "b")])
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["a", "b"]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_moved_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileNotFoundError) as missing:
        move_all([(tmp_path / "a", tmp_path / "b"), (tmp_path / "none", tmp_path / "c")])
    assert Path(missing.value.filename) == tmp_path / "none"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
