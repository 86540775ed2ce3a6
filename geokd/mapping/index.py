"""The page that links the reports of one call."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from geokd.errors import GeokdError
from geokd.files import write_bytes
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.scene_run import ClassifyResult
from geokd.maps.names import INDEX_NAME
from geokd.maps.pages.quicklook import draw_thumbnail
from geokd.maps.pages.report_index import MARK, THUMBNAIL_PX, IndexEntry, index_page
from geokd.system.commit import check_outputs, staged

_HEAD_BYTES = 2000  # the generator is named within these


def check_index(folder: Path, options: ClassifyOptions) -> None:
    """Refuse an index that cannot be written, before any work is done.

    Raises
    ------
    CallError
        If a page of that name exists, unless `overwrite` replaces it, or `resume` if geokd wrote it.
    """
    check_outputs(folder, [INDEX_NAME], overwrite=_may_replace(folder, options))


def index_entry(path: str, outcome: ClassifyResult | GeokdError) -> IndexEntry:
    """Return the entry of a scene in the index."""
    if isinstance(outcome, GeokdError):
        return IndexEntry(path, error=str(outcome))
    report = outcome.outputs["report"]
    class_map = replace(outcome).class_map  # of a copy, which does not keep it in memory
    return IndexEntry(path, "", outcome.manifest, draw_thumbnail(class_map, THUMBNAIL_PX), report.name)


def write_index(
    scenes: Sequence[str], entries: Mapping[str, IndexEntry], folder: Path, options: ClassifyOptions
) -> None:
    """Write the index of a call; none if no scene was mapped.

    Parameters
    ----------
    scenes : sequence of str
        All of the call, in its order.
    entries : mapping
        Their results, by path; scenes that were not started are missing.
    folder : Path
    options : ClassifyOptions

    Raises
    ------
    CallError
        As for :func:`check_index`, if such a page appeared meanwhile.
    OutputError
        If it cannot be written.
    """
    if all(entry.error for entry in entries.values()):
        return
    listed = [entries.get(scene, IndexEntry(scene, error="it was not started")) for scene in scenes]
    with staged(folder, [INDEX_NAME], overwrite=_may_replace(folder, options)) as temporary:
        write_bytes(temporary / INDEX_NAME, index_page(listed))


def _may_replace(folder: Path, options: ClassifyOptions) -> bool:
    if options.overwrite or not options.resume:
        return options.overwrite
    try:
        with (folder / INDEX_NAME).open("rb") as page:
            return MARK in page.read(_HEAD_BYTES)
    except OSError:  # it does not exist
        return False
