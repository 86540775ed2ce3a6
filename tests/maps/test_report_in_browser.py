"""The report in a real browser, without a window; skipped where there is none of Chromium's kind."""

import http.server
import io
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import geokd
from geokd.mapping.options import ClassifyOptions

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
WINDOW = (1200, 1000)
MANY_PX = 50_000  # more than swatches and bars have of a colour

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome, to look at the page")

Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Run the browser on a page, with options; returns what it prints."""

    def run(page: Path, *options: str) -> str:
        command = [str(BROWSER), "--headless", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={WINDOW[0]},{WINDOW[1]}"]
        command += ["--no-sandbox"] * (getattr(os, "geteuid", lambda: 1)() == 0)  # it refuses to be root's otherwise
        command += [*options, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout

    return run


@pytest.fixture
def report(scene: Path, model: Path, tmp_path: Path) -> Path:
    return geokd.classify(scene, model, tmp_path / "out", ClassifyOptions(report=True)).outputs["report"]


def colours_shown(browse: Browse, page: Path) -> set[str]:
    """Which legend colours fill much of the window."""
    picture = page.with_suffix(".png")
    browse(page, f"--screenshot={picture}")
    pixels = np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")).reshape(-1, 3)
    colours, counts = np.unique(pixels, axis=0, return_counts=True)
    return {bytes(c).hex().upper() for c, n in zip(colours.astype(np.uint8), counts, strict=True) if n > MANY_PX}


def edited(report: Path, old: str, new: str) -> Path:
    text = report.read_text(encoding="utf-8")
    assert text.count(old) == 1
    page = report.with_name("edited.html")
    page.write_text(text.replace(old, new), encoding="utf-8")
    return page


@pytest.mark.parametrize(("value", "classes"), [(0, {0, 1, 2}), (50, {1, 2}), (75, {2}), (100, set())])
def test_slider_uncovers_the_map(value: int, classes: set[int], browse: Browse, report: Path, model: Path) -> None:
    legend = geokd.info(model).to_json()["legend"]
    page = edited(report, '<input type="range"', f'<input type="range" value="{value}"')
    shown = colours_shown(browse, page)
    assert {c["value"] for c in legend if c["color_hint"] in shown} == classes


def test_without_script_scene_and_map_lie_side_by_side(browse: Browse, report: Path, model: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = report.with_name("plain.html")
    page.write_text(re.sub("<script>.*</script>", "", text, flags=re.DOTALL), encoding="utf-8")
    assert {c["color_hint"] for c in geokd.info(model).to_json()["legend"]} <= colours_shown(browse, page)


def test_the_page_s_own_policy_lets_its_own_parts_run(browse: Browse, report: Path) -> None:
    shown = browse(report, "--dump-dom")
    assert '<div class="compare layered" style="--cut: 50%;">' in shown
    foreign = edited(report, "</main>", '<script>document.title = "foreign"</script></main>')
    assert "<title>foreign</title>" not in browse(foreign, "--dump-dom")


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine: its address, and the paths it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()
        thread.join()


def test_the_page_asks_nobody_for_anything(browse: Browse, report: Path, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    foreign = edited(report, "</main>", f'<img src="{address}/picture" alt=""></main>')
    browse(foreign, "--dump-dom")
    assert paths == []
    foreign.write_text(f'<!DOCTYPE html><img src="{address}/picture" alt="">', encoding="utf-8")
    browse(foreign, "--dump-dom")
    assert paths == ["/picture"], "without the policy it would be asked for"


def test_it_prints(browse: Browse, report: Path) -> None:
    paper = report.with_suffix(".pdf")
    browse(report, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 4
