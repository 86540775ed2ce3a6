"""Acquisition date of a scene: from the user, its metadata or its name. Pure: no file is opened here."""

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

_YEARS = range(1900, 2200)  # other years mean that the date was never set
_SECONDS_A_DAY = 86_400

# Names of tags for start and end; the most reliable first. TIFFTAG_DATETIME may be when the file was written.
_TAGS = (
    ("ACQUISITION_DATETIME", None),
    ("ACQUISITIONDATETIME", None),
    ("DATATAKE_1_DATATAKE_SENSING_START", None),
    ("PRODUCT_START_TIME", "PRODUCT_STOP_TIME"),
    ("START_DATETIME", "END_DATETIME"),
    ("SENSING_TIME", None),
    ("ACQUISITION_TIME", None),
    ("ACQUISITION_DATE", None),
    ("DATE_ACQUIRED", None),
    ("DATETIME", None),
)
_FILE_TAG = "TIFFTAG_DATETIME"

# Parts of product names; the group is the acquisition date.
_NAMES = (
    re.compile(r"S2[A-D]_MSI(?:L1C|L2A)_(\d{8}T\d{6})_"),  # Sentinel-2 product
    re.compile(r"(?:^|_)T\d{2}[A-Z]{3}_(\d{8}T\d{6})_"),  # image of a Sentinel-2 product
    re.compile(r"S2[A-D]_\d{1,2}[A-Z]{3}_(\d{8})_\d_L\d"),  # Sentinel-2 in open-data archives
    re.compile(r"L[COTEM]0\d_L\d[A-Z]{2}_\d{6}_(\d{8})_\d{8}_"),  # Landsat Collection product
    re.compile(r"HLS\.[LS]30\.T\d{2}[A-Z]{3}\.(\d{7}T\d{6})\."),  # HLS, with the day of the year
    re.compile(r"^(\d{8}_\d{6})_(?:\w+_)?3B_"),  # PlanetScope
)


@dataclass(frozen=True)
class Acquisition:
    """Acquisition date of a scene.

    Parameters
    ----------
    start, end : datetime
        In UTC, whole seconds; equal for an instant. A day is from its first to its last second.
    source : str
        Source of the date, as it completes "from ...".

    Raises
    ------
    ValueError
        If the end comes before the start.
    """

    start: datetime.datetime
    end: datetime.datetime
    source: str

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"it ends, {in_words(self.end)}, before it starts, {in_words(self.start)}")

    def __str__(self) -> str:
        return " to ".join(dict.fromkeys((in_words(self.start), in_words(self.end))))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object: start and end as in RFC 3339, and the source."""
        return {"start": in_words(self.start), "end": in_words(self.end), "source": self.source}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Acquisition":
        """Read what :meth:`to_json` returns.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is invalid.
        """
        start, end = (_moment(document[key])[0] for key in ("start", "end"))
        return cls(start, end, str(document["source"]))


def in_words(moment: datetime.datetime) -> str:
    """Return a time in UTC as in RFC 3339: 2016-01-12T15:59:02Z."""
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def stated_acquisition(text: str) -> Acquisition:
    """Read a user's acquisition date: a date, a date with time, or two of them separated by a slash.

    Times without a zone are in UTC.

    Raises
    ------
    ValueError
        If it is invalid.
    """
    first, _, last = text.partition("/")
    start, end = _moment(first)
    return Acquisition(start, _moment(last)[1] if last else end, "--acquired")


def known_acquisition(path: str, tags: Mapping[str, str]) -> Acquisition | None:
    """Find the acquisition date from a scene's tags, or else from the product name in its path.

    Ambiguous dates are ignored.

    Parameters
    ----------
    path : str
    tags : mapping
        Its metadata, of all relevant domains.
    """
    for start, end, source in _candidates(path, {name.upper(): value for name, value in tags.items()}):
        with suppress(ValueError):
            return Acquisition(_moment(start)[0], _moment(end)[1], source)
    return None


def acquired_by(source: str, name: str, tags: Mapping[str, str]) -> Acquisition | None:
    """Find the acquisition date from a product's metadata, given as tags, or else from its name.

    Parameters
    ----------
    source : str
        Name of the metadata, as it completes "from ...".
    name : str
    tags : mapping
    """
    known = known_acquisition(name, tags)
    by_tag = known is not None and known.source.startswith("its tag")
    return replace(known, source=source) if known is not None and by_tag else known


def spanned(parts: Sequence[Acquisition | None]) -> Acquisition | None:
    """Return the time from the first to the last of the joined scenes; None if one is unknown."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return Acquisition(min(part.start for part in known), max(part.end for part in known), "the joined scenes")


def _candidates(path: str, tags: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield candidates for start and end with their source, the most reliable first."""
    for name, until in _TAGS:
        if name in tags:
            yield tags[name], tags.get(until or name, tags[name]), f"its tag {name}"
    for part in reversed(re.split(r"[/\\:\"]+", path)):
        for pattern in _NAMES:
            if match := pattern.search(part):
                yield match[1], match[1], "the name of its product"
    if _FILE_TAG in tags:
        yield tags[_FILE_TAG], tags[_FILE_TAG], f"its tag {_FILE_TAG}"


def _moment(text: str) -> tuple[datetime.datetime, datetime.datetime]:
    """Read a date, or a date with time; returns its first and its last second in UTC.

    Raises
    ------
    ValueError
        If it is neither ISO 8601 nor in TIFF's form (2016:01:12 15:59:02), or its year is implausible.
    """
    plain = re.sub(r"^(\d{4}):(\d{2}):(\d{2})(?= |$)", r"\1-\2-\3", text.strip())
    plain = re.sub(r"^(\d{8})_(\d{6})$", r"\1T\2", plain)
    if re.fullmatch(r"\d{7}T\d{6}", plain):  # a year and the day of the year
        plain = datetime.datetime.strptime(plain, "%Y%jT%H%M%S").isoformat()
    if not re.fullmatch(r"\d{4}-?\d{2}-?\d{2}([T ]\d{2}:?\d{2}.*)?", plain):
        raise ValueError(f"{text!r} is not a date such as 2016-01-12 or 2016-01-12T15:59:02Z")
    moment = datetime.datetime.fromisoformat(plain).replace(microsecond=0)
    if moment.year not in _YEARS:
        raise ValueError(f"{text!r} is not within the years {_YEARS.start} to {_YEARS.stop - 1}")
    first = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)
    is_day = re.fullmatch(r"[\d-]+", plain)
    return first, first + datetime.timedelta(seconds=_SECONDS_A_DAY - 1 if is_day else 0)
