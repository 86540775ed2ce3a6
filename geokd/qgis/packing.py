"""The plugin for QGIS as a zip file, or put into a user's profile."""

import io
import json
import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from geokd.errors import CallError, OutputError
from geokd.files import refused_by, write_bytes
from geokd.qgis.help_texts import HelpText
from geokd.system.commit import staged

NAME = "geokd"
"""Name of the plugin: its folder, and the first part of `geokd:classify`."""

_SOURCE = Path(__file__).parent / "plugin"
_ENDINGS = (".py", ".txt", ".svg")
_OLD_ENOUGH = (1980, 1, 1, 0, 0, 0)  # the time of all files of a zip: equal contents give equal bytes
_RECORD = "executable.txt"

Helps = Mapping[str, HelpText]
"""The help of each tool by its name."""


def pack_plugin(
    output: str | Path, version: str, help_texts: Helps, *, metadata: Mapping[str, str], overwrite: bool = False
) -> int:
    """Write the plugin as a zip file that QGIS installs.

    Parameters
    ----------
    output : path
        Its name ends with .zip.
    version : str
        Of geokd, and of the plugin.
    help_texts : mapping
        Help of the tools.
    metadata : mapping
        Entries of metadata.txt to set, such as `email` and `repository`.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    CallError
        If the file exists, is not named .zip, or metadata.txt has no such entry.
    OutputError
        If it cannot be written.
    """
    path = Path(output)
    if path.suffix.lower() != ".zip":
        raise CallError(
            f"the plugin is a zip file, and {path} is not named .zip; rename it to {path.with_suffix('.zip')}"
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in plugin_files(version, help_texts, metadata).items():
            entry = zipfile.ZipInfo(f"{NAME}/{name}", _OLD_ENOUGH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    with staged(path.parent, [path.name], overwrite=overwrite) as folder:
        write_bytes(folder / path.name, content.getvalue())
    return len(content.getvalue())


def install_plugin(version: str, help_texts: Helps, executable: str, profile: str = "default") -> list[Path]:
    """Put the plugin into a profile of QGIS, of every QGIS that has it; an existing one is replaced.

    Parameters
    ----------
    version, help_texts
        As for :func:`pack_plugin`.
    executable : str
        Path of the geokd that the plugin runs; empty if unknown.
    profile : str
        Name of the profile.

    Returns
    -------
    list of Path
        Folders of the plugin.

    Raises
    ------
    CallError
        If the profile does not exist, or another plugin lies in the folder.
    OutputError
        If the profile cannot be written.
    """
    files = plugin_files(version, help_texts, {})
    if executable:
        files[_RECORD] = f"{executable}\n".encode()
    folders = [home / "profiles" / profile / "python" / "plugins" / NAME for home in _homes_with(profile)]
    foreign = [folder for folder in folders if folder.exists() and not _is_ours(folder)]
    if foreign:
        raise CallError(f"{foreign[0]} is not this plugin; move it away")
    for folder in folders:
        _replace(folder, files)
    return folders


def plugin_files(version: str, help_texts: Helps, metadata: Mapping[str, str]) -> dict[str, bytes]:
    """Return the files of the plugin by name, sorted.

    Raises
    ------
    CallError
        If metadata.txt has no such entry, or a value has several lines.
    """
    found = {
        path.name: path.read_bytes()
        for path in sorted(_SOURCE.iterdir())
        if path.suffix in _ENDINGS or path.name == "LICENSE"
    }
    found["metadata.txt"] = _with_entries(found["metadata.txt"].decode(), {**metadata, "version": version}).encode()
    found["help.json"] = json.dumps(
        {name: asdict(one) for name, one in help_texts.items()}, indent=1, sort_keys=True
    ).encode()
    found.pop(_RECORD, None)
    return dict(sorted(found.items()))


def profile_homes() -> list[Path]:
    """Return the folders in which QGIS 3 and 4 keep their profiles, whether they exist or not."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA", Path.home() / "AppData" / "Roaming"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return [base / "QGIS" / name for name in ("QGIS3", "QGIS4")]


def _homes_with(profile: str) -> list[Path]:
    """Return the profile folders that have a profile; that of QGIS 3 if the default profile does not exist yet."""
    homes = profile_homes()
    having = [home for home in homes if (home / "profiles" / profile).is_dir()]
    there = sorted({folder.name for home in homes for folder in (home / "profiles").glob("*") if folder.is_dir()})
    if having or (profile == "default" and not there):
        return having or homes[:1]
    known = f"there are {', '.join(there)}" if there else "QGIS has not been started yet"
    raise CallError(f"QGIS has no profile {profile!r}: {known}; name one with --profile")


def _with_entries(text: str, entries: Mapping[str, str]) -> str:
    lines = text.splitlines()
    for key, value in entries.items():
        places = [i for i, line in enumerate(lines) if line.startswith(f"{key}=")]
        if not places:
            known = [line.partition("=")[0] for line in lines if "=" in line]
            raise CallError(f"metadata.txt has no entry {key!r}; there are {', '.join(known)}")
        if "\n" in value or "\r" in value:
            raise CallError(f"the entry {key!r} of metadata.txt must be one line")
        lines[places[0]] = f"{key}={value}"
    return "\n".join(lines) + "\n"


def _is_ours(folder: Path) -> bool:
    metadata = folder / "metadata.txt"
    return metadata.is_file() and f"name={NAME}" in metadata.read_text(encoding="utf-8", errors="replace").splitlines()


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files to a folder, replacing its content."""
    parts = folder.parent.parent  # not among the plugins: QGIS would treat it as one
    new, old = (parts / f".{NAME}-{uuid4().hex}" for _ in range(2))
    try:
        with refused_by(parts):
            new.mkdir(parents=True)
        for name, content in files.items():
            write_bytes(new / name, content)
        with refused_by(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot put the plugin into {folder}: {error.strerror or error}; close QGIS") from error
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
