"""Outputs replace those of before together, or leave them as they were."""

from pathlib import Path

import pytest

from geokd.errors import CallError, OutputError
from geokd.system.commit import check_outputs, staged


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_move_that_fails_halfway_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"old {name}")
    replace = Path.replace

    def locked(self: Path, target: Path) -> Path:  # as Windows refuses to move a file that is open
        if self == tmp_path / "b":
            raise PermissionError(13, "Permission denied", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", locked)
    with (
        pytest.raises(OutputError, match=r"cannot write .*/b: Permission denied; nothing was replaced"),
        staged(tmp_path, ("a", "b", "c"), overwrite=True) as place,
    ):
        for name in ("a", "b", "c"):
            (place / name).write_text(f"new {name}")
    assert contents(tmp_path) == {"a": "old a", "b": "old b"}


def test_overwriting_leaves_files_of_other_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old a")
    (tmp_path / "mine").write_text("mine")
    with staged(tmp_path, ("a",), overwrite=True) as place:
        (place / "a").write_text("new a")
        assert (tmp_path / "a").read_text() == "old a"
    assert contents(tmp_path) == {"a": "new a", "mine": "mine"}


def test_side_files_of_a_replaced_raster_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"a.tif": "old", "a.tif.ovr": "old overviews", "a.tif.aux.xml": "old statistics", "b.tif.ovr": "another's"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    with monkeypatch.context() as patch:
        replace = Path.replace

        def full(self: Path, target: Path) -> Path:
            if target == tmp_path / "a.tif" and self.parent != tmp_path and self.read_text() == "new":
                raise OSError(28, "No space left on device", str(self))
            return replace(self, target)

        patch.setattr(Path, "replace", full)
        with pytest.raises(OutputError, match="No space left"), staged(tmp_path, ("a.tif",), overwrite=True) as place:
            (place / "a.tif").write_text("new")
    assert contents(tmp_path) == old
    with staged(tmp_path, ("a.tif", "b.tif"), overwrite=True) as place:
        (place / "a.tif").write_text("new")
        (place / "b.tif").write_text("new")
    assert contents(tmp_path) == {"a.tif": "new", "b.tif": "new", "b.tif.ovr": "another's"}


def test_what_a_former_run_left_goes_with_its_side_files(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif", "b.tif.aux.xml", "b.tif.ovr", "mine.tif.aux.xml"):
        (tmp_path / name).write_text("old")
    former = ("a.tif", "b.tif", "b.tif.aux.xml", "c.tif")  # b's attributes are an output, and a side file, too
    with staged(tmp_path, ("a.tif",), overwrite=True, former=former) as place:
        (place / "a.tif").write_text("new")
    assert contents(tmp_path) == {"a.tif": "new", "mine.tif.aux.xml": "old"}


def test_a_failure_that_names_no_file_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old a")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with (
        pytest.raises(OutputError, match="cannot write into .*: No space left on device; nothing was replaced"),
        staged(tmp_path, ("a",), overwrite=True) as place,
    ):
        (place / "a").write_text("new a")
    assert contents(tmp_path) == {"a": "old a"}


def test_a_file_that_came_up_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(CallError, match="holds a already"), staged(tmp_path, ("a",), overwrite=False) as place:
        (place / "a").write_text("new")
        (tmp_path / "a").write_text("from elsewhere")
    assert contents(tmp_path) == {"a": "from elsewhere"}


@pytest.mark.parametrize("trace", ["-wal", "-journal"])
def test_a_geopackage_that_is_open_is_not_replaced(tmp_path: Path, trace: str) -> None:
    (tmp_path / "a.gpkg").touch()
    (tmp_path / f"a.gpkg{trace}").touch()
    with pytest.raises(CallError, match=f"open in another program .a.gpkg{trace} lies beside it"):
        check_outputs(tmp_path, ("a.gpkg",), overwrite=True)


def test_a_folder_that_refuses_to_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bool:  # root, who runs many test suites, is never refused by the file system
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(OutputError, match="cannot write into the folder .*: Permission denied"):
        check_outputs(tmp_path, ("a",), overwrite=False)


def test_places_that_are_no_place_for_outputs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a").mkdir()
    with pytest.raises(CallError, match="is a file, not a folder"):
        check_outputs(tmp_path / "file", ("a",), overwrite=True)
    with pytest.raises(CallError, match="is a folder, but an output has this name"):
        check_outputs(tmp_path, ("a",), overwrite=True)
    with pytest.raises(CallError) as caught:
        check_outputs(Path(), (Path().name,), overwrite=False)
    assert str(caught.value).startswith(". is a folder, but an output has this name")
    assert "already" not in str(caught.value)
