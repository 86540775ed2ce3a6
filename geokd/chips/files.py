"""List of the chips in a folder or zip archive, and their bytes."""

import os
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from geokd.errors import CallError, ChipError
from geokd.system.recovery import settle

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_OTHER_PICTURES = (".gif", ".webp", ".bmp", ".jp2", ".avif", ".heic")
_LEFT_BY_SYSTEMS = ("__MACOSX",)


@dataclass(frozen=True)
class ChipIndex:
    """The chips of a folder or archive.

    Parameters
    ----------
    root : Path
        The folder or archive.
    files : tuple of str
        Paths inside `root`, with `/`, sorted.
    labels : tuple of int
        Index into `classes` of each file.
    classes : tuple of str
        Names of the class folders, sorted.
    notes : tuple of str
        What was ignored.
    """

    root: Path
    files: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)


def index_chips(path: str | Path) -> ChipIndex:
    """List the chips below `path`.

    Hidden files and folders are ignored, and folders without images. Folders that contain a single folder
    (`eurosat_rgb/train/`) are entered; links are followed.

    Raises
    ------
    CallError
        If the folder or archive does not exist.
    ChipError
        If it has no class folders with images, or one of them has only images of other formats or cannot be read.
    """
    root = Path(path)
    settle(root)
    names, folders = _listing(root)
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    parents = {PurePosixPath(name).parent for name in images} - {PurePosixPath()}
    wanted = ", ".join(IMAGE_SUFFIXES)
    if not parents:
        if any("\\" in name for name in names):
            raise ChipError(f"{root} holds names with \\ instead of /; unpack it, and name the folder")
        raise ChipError(f"{root} has no class folders with {wanted} images; put the chips of each class into a folder")
    depths = Counter(len(parent.parts) for parent in parents)
    if len(depths) > 1:
        raise ChipError(f"{root} holds images at several depths ({dict(depths)}): put all class folders side by side")
    if len({parent.parent for parent in parents}) > 1:
        splits = ", ".join(sorted({str(parent.parent) for parent in parents}))
        raise ChipError(f"{root} has several chip folders ({splits}); name one of them")
    pictures = [name for name in names if name.lower().endswith(_OTHER_PICTURES)]
    above = next(iter(parents)).parent
    beside = {folder for folder in folders - parents if folder.parent == above}
    bare = sorted(str(folder) for folder in beside & {PurePosixPath(name).parent for name in pictures})
    if bare:
        raise ChipError(
            f"{root} has no images but {', '.join(_OTHER_PICTURES)} in {', '.join(bare)}: save these as {wanted},"
            " or move them away"
        )
    classes = tuple(sorted(parent.name for parent in parents))
    number = {name: i for i, name in enumerate(classes)}
    labelled = tuple(name for name in images if PurePosixPath(name).parent.parts)
    unplaced = [name for name in images if not PurePosixPath(name).parent.parts]
    passed = [(unplaced, "images outside the class folders"), (pictures, f"images that are not {wanted}")]
    passed.append((sorted(map(str, beside)), "folders without an image"))
    notes = tuple(f"ignored: {len(some)} {what}, {some[0]} first" for some, what in passed if some)
    return ChipIndex(root, labelled, tuple(number[PurePosixPath(n).parent.name] for n in labelled), classes, notes)


def index_unlabelled(path: str | Path, most: int) -> ChipIndex:
    """List up to `most` images below `path`, evenly chosen from all its folders, as if they were of one class.

    Raises
    ------
    CallError
        If the folder or archive does not exist, or has no images.
    """
    root = Path(path)
    images = [name for name in _listing(root)[0] if name.lower().endswith(IMAGE_SUFFIXES)]
    if not images:
        raise CallError(f"{root} holds no {', '.join(IMAGE_SUFFIXES)} images")
    step = max(1.0, len(images) / most)
    kept = tuple(images[int(i * step)] for i in range(min(most, len(images))))
    return ChipIndex(root, kept, (0,) * len(kept), ("unlabelled",))


def _listing(root: Path) -> tuple[list[str], set[PurePosixPath]]:
    """Paths of the files in a folder or archive, sorted, and its folders; hidden ones left out."""
    try:
        if root.is_dir():
            names = _walk(root)
        elif root.is_file() and zipfile.is_zipfile(root):
            with _open_zip(root) as archive:
                names = archive.namelist()
        else:
            raise CallError(
                f"no chips at {root}: it is neither a folder nor a zip archive; give a folder of class folders"
            )
    except OSError as error:
        raise ChipError(f"{error.filename or root} cannot be read: {error.strerror}; make it readable") from error
    seen = sorted(name for name in names if not any(_is_hidden(part) for part in PurePosixPath(name).parts))
    files = [name for name in seen if not name.endswith("/")]
    above = {folder for name in files for folder in PurePosixPath(name).parents}
    return files, (above | {PurePosixPath(name) for name in seen if name.endswith("/")}) - {PurePosixPath()}


def _walk(root: Path) -> list[str]:
    """Paths of files and, with `/` at the end, folders below one; links are followed, but not back to one above."""
    names = []
    unread: list[tuple[Path, tuple[str, ...]]] = [(root, (os.path.realpath(root),))]
    while unread:
        folder, above = unread.pop()
        for entry in os.scandir(folder):
            if _is_hidden(entry.name):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    unread.append((folder / entry.name, (*above, real)))
                    names.append(f"{(folder / entry.name).relative_to(root).as_posix()}/")
            elif entry.is_file() or entry.name.lower().endswith(IMAGE_SUFFIXES):  # a broken link fails when it is read
                names.append((folder / entry.name).relative_to(root).as_posix())
    return names


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_BY_SYSTEMS


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ChipError(
            f"the archive {path} is damaged: {error}; make it anew, or unpack it and name the folder"
        ) from error


MOST_FILE_BYTES = 2**28
MOST_UNPACKED_BYTES = 2**29
"""Largest unpacked size of a chip: 4096 x 4096 pixels, four bands, 8 bytes each."""


class ChipArchive:
    """Reads files of a folder or zip archive by name, as bytes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._zip = None if root.is_dir() else _open_zip(root)

    def __enter__(self) -> "ChipArchive":
        return self

    def __exit__(self, *_: object) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raise ChipError if it cannot be read or is too large for a chip."""
        try:
            if self._zip is not None:
                with self._zip.open(name) as file:
                    content = file.read(MOST_FILE_BYTES + 1)  # whatever size the archive gives
            else:
                path = self._root / name
                if not stat.S_ISREG(path.stat().st_mode):  # reading it might never end
                    raise ChipError(f"chip {name} is a pipe, socket, device or folder, not a file; remove it")
                with path.open("rb") as file:
                    content = file.read(MOST_FILE_BYTES + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise ChipError(f"chip {name} cannot be read: {error}") from error
        if len(content) > MOST_FILE_BYTES:
            raise ChipError(f"chip {name} has more than {MOST_FILE_BYTES / 2**20:.0f} MiB; cut it into chips")
        return content


def check_size(name: str, pixels: int, size_bytes: int) -> None:
    """Refuse an image that would unpack to more than any chip, before unpacking it.

    Raises
    ------
    ChipError
    """
    if size_bytes > MOST_UNPACKED_BYTES:
        raise ChipError(
            f"chip {name} has {pixels:,} pixels that unpack to {size_bytes / 2**20:,.0f} MiB, more than"
            f" {MOST_UNPACKED_BYTES / 2**20:.0f}; cut it into chips"
        )
