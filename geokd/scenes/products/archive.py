"""Folders, .zip and .tar files of products: the names in them, and how GDAL and Python read their content."""

import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from geokd.errors import SceneError

_MOST_NAMES = 100_000
_MOST_TEXT_BYTES = 50_000_000
_TARS = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Archive:
    """A folder, or an archive of one.

    Parameters
    ----------
    path : Path
        Absolute.
    names : tuple of str
        Paths of the files in it, relative, with `/`.
    """

    path: Path
    names: tuple[str, ...]

    def raster(self, name: str) -> str:
        """Return GDAL's name of a file in it."""
        if self.path.is_dir():
            return str(self.path / name)
        driver = "/vsizip/" if self.path.suffix.lower() == ".zip" else "/vsitar/"
        return f"{driver}{self.path.as_posix()}/{name}"

    def read(self, name: str) -> bytes:
        """Read a metadata file.

        Raises
        ------
        SceneError
            If it cannot be read, or is too large for metadata.
        """
        try:
            content = self._read(name)
        except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise SceneError(f"{name} in {self.path} cannot be read: {error}; copy or download it again") from error
        if len(content) > _MOST_TEXT_BYTES:
            raise SceneError(
                f"{name} in {self.path} is larger than {_MOST_TEXT_BYTES:,} bytes, too large for metadata of a product"
            )
        return content

    def _read(self, name: str) -> bytes:
        if self.path.is_dir():
            with (self.path / name).open("rb") as file:
                return file.read(_MOST_TEXT_BYTES + 1)
        if self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as member:
                return member.read(_MOST_TEXT_BYTES + 1)
        with tarfile.open(self.path) as tar:
            there = name if name in tar.getnames() else f"./{name}"
            extracted = tar.extractfile(there)
            return b"" if extracted is None else extracted.read(_MOST_TEXT_BYTES + 1)


def open_archive(path: Path) -> Archive | None:
    """List a folder, a .zip or a .tar; None if it is none of these.

    Raises
    ------
    SceneError
        If it is broken.
    """
    path = path.absolute()
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return Archive(path, _sorted(file.relative_to(path).as_posix() for file in islice(files, _MOST_NAMES)))
    suffix = path.name.lower()
    if not path.is_file() or not suffix.endswith((".zip", *_TARS)):
        return None
    try:
        if suffix.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        else:
            with tarfile.open(path) as tar:
                names = [member.name.removeprefix("./") for member in tar if member.isfile()]
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        reason = str(error).partition("\n")[0].rstrip(":") or "it ends too early"
        raise SceneError(f"{path} is a broken archive: {reason}; copy or download it again") from error
    return Archive(path, _sorted(names))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of files in order, without those that macOS writes beside each file (`._name`)."""
    return tuple(
        sorted(name for name in names if not (name.endswith("/") or PurePosixPath(name).name.startswith("._")))
    )


def beside(file: Path) -> Archive:
    """List the folder that a file lies in."""
    folder = file.absolute().parent
    return open_archive(folder) or Archive(folder, ())


def stem_of(path: str) -> str:
    """Return the name of a product's folder or archive without its endings: `.SAFE`, `.zip`, `.tar.gz`."""
    name = PurePosixPath(path.replace("\\", "/")).name
    for ending in (".tgz", ".gz", ".tar", ".zip", ".SAFE"):
        if name.lower().endswith(ending.lower()):
            name = name[: -len(ending)]
    return name
