"""Reports: what they tell is what the manifest tells, nothing gets in or out, and a real browser shows them."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from jinja2 import UndefinedError
from PIL import Image

import geokd
from geokd.cli import main
from geokd.mapping.options import ClassifyOptions
from geokd.maps.manifest import Manifest
from geokd.maps.pages.page import render
from geokd.maps.pages.report import ReportPictures, report_page
from geokd.maps.pages.report_index import IndexEntry, index_page
from tests.tiny import three_fields, write_scene

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>$content${title}"


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._raw = False
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._raw else f"{data} "

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def classify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["classify", *map(str, arguments)])


@pytest.fixture
def manifest(scene: Path, model: Path, tmp_path: Path) -> Manifest:
    return geokd.classify(scene, model, tmp_path / "made").manifest


def pictures() -> ReportPictures:
    image = Image.new("RGB", (6, 4), "red")
    return ReportPictures(image, image, image)


def check_safe(content: bytes) -> None:
    """Nothing is loaded, nothing runs but the page's own few lines, and no attribute acts."""
    read = Reader(content)
    assert len(read.all("script")) == 1
    assert read.all("script") == [{}]
    assert len(read.all("style")) == 1
    for tag, attributes in read.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "video", "audio"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "./").startswith("./")
    assert not re.search(rb"url\((?!#)|@import|fetch\(|XMLHttp", content)
    (policy,) = [m["content"] for m in read.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_report_states_what_the_manifest_states(scene: Path, model: Path, tmp_path: Path) -> None:
    result = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(report=True))
    assert result.outputs["report"] == tmp_path / "out" / "fields_report.html"
    content = result.outputs["report"].read_bytes()
    check_safe(content)
    words = Reader(content).words
    manifest = json.loads(result.outputs["manifest"].read_text(encoding="utf-8"))
    assert manifest["options"]["report"] is True
    assert manifest["outputs"]["report"] == "fields_report.html"
    for area in manifest["areas"]:
        confidence = f"{area['mean_confidence']:.0f} %"
        told = (area["title"], f"{area['area_ha']:,.1f}", f"{area['share_percent']:.1f} %", area["cells"], confidence)
        assert " ".join(map(str, told)) in words
    for text in (
        *manifest["notes"],
        manifest["model"]["sha256"],
        manifest["fingerprint"],
        *manifest["outputs"].values(),
    ):
        assert text in words
    assert "No warnings." in words
    assert len(content) < 2_000_000


def test_histogram_counts_every_mapped_cell(scene: Path, model: Path, tmp_path: Path) -> None:
    result = geokd.classify(scene, model, tmp_path / "out")
    confidence = result.class_map.confidence[result.class_map.mapped]
    expected, _ = np.histogram(confidence, bins=np.arange(0, 101, 10))
    assert result.manifest.to_json()["cells_by_confidence"] == expected.tolist()
    assert sum(expected) == result.manifest.to_json()["valid_cells"] > 0


def test_every_picture_has_words_and_the_page_a_language(manifest: Manifest) -> None:
    read = Reader(report_page(manifest, pictures()))
    assert read.all("html") == [{"lang": "en"}]
    assert [bool(image["alt"]) for image in read.all("img")] == [True] * 3
    assert [bool(control["aria-label"]) for control in read.all("input")] == [True]
    for drawing in read.all("svg"):
        assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true"


def test_hostile_names_stay_names(manifest: Manifest) -> None:
    assert manifest.scene is not None
    assert manifest.model is not None
    assert manifest.run is not None
    manifest = manifest.evolve(
        scene=manifest.scene.evolve(
            path=HOSTILE, bands_used=[band.evolve(description=HOSTILE) for band in manifest.scene.bands_used]
        ),
        model=manifest.model.evolve(name=HOSTILE),
        run=manifest.run.evolve(command=HOSTILE),
        warnings=(HOSTILE,),
        notes=(HOSTILE,),
        outputs={"report": HOSTILE, "polygons": "javascript:alert(3)"},
        areas=(manifest.areas[0].evolve(title=HOSTILE), *manifest.areas[1:]),
        legend=(replace(manifest.legend[0], title=HOSTILE), *manifest.legend[1:]),
    )
    page_of_one = report_page(manifest, pictures())
    error = IndexEntry(HOSTILE, error=HOSTILE)
    thumbnail = Image.new("RGB", (6, 4), "red")
    page_of_all = index_page([IndexEntry(HOSTILE, "", manifest, thumbnail, HOSTILE), error])
    for content in (page_of_one, page_of_all):
        check_safe(content)
        assert HOSTILE in Reader(content).text
        assert len(Reader(content).all("img")) == (3 if content is page_of_one else 1)


def test_a_hostile_file_name_goes_all_the_way(model: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>&\"'#?%41.tif"
    scene = write_scene(tmp_path / "plain.tif", three_fields(20, 20), photometric="RGB").rename(tmp_path / name)
    result = geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(report=True))
    content = result.outputs["report"].read_bytes()
    check_safe(content)
    assert name in Reader(content).text


def test_text_is_escaped_and_a_missing_value_is_an_error(manifest: Manifest) -> None:
    content = report_page(manifest.evolve(notes=("<&>\"'",)), pictures())
    assert b"<li>&lt;&amp;&gt;&#34;&#39;</li>" in content
    with pytest.raises(UndefinedError, match="'scenes' is undefined"):
        render("index.html")


def test_pages_alone_import_jinja(scene: Path, model: Path, tmp_path: Path) -> None:
    code = "import sys; from geokd.cli import main; main(sys.argv[1:], standalone_mode=False)"
    code += "; sys.exit('jinja2' in sys.modules)"
    call = [sys.executable, "-c", code, "classify", str(scene), "-m", str(model), "-o"]
    for more, imported in (([], 0), (["--report"], 1)):
        done = subprocess.run([*call, str(tmp_path / str(imported)), *more], capture_output=True, check=False)
        assert done.returncode == imported, done.stderr


def test_every_file_of_the_package_is_installed() -> None:
    package = Path(geokd.__file__).parent
    project = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["geokd"]
    left_out = {
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
        if not any(path.relative_to(package).match(pattern) for pattern in patterns)
    }
    assert left_out == set()


def test_a_map_of_nothing_has_a_report(model: Path, tmp_path: Path) -> None:
    empty = write_scene(tmp_path / "empty.tif", np.zeros((3, 40, 50), np.uint8), nodata=0, photometric="RGB")
    result = geokd.classify(empty, model, tmp_path / "out", ClassifyOptions(report=True))
    words = Reader(result.outputs["report"].read_bytes()).words
    assert "No cell could be mapped" in words
    assert result.manifest.to_json()["warnings"]
    assert all(warning in words for warning in result.manifest.to_json()["warnings"])
    assert "Not on the map: Bare, Meadow, Lake." in words


def test_unclassified_and_filters_are_reported(scene: Path, model: Path, tmp_path: Path) -> None:
    options = ClassifyOptions(report=True, min_confidence=0.99, smooth_cells=3)
    words = Reader(geokd.classify(scene, model, tmp_path / "out", options).outputs["report"].read_bytes()).words
    assert "Unclassified" in words
    assert "Changed cells" in words


def test_report_is_kept_and_replaced_as_other_outputs(scene: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = (scene, "-m", model, "-o", out)
    assert classify(*call).exit_code == 0
    assert not (out / "fields_report.html").exists()
    assert classify(*call, "--report").exit_code == 2
    assert classify(*call, "--report", "--overwrite").exit_code == 0
    assert not (out / "index.html").exists(), "one scene needs no index"
    first = (out / "fields_report.html").read_bytes()
    assert classify(*call, "--report", "--resume").exit_code == 0
    assert (out / "fields_report.html").read_bytes() == first
    assert classify(*call, "--overwrite").exit_code == 0
    assert not (out / "fields_report.html").exists(), "it would tell of another map"


def test_index_of_several_scenes(scene: Path, model: Path, tmp_path: Path) -> None:
    second = write_scene(tmp_path / "second #1.tif", three_fields(40, 50), photometric="RGB")
    out = tmp_path / "out"
    call = (scene, tmp_path / "missing.tif", second, "-m", model, "-o", out, "--report", "--on-error", "skip")
    result = classify(*call)
    assert result.exit_code == 2
    assert f"{out / 'index.html'} links the reports" in result.stderr
    content = (out / "index.html").read_bytes()
    check_safe(content)
    read = Reader(content)
    assert [link["href"] for link in read.all("a")] == ["./fields_report.html", "./second%20%231_report.html"]
    assert (out / "second #1_report.html").exists()
    manifests = [json.loads((out / f"{stem}_landuse.json").read_text()) for stem in ("fields", "second #1")]
    assert f"2 of 3 scenes are mapped, {sum(m['area_ha'] for m in manifests):,.0f} ha in all. 1 could not" in read.words
    assert f"missing.tif not mapped: no such file: {tmp_path / 'missing.tif'}" in read.words
    cells = sum(m["areas"][0]["cells"] for m in manifests)
    area = sum(m["areas"][0]["area_ha"] for m in manifests)
    share = 100 * area / sum(m["area_ha"] for m in manifests)
    assert f"{manifests[0]['areas'][0]['title']} {area:,.1f} {share:.1f} % {cells:,}" in read.words
    for name in ("fields_report.html", "fields_landuse.tif"):
        (out / name).unlink()
        assert classify(*call).exit_code == 2  # what is there is not replaced
        assert (out / "index.html").read_bytes() == content


def test_index_on_resume(scene: Path, model: Path, tmp_path: Path) -> None:
    second = write_scene(tmp_path / "second.tif", three_fields(40, 50), photometric="RGB")
    out = tmp_path / "out"
    call = (scene, second, "-m", model, "-o", out, "--report")
    assert classify(*call).exit_code == 0
    first = (out / "index.html").read_bytes()
    assert classify(*call).exit_code == 2
    for path in out.glob("second*"):
        path.unlink()
    assert classify(*call, "--resume").exit_code == 0
    again = Reader((out / "index.html").read_bytes())
    assert [link["href"] for link in again.all("a")] == ["./fields_report.html", "./second_report.html"]
    assert len((out / "index.html").read_bytes()) == len(first)


def test_an_index_of_somebody_else_is_left_alone(scene: Path, model: Path, tmp_path: Path) -> None:
    second = write_scene(tmp_path / "second.tif", three_fields(40, 50), photometric="RGB")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text("mine")
    call = (scene, second, "-m", model, "-o", out, "--report")
    for more in ((), ("--resume",)):
        result = classify(*call, *more)
        assert result.exit_code == 2
        assert "holds index.html already" in result.stderr
        assert [path.name for path in out.iterdir()] == ["index.html"]
    assert classify(*call, "--overwrite").exit_code == 0
    assert (out / "index.html").read_text(encoding="utf-8") != "mine"


def test_no_index_where_nothing_was_mapped(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    missing = (tmp_path / "a.tif", tmp_path / "b.tif")
    assert classify(*missing, "-m", model, "-o", out, "--report", "--on-error", "skip").exit_code == 2
    assert not out.exists()


def test_scenes_that_were_not_begun_are_reported(scene: Path) -> None:
    words = Reader(index_page([IndexEntry(str(scene), error="it was not started")])).words
    assert "0 of 1 scenes are mapped, 0 ha in all. 1 could not be mapped." in words
    assert "it was not started" in words
