"""A map with a user's own class names, colours and merged classes."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, GeokdError, together
from geokd.legend.classes import NODATA
from geokd.legend.file import read_legend_file
from geokd.legend.regrouping import Regrouping, regroup
from geokd.maps.class_map import ClassMap, confidence_histogram
from geokd.maps.geotiff import Part
from geokd.maps.input_maps import ENDING, InputMap, find_map, names_of
from geokd.maps.manifest import VERSION, Manifest, StyledRecord, areas_of, package_versions
from geokd.maps.map_file import tiled_windows
from geokd.maps.map_files import MapProduct, write_map
from geokd.maps.pages.quicklook import notes_of_letters
from geokd.system.commit import check_outputs, staged

_SURE = 100


class _Part(NamedTuple):
    """Rows and columns of the new map, its codes and confidence there (rows, cols), percentages (K, rows, cols)."""

    place: tuple[slice, slice]
    codes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    percent: NDArray[np.uint8] | None


@dataclass(frozen=True, eq=False)
class _Restyled:
    """A map and its new classes."""

    source: InputMap
    regrouping: Regrouping

    @property
    def by_probability(self) -> bool:
        """Whether merged classes are decided by their summed probabilities: if all cells show the likeliest class."""
        return self.regrouping.merges and self.source.probabilities is not None and not self.source.filtered

    def parts(self) -> Iterator[_Part]:
        """Yield all parts of the map, which are whole tiles of its files."""
        grid, groups = self.source.file.grid, self.regrouping.groups
        merged = [new for new, group in enumerate(groups) if len(group) > 1]
        of_model = [list(group) for group in groups if group != (self.source.file.unclassified,)]
        for window in tiled_windows(grid.height, grid.width):
            part = self.source.read(1, grid, window, percent=True)
            codes, confidence = self.regrouping.codes[part.codes], part.confidence
            if part.percent is None:
                yield _Part(window.toslices(), codes, confidence, None)
                continue
            sums = np.stack([part.percent[group].sum(axis=0, dtype=np.uint16) for group in of_model]).clip(0, _SURE)
            if self.by_probability:
                codes = _likeliest(sums, codes)
            changed = np.isin(codes, merged)
            own = np.take_along_axis(sums, np.where(changed, codes, 0)[np.newaxis], axis=0)[0]
            percent = np.where(part.codes == NODATA, NODATA, sums).astype(np.uint8)
            yield _Part(window.toslices(), codes, np.where(changed, own, confidence).astype(np.uint8), percent)


def style_map(legend: str | Path, class_map: str | Path, output: str | Path, *, overwrite: bool = False) -> Manifest:
    """Write a map with other class names and colours, and with merged classes.

    Codes do not change unless classes are merged: then they are numbered from 0 again, in the order of the first old
    class of each. If the map has probabilities and every cell shows the likeliest class, merged classes are decided by
    the sum of their probabilities; otherwise each cell keeps its class under its new name. A cell of a merged class has
    the sum as its confidence if there are probabilities; otherwise it keeps its confidence, which is then too low.

    Parameters
    ----------
    legend : path
        A legend file as for :func:`geokd.legend.file.read_legend_file`.
    class_map : path
        A class raster `<stem>_landuse.tif`, with the files of the map beside it.
    output : path
        Class raster to write, `<stem>_landuse.tif`; the other files of a map are written beside it.
    overwrite : bool
        Whether outputs that exist are replaced.

    Returns
    -------
    Manifest
        As in the manifest file; `styled` has the old map and the changes.

    Raises
    ------
    CallError
        If the legend cannot be used, the map does not exist, or the output cannot be written.
    SceneError
        If the map cannot be read.
    OutputError
        If outputs cannot be written. Nothing is left half-written.
    """
    path = Path(output)
    restyled = _plan(legend, class_map, path, overwrite=overwrite)
    source = restyled.source
    was = source.file.manifest
    names, bare = names_of(path), source.probabilities is None
    outputs = names.chosen(polygons=was.has_polygons, probabilities=not bare)
    with staged(path.parent, outputs.values(), overwrite=overwrite, former=names) as folder:
        made = _restyle(restyled)
        product = MapProduct(
            class_map=made,
            outputs=outputs,
            title=path.name.removesuffix(ENDING),
            subtitle=f"Classes of {Path(legend).name}",
            tags={"GEOKD_STYLED_FROM": source.name},
            describe=lambda _: _describe(restyled, made, legend, outputs),
            made_of=[source.link(path.parent)],
            simplify_m=was.simplify_m,
            percent=None if bare else _percent(restyled),
        )
        return write_map(product, folder, path.parent)


def _plan(legend: str | Path, class_map: str | Path, path: Path, *, overwrite: bool) -> _Restyled:
    """Check everything that does not need cells."""
    problems: list[GeokdError] = []
    source = regrouping = None
    try:
        source = find_map(class_map)
        regrouping = regroup(source.file.legend, read_legend_file(legend), str(legend))
    except GeokdError as error:
        problems.append(error)
    if not path.name.endswith(ENDING):
        problems.append(CallError(f"the map {path} must be named <stem>{ENDING}, such as {path.stem}{ENDING}"))
    elif path.resolve() == Path(class_map).resolve():
        problems.append(CallError(f"the output {path} is the map itself; give it another name"))
    elif Path(legend).resolve() in {(path.parent / name).resolve() for name in names_of(path)}:
        problems.append(CallError(f"the legend {legend} is named like a file of the output; rename it, or the output"))
    else:
        try:
            check_outputs(path.parent, names_of(path), overwrite=overwrite)
        except GeokdError as error:
            problems.append(error)
    if problems or source is None or regrouping is None:
        raise together(problems)
    return _Restyled(source, regrouping)


def _likeliest(sums: NDArray[np.uint16], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give mapped cells the class of the largest sum (K, rows, cols); in a tie the one they have, else the first."""
    mapped = codes != NODATA
    own = np.take_along_axis(sums, np.where(mapped, codes, 0)[np.newaxis], axis=0)[0]
    best = sums.argmax(axis=0).astype(np.uint8)
    return np.where(mapped & (own < sums.max(axis=0)), best, codes)


def _restyle(restyled: _Restyled) -> ClassMap:
    grid = restyled.source.file.grid
    codes, confidence = (np.full((grid.height, grid.width), NODATA, np.uint8) for _ in range(2))
    for part in restyled.parts():
        codes[part.place], confidence[part.place] = part.codes, part.confidence
    return ClassMap(codes, confidence, grid, restyled.regrouping.legend)


def _percent(restyled: _Restyled) -> Iterator[Part]:
    for part in restyled.parts():
        assert part.percent is not None, "a map with probabilities"
        yield part.place, part.percent


def _describe(restyled: _Restyled, made: ClassMap, legend: str | Path, outputs: dict[str, str]) -> Manifest:
    """Return the manifest: the parts of the old one that are still true, and the new ones."""
    source, notes = restyled.source, _notes(restyled)
    letters = notes_of_letters(made.legend)
    was = source.file.manifest
    styled = StyledRecord(
        map=source.file.path,
        legend_file=str(legend),
        classes=restyled.regrouping.made_of(source.file.legend),
        by="probability" if restyled.by_probability else "class",
        notes=(notes[-1], *letters),
    )
    return was.evolve(
        version=VERSION,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        legend=made.legend.classes,
        styled=styled,
        notes=(*was.notes, *notes, *letters),
        cells_by_confidence=tuple(confidence_histogram(made)),
        run=None,  # that of the run that made the map
        fingerprint=None,
        outputs=outputs,
        versions=package_versions(),
        **areas_of(made),
    )


def _notes(restyled: _Restyled) -> list[str]:
    source, regrouping = restyled.source, restyled.regrouping
    old = source.file.legend
    merged = [
        f"{c.title} is {' + '.join(old[code].title for code in group)}"
        for c, group in zip(regrouping.legend, regrouping.groups, strict=True)
        if len(group) > 1
    ]
    if not merged:
        return ["classes are renamed or recoloured; cells and codes do not change"]
    if restyled.by_probability:
        how = "merged classes are decided by the sum of their probabilities, which is the confidence of their cells"
    elif source.probabilities is not None:
        how = (
            "cells keep their class under its new name, because filters or a minimum confidence changed it; those of"
            " merged classes have the sum of the probabilities as their confidence"
        )
    else:
        how = (
            f"cells keep their class under its new name, because {source.name} has no probabilities beside it; the"
            " confidence of merged classes is that of the old ones, and so too low"
        )
    return [*merged, how]
