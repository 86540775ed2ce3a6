"""From old classes to new ones: renamed, recoloured, merged. Pure."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geokd.errors import CallError, one_message
from geokd.legend.classes import NODATA, UNCLASSIFIED, LandUseClass, Legend, machine_name
from geokd.legend.file import Restyle
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class NewClass(Record):
    """A class of a new legend, and the names of the old classes that it is made of."""

    value: int
    name: str
    title: str
    color_hint: str
    made_of: tuple[str, ...]


@dataclass(frozen=True)
class Regrouping:
    """New classes, and which of the old ones each is made of.

    Parameters
    ----------
    legend : Legend
        The new classes, in the order of the first old class of each.
    groups : tuple of tuple of int
        For each new class the codes of its old ones, ascending.
    """

    legend: Legend
    groups: tuple[tuple[int, ...], ...]

    @property
    def merges(self) -> bool:
        """Whether any classes are merged; if none are, codes stay as they are."""
        return any(len(group) > 1 for group in self.groups)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """New code of each old one, uint8 (256,); NODATA for NODATA and for unused codes."""
        table = np.full(256, NODATA, np.uint8)
        for new, group in enumerate(self.groups):
            table[list(group)] = new
        return table

    def made_of(self, old: Legend) -> tuple[NewClass, ...]:
        """Return the new classes with the names of the old ones that they are made of."""
        return tuple(
            NewClass(
                value=c.value,
                name=c.name,
                title=c.title,
                color_hint=c.color_hint,
                made_of=tuple(old[code].name for code in group),
            )
            for c, group in zip(self.legend, self.groups, strict=True)
        )


def regroup(old: Legend, wanted: Sequence[Restyle], source: str) -> Regrouping:
    """Compare the wanted classes with the old ones; classes that are not mentioned do not change.

    A missing title is kept if the class is made of one old class; a missing name is kept with its title, or made from a
    new title that can be written in ASCII; a missing colour is that of the first old class.

    Parameters
    ----------
    old : Legend
    wanted : sequence of Restyle
    source : str
        Name of the legend file in messages.

    Raises
    ------
    CallError
        If classes are unknown, wanted twice, or would be equal: all problems in one message.
    """
    problems: list[str] = []
    taken: dict[int, int] = {}
    for number, restyle in enumerate(wanted):
        for text in restyle.sources:
            code = old.code_of(text)
            if code is None:
                problems.append(f"{text!r} is not a class; {_nearest(text, old)}")
            elif taken.setdefault(code, number) != number or restyle.sources.count(text) > 1:
                problems.append(f"{old[code].title!r} is mentioned more than once")
    classes: list[tuple[tuple[int, ...], LandUseClass]] = []
    for number, restyle in enumerate(wanted):
        group = tuple(sorted(code for code, of in taken.items() if of == number))
        if group:
            _append(classes, group, restyle, old, problems)
    classes += [((c.value,), c) for c in old if c.value not in taken]
    classes.sort(key=lambda member: member[0])
    problems += _alike([c.title for _, c in classes], "title") or _alike([c.name for _, c in classes], "name")
    if problems:
        raise CallError(one_message([f"the legend {source} does not fit: {p}" for p in dict.fromkeys(problems)]))
    legend = Legend(tuple(LandUseClass(value, c.name, c.title, c.color_hint) for value, (_, c) in enumerate(classes)))
    return Regrouping(legend, tuple(group for group, _ in classes))


def _append(
    classes: list[tuple[tuple[int, ...], LandUseClass]],
    group: tuple[int, ...],
    restyle: Restyle,
    old: Legend,
    problems: list[str],
) -> None:
    """Append a new class, or note why it is impossible."""
    members = [old[code] for code in group]
    title = restyle.title
    if title is None:
        title = members[0].title if len(members) == 1 else restyle.name
    if title is None:
        problems.append(f"the class of {' and '.join(c.title for c in members)} needs a title")
        return
    of_unclassified = UNCLASSIFIED in {c.name for c in members}
    if of_unclassified and len(members) > 1:
        problems.append(f"{UNCLASSIFIED!r} is not a class of land use and cannot be merged with others")
        return
    name = restyle.name or _name(title, members)
    if (name == UNCLASSIFIED) != of_unclassified:
        if not of_unclassified:
            problems.append(f"the name {UNCLASSIFIED!r} is reserved for cells of low confidence")
            return
        name = UNCLASSIFIED
    try:
        classes.append((group, LandUseClass(group[0], name, title, restyle.color_hint or members[0].color_hint)))
    except ValueError as error:
        problems.append(str(error))


def _name(title: str, members: Sequence[LandUseClass]) -> str:
    if [title] == [c.title for c in members] or not title.strip() or not title.isascii():
        return "_".join(c.name for c in members)
    return machine_name(title)


def _alike(texts: Sequence[str], kind: str) -> list[str]:
    """Report texts that occur more than once, whatever their case."""
    plain = [text.casefold() for text in texts]
    twice = dict.fromkeys(text for text in texts if plain.count(text.casefold()) > 1)
    return [f"several classes would have the {kind} {text!r}; merge them, or rename one" for text in twice]


def _nearest(text: str, old: Legend) -> str:
    known = [known for c in old for known in (c.name, c.title)]
    near = difflib.get_close_matches(text, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the classes are {', '.join(old.names)}"
