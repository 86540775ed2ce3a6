"""Messages, help and documentation use plain English: phrases that were removed do not come back."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import geokd

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(Path(geokd.__file__).parent.rglob("*.py"))
PATTERNS = {
    "things do not tell": r"\b(told|tells?|telling)\b",
    "things do not say": r"\b(says?|saying)\b",
    "compare a map with": r"\b(held|[Hh]old|[Hh]olding|[Hh]olds)\b[^.;]* against\b",
    "similar": r"\blike (ranges|values|sizes)\b",
    "continue": r"\b(go|goes|going|gone|went) on (with|as|from|to|in|along)\b",
    "trained on": r"\blearn(s|ed|t|ing)? from (?!labels|chips)",
    "replace": r"\b(stand|stands|stood|standing) for\b",
    "reuse, adopt": r"\b(take|takes|took|taken|taking) over\b",
    "requested": r"\basked for\b",
    "default: ...": r"(?<!with or )(?<!or )\b[Ww]ithout(,|;|:|\.$|$)",
    "with (a tool)": r"\bby (gdal\w+|ogr2ogr|pip) ",
    "not a ...": r"(?<![Tt]here )\b(is|are) no (?!longer|more|higher|better|other|worse|smaller|need)[a-z]",
}


@cache
def prose_of_code(path: Path) -> list[tuple[int, str]]:
    """Return docstrings, messages and help of a module: its texts of several words, paragraph by paragraph."""
    return [
        (node.lineno, " ".join(paragraph.split()))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()
        for paragraph in re.split(r"\n\s*\n", node.value)
    ]


@cache
def prose_of_page(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a page outside code, with the code in them left out."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(number, re.sub(r"`[^`]*`", "", line)) for number, line in enumerate(text.splitlines(), 1)]


def found(prose: list[tuple[int, str]], pattern: str) -> list[str]:
    return [f"{line}: {text}" for line, text in prose if re.search(pattern, text)]


@pytest.mark.parametrize("plain", PATTERNS)
def test_plain_words(plain: str) -> None:
    hits = {
        str(path.relative_to(ROOT)): lines
        for path in (*MODULES, *PAGES)
        if (lines := found((prose_of_page if path.suffix == ".md" else prose_of_code)(path), PATTERNS[plain]))
    }
    assert hits == {}, f"write: {plain}"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("nothing tells when the scene was taken", "things do not tell"),
        ("the file says so", "things do not say"),
        ("Hold a map against a reference", "compare a map with"),
        ("Without, the class", "default: ..."),
        ("assign one, by ogr2ogr -a_srs", "with (a tool)"),
        ("it is no raster", "not a ..."),
    ],
)
def test_patterns_find_what_they_are_for(text: str, plain: str) -> None:
    assert re.search(PATTERNS[plain], text)


@pytest.mark.parametrize(
    "text", ["with or without a header", "without an alpha band", "it is no longer used", "by name"]
)
def test_patterns_let_english_pass(text: str) -> None:
    assert not [plain for plain, pattern in PATTERNS.items() if re.search(pattern, text)]
