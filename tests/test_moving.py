"""Several files are moved, or none is."""

from pathlib import Path

import pytest

from geokd.moving import move_all


def test_files_are_moved_in_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("new")
    move_all([(tmp_path / "a", tmp_path / "aside" / "a"), (tmp_path / "b", tmp_path / "a")])
    assert (tmp_path / "aside" / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("moved", [False, True])
def test_an_interruption_is_undone_whether_it_comes_before_or_after_a_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == tmp_path / "out" / "b":
            if moved:
                replace(self, target)
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        move_all([(tmp_path / name, tmp_path / "out" / name) for name in ("a", "b")])
    assert [(tmp_path / name).read_text() for name in ("a", "b")] == ["a", "b"]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_moved_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileNotFoundError) as missing:
        move_all([(tmp_path / "a", tmp_path / "b"), (tmp_path / "none", tmp_path / "c")])
    assert Path(missing.value.filename) == tmp_path / "none"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
