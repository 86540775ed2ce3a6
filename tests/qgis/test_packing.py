"""The plugin as a zip file and in a profile."""

import re
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import geokd
from geokd.cli import main
from geokd.cli.qgis_plugin import command_help
from geokd.qgis.help_texts import texts_of_tools
from geokd.qgis.plugin.tools import TOOLS


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["qgis-plugin", *map(str, arguments)])
    return result.exit_code, result.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder in which QGIS 3 was started; returns that of its profiles."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    profiles = tmp_path / "share" / "QGIS" / "QGIS3" / "profiles"
    (profiles / "default").mkdir(parents=True)
    return profiles


def test_the_zip_holds_one_folder_with_help_version_and_licence(tmp_path: Path) -> None:
    assert call("-o", tmp_path / "geokd.zip", "--set", "email=a@example.org")[0] == 0
    with zipfile.ZipFile(tmp_path / "geokd.zip") as archive:
        names = archive.namelist()
        metadata = archive.read("geokd/metadata.txt").decode()
        helped = archive.read("geokd/help.json").decode()
    assert {name.split("/")[0] for name in names} == {"geokd"}
    assert {"geokd/__init__.py", "geokd/LICENSE", "geokd/icon.svg", "geokd/help.json"} <= set(names)
    assert not any("executable.txt" in name or name.endswith(".pyc") for name in names)
    assert f"version={geokd.__version__}\n" in metadata and "email=a@example.org\n" in metadata
    assert "Mask pixels: scl" in helped


def test_equal_contents_give_equal_bytes_and_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    assert [call("-o", tmp_path / f"{name}.zip")[0] for name in "ab"] == [0, 0]
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert (tmp_path / "a.zip").stat().st_size < 100_000
    code, said = call("-o", tmp_path / "a.zip")
    assert code == 2 and "holds a.zip already" in said and "--overwrite" in said
    assert call("-o", tmp_path / "a.zip", "--overwrite")[0] == 0


def test_an_installation_replaces_an_older_one(home: Path) -> None:
    plugin = home / "default" / "python" / "plugins" / "geokd"
    assert call("--install")[0] == 0
    (plugin / "outdated.py").touch()
    code, said = call("--install")
    assert code == 0
    assert str(plugin) in said and "qgis_process plugins enable geokd" in said
    assert not (plugin / "outdated.py").exists()
    assert Path((plugin / "executable.txt").read_text(encoding="utf-8").strip()).is_file()
    assert [path.name for path in plugin.parent.iterdir()] == ["geokd"]
    assert [path.name for path in plugin.parents[1].iterdir()] == ["plugins"]


def test_all_versions_of_qgis_with_the_profile_get_it(home: Path) -> None:
    newer = home.parents[1] / "QGIS4" / "profiles" / "work"
    newer.mkdir(parents=True)
    (home / "work").mkdir()
    assert call("--install", "--profile", "work")[0] == 0
    assert all((profile / "python/plugins/geokd/metadata.txt").is_file() for profile in (newer, home / "work"))
    assert not (home / "default" / "python").exists()


def test_before_the_first_start_of_qgis_the_default_profile_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert call("--install")[0] == 0
    assert (tmp_path / "QGIS/QGIS3/profiles/default/python/plugins/geokd/metadata.txt").is_file()


def test_bad_calls_say_what_to_do(home: Path, tmp_path: Path) -> None:
    foreign = home / "default" / "python" / "plugins" / "geokd"
    foreign.mkdir(parents=True)
    (foreign / "mine.txt").touch()
    cases = {
        ("--install",): "is not this plugin",
        ("--install", "--profile", "other"): "QGIS has no profile 'other': there are default",
        (): "give either --install or --output FILE.zip",
        ("--install", "-o", "a.zip"): "give either",
        ("-o", tmp_path / "a.tar"): "is not named .zip",
        ("-o", tmp_path / "a.zip", "--set", "mail=x"): "metadata.txt has no entry 'mail'; there are name,",
        ("-o", tmp_path / "a.zip", "--set", "mail"): "is not an entry such as email=me@example.org",
    }
    for arguments, sentence in cases.items():
        code, said = call(*arguments)
        assert code == 2
        assert sentence in said
    assert (foreign / "mine.txt").exists()
    assert not (tmp_path / "a.zip").exists()


def test_every_option_that_the_plugin_offers_has_help() -> None:
    texts = texts_of_tools(command_help())
    assert list(texts) == [tool.name for tool in TOOLS]
    for tool in TOOLS:
        assert set(texts[tool.name].options) == {p.name for p in tool.parameters if p.option}
        assert all(texts[tool.name].options.values())
        assert len(texts[tool.name].text) > 40


def test_help_speaks_of_tools_and_labels_not_of_commands_and_options() -> None:
    texts = texts_of_tools(command_help())
    assert "“Write a report”, <scene>_report.html shows" in texts["classify"].text
    assert "--json" not in texts["classify"].text
    assert "“Map land use” with “Write probabilities, one band for each class”" in texts["composite"].text
    assert "then “Estimate accuracies and areas”" in texts["sample"].text
    every = [part for text in texts.values() for part in (text.text, *text.options.values())]
    assert [part for part in every if re.search(r"geokd [a-z]+\b|`|--[a-z]", part)] == []
