"""Known sensors: names of their bands, and meaning of their values. Pure: no file is opened here."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

SENTINEL_2 = "Sentinel-2"
LANDSAT_OLI = "Landsat 8-9"
LANDSAT_TM = "Landsat 4-7"
PLANETSCOPE = "PlanetScope"
VENUS = "VENuS"

_SENTINEL_2_BANDS = {
    "b01": "coastal", "b02": "blue", "b03": "green", "b04": "red", "b05": "rededge071", "b06": "rededge075",
    "b07": "rededge078", "b08": "nir", "b8a": "nir08", "b09": "nir09", "b10": "cirrus", "b11": "swir16",
    "b12": "swir22",
}  # fmt: skip
_OLI_BANDS = {
    "b01": "coastal", "b02": "blue", "b03": "green", "b04": "red", "b05": "nir", "b06": "swir16", "b07": "swir22",
    "b08": "pan", "b09": "cirrus", "b10": "lwir11", "b11": "lwir12",
}  # fmt: skip
_TM_BANDS = {"b01": "blue", "b02": "green", "b03": "red", "b04": "nir", "b05": "swir16", "b07": "swir22", "b08": "pan"}
_PLANETSCOPE_BANDS = {"b01": "blue", "b02": "green", "b03": "red", "b04": "nir"}
_VENUS_BANDS = {"b03": "blue", "b04": "green", "b07": "red", "b11": "nir"}

BAND_NAMES: Mapping[str, Mapping[str, str]] = {
    SENTINEL_2: _SENTINEL_2_BANDS,
    LANDSAT_OLI: _OLI_BANDS,
    LANDSAT_TM: _TM_BANDS,
    PLANETSCOPE: _PLANETSCOPE_BANDS,
    VENUS: _VENUS_BANDS,
}
"""Common name, as in STAC, of each band of a sensor. `b8` and `b08` are the same."""

UNUSED_BANDS = frozenset({"pan", "lwir11", "lwir12"})
"""Bands of products with another pixel size than the others, or that are not reflectance."""

_BY_NAME = (
    (re.compile(r"S2[A-D]_(?:MSI|OPER|USER|\d{1,2}[A-Z]{3}_)"), SENTINEL_2),
    (re.compile(r"(?:^|_)T\d{2}[A-Z]{3}_\d{8}T\d{6}(?:_|$|\.)"), SENTINEL_2),
    (re.compile(r"^HLS\.S30\."), SENTINEL_2),
    (re.compile(r"^HLS\.L30\."), LANDSAT_OLI),
    (re.compile(r"(?:^|_)L[CO]0[89]_|^L[CO]8\d{13}"), LANDSAT_OLI),
    (re.compile(r"(?:^|_)L[ET]0[4-7]_|^L[ET][4-7]\d{13}"), LANDSAT_TM),
    (re.compile(r"LANDSAT[_-]?[89]", re.IGNORECASE), LANDSAT_OLI),
    (re.compile(r"LANDSAT[_-]?[4-7]", re.IGNORECASE), LANDSAT_TM),
    (re.compile(r"_3B_(?:ortho_)?analytic", re.IGNORECASE), PLANETSCOPE),
    (re.compile(r"^VENUS-XS_"), VENUS),
)
_PLATFORM_TAGS = (
    *("SPACECRAFT_NAME", "SPACECRAFT_ID", "DATATAKE_1_SPACECRAFT_NAME"),
    *("SATELLITE", "SATELLITEID", "PLATFORM", "MISSION"),
)
_BASELINE = re.compile(r"_N(\d{2})\.?(\d{2})(?:_|$|\.)")
_OFFSET_SINCE = 4.0  # processing baseline
_TCI = re.compile(r"(?:_|:)TCI(?:_\d\dm)?(?:$|[.:])", re.IGNORECASE)
_TCI_SATURATION = {"1C": 3558.0, "2A": 2000.0}


@dataclass(frozen=True)
class KnownValues:
    """Meaning of a scene's values, from names or tags.

    Parameters
    ----------
    scale, offset : float
        Reflectance x 10,000 = DN * scale + offset.
    why : str
        Source, as it completes "from ...".
    warning : str
        Possible problem, or empty.
    """

    scale: float
    offset: float
    why: str
    warning: str = ""


_VALUES_BY_NAME = (
    (
        re.compile(r"^L[COTE]0\d_(?:L2S[PR]_|(?:CU|AK|HI)_.*_02_SR)"),
        KnownValues(0.275, -2000.0, "its name, Landsat Collection 2 level 2"),
    ),
    (
        re.compile(r"^L[COTE]0\d_L1[A-Z]{2}_"),
        KnownValues(
            0.2,
            -1000.0,
            "its name, Landsat Collection 2 level 1",
            "its reflectance is not corrected for the elevation of the sun, which the file does not contain; name the"
            " folder of the product, or its _MTL.txt",
        ),
    ),
    (re.compile(r"^HLS\.[LS]30\."), KnownValues(1.0, 0.0, "its name, HLS")),
    (re.compile(r"_3B_\w*_SR", re.IGNORECASE), KnownValues(1.0, 0.0, "its name, PlanetScope surface reflectance")),
    (
        re.compile(r"_3B_(?:ortho_)?analytic(?:MS)?(?:_8b)?(?!\w*_SR)", re.IGNORECASE),
        KnownValues(
            1.0,
            0.0,
            "its name, PlanetScope",
            "its name is that of a PlanetScope product of radiance, not of reflectance; use the one whose name ends in"
            " _SR",
        ),
    ),
)


def known_sensor(path: str, tags: Mapping[str, str]) -> str | None:
    """Find the sensor of a scene from its tags, or else from the names in its path; None if unknown."""
    upper = {name.upper(): value for name, value in tags.items()}
    for name in _PLATFORM_TAGS:
        known = re.sub(r"[\s_-]", "", upper.get(name, "")).upper()
        if known.startswith(("SENTINEL2", "S2A", "S2B", "S2C")):
            return SENTINEL_2
        if known.startswith("LANDSAT"):
            return LANDSAT_OLI if known[7:8] in ("8", "9") else LANDSAT_TM
        if known.startswith("PLANETSCOPE"):
            return PLANETSCOPE
    for part in _parts(path):
        for pattern, sensor in _BY_NAME:
            if pattern.search(part):
                return sensor
    return None


def baseline_offset(baseline: str) -> float:
    """Return the offset of DN in Sentinel-2 products of a processing baseline such as 04.00; 0 if unknown."""
    try:
        return -1000.0 if float(baseline) >= _OFFSET_SINCE else 0.0
    except ValueError:
        return 0.0


def known_values(path: str, tags: Mapping[str, str], dtype: str) -> KnownValues | None:
    """Find the meaning of DN from tags or the names in a path; None if unknown."""
    factor = _factor(tags)
    if factor:
        return KnownValues(1e4 / factor, 0.0, f"its header, reflectance scale factor {factor:g}")
    if dtype == "uint8":
        return _true_colour(path)
    if dtype.startswith(("float", "complex")):
        return None
    baseline, where = _baseline(path, tags)
    if baseline:
        offset = baseline_offset(baseline)
        remedy = "; if it was subtracted already, give --value-offset 0" if offset else ""
        return KnownValues(1.0, offset, f"{where}, processing baseline {baseline}{remedy}")
    named = (known for part in _parts(path) for pattern, known in _VALUES_BY_NAME if pattern.search(part))
    return next(named, None)


def _factor(tags: Mapping[str, str]) -> float | None:
    """Return the number that reflectance was multiplied by, as an ENVI header states it; None if it does not."""
    text = {name.upper(): value for name, value in tags.items()}.get("REFLECTANCE_SCALE_FACTOR", "")
    with suppress(ValueError):
        return factor if math.isfinite(factor := float(text)) and factor >= 1 else None
    return None


def _true_colour(path: str) -> KnownValues | None:
    """Return scale and offset that undo the stretch of a product's true-colour image.

    Reflectance x 10,000 from 0 to 3558 (L1C) or 2000 (L2A) is coded from 1 to 255, according to ESA's Sentinel-2
    product definitions.
    """
    if not any(_TCI.search(part) for part in _parts(path, r"[/\\\"]+")):
        return None
    is_2a = re.search(r"MSIL2A|L2A_|_10m|_20m|_60m|SENTINEL2_L2A", path) is not None
    level = "2A" if is_2a else "1C"
    scale = _TCI_SATURATION[level] / 254
    warning = (
        "reflectance above 0.2 is saturated in the true-colour image of an L2A product; use its"
        " bands, or the product itself"
    )
    why = f"its name, the true-colour image of an L{level} product"
    return KnownValues(scale, -scale, why, warning if is_2a else "")


def _baseline(path: str, tags: Mapping[str, str]) -> tuple[str, str]:
    """Return the processing baseline of a Sentinel-2 scene, and its source; empty if unknown."""
    tagged = {name.upper(): value for name, value in tags.items()}.get("PROCESSING_BASELINE", "").strip()
    if re.fullmatch(r"\d{2}\.\d{2}", tagged):
        return tagged, "its tag PROCESSING_BASELINE"
    for part in _parts(path):
        match = _BASELINE.search(part)
        if match and part.startswith("S2"):
            return f"{match[1]}.{match[2]}", "its name"
    return "", ""


def _parts(path: str, at: str = r"[/\\:\"]+") -> list[str]:
    return [part for part in reversed(re.split(at, path)) if part]
