"""The folder that `tile` writes: chips, and a `chips.json` that lists them; all or nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from geokd.errors import CallError, OutputError
from geokd.system.commit import Claim
from geokd.system.documents import parse_json, read_text
from geokd.system.recovery import WORK, settle

MANIFEST = "chips.json"


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that chips cannot be written into, before any work is done.

    Raises
    ------
    CallError
        If it is a file; if it is not empty and `overwrite` is False; if it holds anything but the chips of an earlier
        call; or if another run is writing chips there.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CallError(f"{folder} is a file, not a folder to write chips into; choose another one with -o/--output")
    settle(folder, [MANIFEST])
    if _is_empty(folder):
        return
    if not overwrite:
        raise CallError(
            f"{folder} is not empty; choose another folder with -o/--output, or replace its chips with --overwrite"
        )
    former_chips(folder)


def former_chips(folder: Path) -> list[str]:
    """List the files an earlier call wrote into `folder`, the manifest last; none if the folder is empty or missing.

    Raises
    ------
    CallError
        If `folder` holds something, but no manifest of `tile`.
    """
    if not folder.exists() or _is_empty(folder):
        return []
    manifest = folder / MANIFEST
    try:
        names = parse_json(read_text(manifest))["chips"]
        if not all(_is_chip_name(name) and not (folder / name).parent.is_symlink() for name in names):
            raise ValueError("it lists files that are not chips")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CallError(
            f"{folder} holds no {MANIFEST} that lists its chips, so none can be replaced;"
            " choose another folder with -o/--output"
        ) from error
    return [*names, MANIFEST]


@contextmanager
def staged_chips(folder: Path) -> Iterator[Path]:
    """Write a chip folder, all or nothing.

    Yields an empty temporary folder inside `folder`; the body writes chips and manifest there. When it ends, the chips
    that an earlier call wrote into `folder` are removed and the new ones take their place; other files of the folder
    are not touched. When the body fails, `folder` is left as it was.

    Raises
    ------
    CallError
        If a chip would replace a file that `tile` did not write.
    OutputError
        If `folder` cannot be made or written.
    """
    with Claim.take(folder, [MANIFEST]) as claim, claim.stage() as fresh:
        former = former_chips(folder)
        before = set(former)
        yield fresh
        names = sorted(p.relative_to(fresh).as_posix() for p in fresh.rglob("*") if p.is_file() and p.name != MANIFEST)
        foreign = [name for name in names if (folder / name).exists() and name not in before]
        if foreign:
            raise CallError(f"{folder / foreign[0]} is in the way and was not written by an earlier call; move it away")
        claim.replace([*names, MANIFEST], former)


def write_manifest(folder: Path, document: dict[str, Any]) -> None:
    """Write `chips.json`; `document["chips"]` lists the files beside it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {MANIFEST}: {error.strerror}; make room or choose another folder") from error


def origin_of(folder: Path) -> str | None:
    """Path of the scene that the chips of a folder were cut from, according to its manifest; None if unknown."""
    try:
        scene = parse_json(read_text(folder / MANIFEST))["scene"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return scene if isinstance(scene, str) else None


def _is_empty(folder: Path) -> bool:
    """Whether a folder is empty except for the working files of running commands."""
    return all(path.name == WORK for path in folder.iterdir())


def _is_chip_name(name: Any) -> bool:
    """Whether `name` is a .tif in the folder itself or in a class folder of it, and cannot lead elsewhere."""
    if not isinstance(name, str) or "\\" in name or ":" in name:
        return False
    path = PurePosixPath(name)
    return path.suffix == ".tif" and not path.is_absolute() and len(path.parts) <= 2 and ".." not in path.parts
