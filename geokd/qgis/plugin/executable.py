"""Finding geokd: the setting, PATH, the environment that installed this plugin, and the usual places."""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # nosec B404  # geokd is run by the list of its arguments, never by a shell
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .environment import cleaned

OLDEST = (0, 2, 0)
"""The first version that reports its progress as JSON."""
INSTALL = "python3 -m pip install ."
"""In a clone of geokd's repository."""
RECORD = "executable.txt"
"""Beside this file: the geokd that put the plugin into the profile, written by `geokd qgis-plugin --install`."""

_TIMEOUT_S = 60
_ENVIRONMENTS = ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba", ".conda", ".local/share/mamba")


@dataclass(frozen=True)
class Executable:
    """A geokd that runs.

    Parameters
    ----------
    path : str
    version : tuple of int
    """

    path: str
    version: tuple[int, ...]


@dataclass(frozen=True)
class Search:
    """Places to search.

    Parameters
    ----------
    setting : str
        The path that the user set; empty if none.
    environment : mapping
        Of QGIS's process.
    home : Path
        The user's home folder.
    profile : Path or None
        Folder of QGIS's profile.
    recorded : str
        The path that the installation wrote beside the plugin; empty if none.
    """

    setting: str
    environment: Mapping[str, str]
    home: Path
    profile: Path | None = None
    recorded: str = ""


def find(search: Search) -> tuple[Executable | None, str]:
    """Return the first geokd that answers and is new enough, or else a sentence with the remedy."""
    found: list[str] = []
    for path in [search.setting] if search.setting else candidates(search):
        if not os.path.isfile(path):
            continue
        version = ask_version(path, search.environment)
        if version is not None and version >= OLDEST:
            return Executable(path, version), ""
        found.append(f"{path} ({'does not run' if version is None else _dotted(version)})")
    if search.setting and not found:
        return None, f"There is no file {search.setting}: correct the path of geokd in the settings of Processing."
    if search.setting:
        return (
            None,
            f"geokd {_dotted(OLDEST)} or newer is needed; the settings name {found[0]}. Correct the path there.",
        )
    if found:
        return (
            None,
            f"geokd {_dotted(OLDEST)} or newer is needed; found: {', '.join(found)}. In a newer clone run: {INSTALL}",
        )
    return None, (
        f"geokd was not found. Install it from a clone of its repository with: {INSTALL} (or set the path of geokd in"
        " Settings > Options > Processing > Providers > geokd)."
    )


def candidates(search: Search) -> Iterator[str]:
    """Possible paths of geokd, each once, in order of preference."""
    named = dict.fromkeys(_places(search))
    yield from (str(path) for path in named)


def _places(search: Search) -> Iterator[Path | str]:
    kept = cleaned(search.environment)
    on_path = shutil.which("geokd", path=kept.get("PATH", kept.get("Path", "")))
    if on_path:
        yield on_path
    if search.recorded:
        yield search.recorded
    home, get = search.home, search.environment.get
    roots: list[Path] = []
    if search.profile is not None:
        roots += [search.profile / name for name in ("geokd", "geokd/.venv", "geokd/venv", ".venv", "venv")]
    shares = [home / ".local/share", home / "AppData/Local", home / "AppData/Roaming"]
    pipx_homes = [
        Path(get("PIPX_HOME", "")),
        home / ".local/pipx",
        home / "pipx",
        *(share / "pipx" for share in shares),
    ]
    roots += [folder / "venvs/geokd" for folder in pipx_homes if folder.is_absolute()]
    uv_tools = [Path(get("UV_TOOL_DIR", "")), *(share / "uv/tools" for share in shares)]
    roots += [folder / "geokd" for folder in uv_tools if folder.is_absolute()]
    roots += [home / name for name in (".geokd", "geokd/.venv", "geokd", ".local")]
    for conda in [home / name for name in _ENVIRONMENTS] + [Path(get("CONDA_PREFIX", "")), Path("/opt/conda")]:
        if conda.is_absolute():
            roots += [conda / "envs/geokd", conda]
    roots += [Path("/usr/local"), Path("/opt/homebrew")]
    folder, name = ("Scripts", "geokd.exe") if sys.platform == "win32" else ("bin", "geokd")
    for root in roots:
        yield str(root / folder / name)


def ask_version(path: str, environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """Run `geokd --version`; return the version, or None if it is not a working geokd."""
    try:
        done = subprocess.run(  # nosec B603  # a list of arguments; no shell
            [path, "--version"],
            env=cleaned(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"geokd (\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return None if done.returncode or match is None else tuple(int(part or 0) for part in match.groups())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
