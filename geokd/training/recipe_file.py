"""A recipe read from TOML, or from the JSON of runs and bundles; an unknown key is an error with a suggestion."""

import dataclasses
import difflib
import inspect
import json
import math
import os
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from geokd.errors import CallError, RecipeError, one_message
from geokd.legend.classes import machine_name
from geokd.system.documents import parse_toml, read_text
from geokd.training.dense.recipe import ClassRecipe, DenseRecipe, RuleRecipe
from geokd.training.recipe import LOSS_TERMS, LegendEntry, Recipe

R = TypeVar("R")


def load_recipe(path: str | Path | None, changes: Sequence[str] = ()) -> Recipe:
    """Read a TOML recipe.

    Parameters
    ----------
    path : path or None
        None: the defaults.
    changes : sequence of str
        Changed keys, as `section.key=value` with a TOML value; quotes may be left out.

    Returns
    -------
    Recipe

    Raises
    ------
    CallError
        If a change is not of that form.
    RecipeError
        If the file is missing or not TOML, or has unknown keys or unusable values: all of them in one message.
    """
    return _loaded(recipe_from_json, path, changes)


def load_dense_recipe(path: str | Path | None, changes: Sequence[str] = ()) -> DenseRecipe:
    """Read a TOML recipe of a dense student.

    Parameters
    ----------
    path, changes
        As for :func:`load_recipe`.

    Returns
    -------
    DenseRecipe

    Raises
    ------
    CallError, RecipeError
        As for :func:`load_recipe`.
    """
    return _loaded(dense_recipe_from_json, path, changes)


def template() -> str:
    """Return all keys of a recipe with their defaults as TOML, each section with its description."""
    lines = _template(Recipe(), ("legend",))
    lines += ["", "# For each class that needs another title or colour than the ones derived from its folder's name:"]
    lines += ["# [[legend]]", *(f"# {field.name} =" for field in dataclasses.fields(LegendEntry))]
    return "\n".join(lines) + "\n"


def dense_template() -> str:
    """Return all keys of a recipe of a dense student with their defaults as TOML, as :func:`template` does."""
    lines = _template(DenseRecipe(), ("classes", "rules"))
    for name, kind in (("classes", ClassRecipe), ("rules", RuleRecipe)):
        lines += ["", f"# [[{name}]], as often as needed:", *(f"# {line}".rstrip() for line in _plain_words(kind))]
        lines += [f"# {field.name} =" for field in dataclasses.fields(kind)]
    return "\n".join(lines) + "\n"


def _template(recipe: Recipe | DenseRecipe, tables: Sequence[str]) -> list[str]:
    """Lines with all keys of a recipe but those of its `tables`."""
    whole = [(field.name, getattr(recipe, field.name)) for field in dataclasses.fields(recipe)]
    lines = ["# All keys of a recipe, with their defaults. Lines like `# key =` are keys without a value."]
    lines += [_line(name, value) for name, value in whole if not dataclasses.is_dataclass(value) and name not in tables]
    for name, section in whole:
        if dataclasses.is_dataclass(section) and not isinstance(section, type):
            lines += ["", f"[{name}]", *(f"# {line}".rstrip() for line in _plain_words(type(section)))]
            lines += [_line(field.name, getattr(section, field.name)) for field in dataclasses.fields(section)]
    return lines


def _line(key: str, value: Any) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a small table in a line of its own
        inner = ", ".join(f"{f.name} = {json.dumps(getattr(value, f.name))}" for f in dataclasses.fields(value))
        return f"{key} = {{ {inner} }}"
    return f"# {key} =" if value is None else f"{key} = {json.dumps(value)}"


def _plain_words(cls: type[Any]) -> list[str]:
    """Docstring of a class, with names instead of references."""
    return re.sub(r":\w+:`(?:[\w.]*\.)?(\w+)`", r"\1", inspect.cleandoc(cls.__doc__ or "")).splitlines()


def changed(recipe: Recipe, changes: Sequence[str], what: str) -> Recipe:
    """Change keys of a recipe, as :func:`load_recipe` does; `what` names it in messages."""
    return _changed(recipe_from_json, recipe.to_json(), changes, what)


def recipe_from_json(document: Mapping[str, Any]) -> Recipe:
    """Build a recipe from nested mappings.

    Raises
    ------
    RecipeError
        If there are unknown keys or unusable values: all of them in one message.
    """
    problems: list[str] = []
    recipe = _named(_build(Recipe, document, "", problems), problems)
    if recipe is not None:
        taught = recipe.loss.needs_teacher
        if not (recipe.loss.ce or taught):
            problems.append(f"the weights {', '.join(LOSS_TERMS)} of [loss] are all 0: there is nothing to train on")
        has_teacher = taught and (recipe.teacher.epochs or recipe.teacher.ensemble)
        if recipe.split.unlabelled == "teacher" and not has_teacher:
            problems.append("split.unlabelled = 'teacher' needs a teacher: give it epochs, and loss.kl or loss.cosine")
    if problems or recipe is None:
        raise RecipeError(one_message(problems))
    return typing.cast(Recipe, recipe)


def dense_recipe_from_json(document: Mapping[str, Any]) -> DenseRecipe:
    """Build a recipe of a dense student from nested mappings; raises the same errors as :func:`recipe_from_json`."""
    problems: list[str] = []
    recipe = _named(_build(DenseRecipe, document, "", problems), problems)
    if problems or recipe is None:
        raise RecipeError(one_message(problems))
    return typing.cast(DenseRecipe, recipe)


def _named(recipe: Any, problems: list[str]) -> Any:
    """Check the name of a recipe, which becomes a file name."""
    if recipe is not None and recipe.name != machine_name(recipe.name):
        problems.append(f"name = {recipe.name!r} becomes a file name: use letters, digits, '_' and '-'")
    return recipe


def expanded(path: str) -> Path:
    """Path from a recipe: unchanged if it exists, else with `~` and `$VARIABLE` expanded."""
    return Path(path) if Path(path).exists() else Path(os.path.expandvars(path)).expanduser()


def _loaded(read: Callable[[Mapping[str, Any]], R], path: str | Path | None, changes: Sequence[str]) -> R:
    document = {} if path is None else _read_toml(path)
    return _changed(read, document, changes, "the defaults" if path is None else f"the recipe {path}")


def _changed(read: Callable[[Mapping[str, Any]], R], document: dict[str, Any], changes: Sequence[str], what: str) -> R:
    malformed = [problem for change in changes if (problem := _set(document, change))]
    if malformed:
        raise CallError(one_message(malformed))
    try:
        return read(document)
    except RecipeError as error:
        raise RecipeError(f"{what}{' as changed' if changes else ''} cannot be used: {error}") from error


def _read_toml(path: str | Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from error
    except ValueError as error:
        raise RecipeError(f"the recipe {path} is not TOML: {error}") from error


def _set(document: dict[str, Any], change: str) -> str | None:
    """Apply one change `section.key=value`; return its problem, if any."""
    key, equals, text = change.partition("=")
    *sections, last = (part.strip() for part in key.split("."))
    if not equals or not last or not all(sections):
        return f"the change {change!r} is not of the form section.key=value"
    try:
        value = parse_toml(f"value = {text.strip()}")["value"]
    except ValueError:
        value = text.strip()
    for section in sections:
        document = document.setdefault(section, {})
        if not isinstance(document, dict):
            return f"the change {change!r} names {section!r}, which is not a section"
    document[last] = value
    return None


def _build(cls: type[Any], document: Mapping[str, Any], where: str, problems: list[str]) -> Any:
    """Build dataclass `cls` from a mapping; on errors, add them to `problems` and return None."""
    before = len(problems)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in document.items():
        path = f"{where}{key}"
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
            problems.append(f"unknown key {path!r}: {hint}")
            continue
        values[key] = _convert(hints[key], value, path, problems)
        low, high = fields[key].metadata.get("range", (None, None))
        if low is not None and isinstance(values[key], int | float) and not low <= values[key] <= high:
            problems.append(f"{path} = {values[key]} is outside {low:g}..{high:g}")
    missing = [
        f"{where}{name}"
        for name, f in fields.items()
        if name not in document and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    problems += [f"key {name!r} is missing" for name in missing]
    if len(problems) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        problems.append(f"{where.rstrip('.') or 'recipe'}: {error}")
        return None


def _convert(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """Convert a TOML value to the annotated type `kind`, or add to `problems`."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None or value is False:  # TOML has no null: `value_scaling = false` means none
            return None
        return _convert(_of_union(args, value), value, path, problems)
    if origin is tuple and isinstance(value, str):  # as in --set: B04,B03,B02
        value = [part.strip() for part in value.split(",")]
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(args[0], v, f"{path}[{i}]", problems) for i, v in enumerate(value))
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return _build(typing.cast(type[Any], kind), value, f"{path}.", problems)
    if origin is Literal:
        wanted, fits = f"one of {', '.join(map(repr, args))}", value in args
    elif origin is tuple or dataclasses.is_dataclass(kind):
        wanted, fits = "a list" if origin is tuple else "a table", False
    else:
        accepted = (int, float) if kind is float else kind
        fits = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
        wanted = f"of type {kind.__name__}"
    if not fits:
        problems.append(f"{path} = {value!r} is not {wanted}")
        return None
    return _as_float(value) if kind is float else value


def _of_union(kinds: Sequence[Any], value: Any) -> Any:
    """Choose the type of a union for a value: literals for text, a tuple for a list, else the first."""
    wanted = Literal if isinstance(value, str) else tuple if isinstance(value, list | tuple) else None
    known = [kind for kind in kinds if kind is not type(None)]
    return next((kind for kind in known if typing.get_origin(kind) is wanted is not None), known[0])


def _as_float(value: float) -> float:
    """Convert an int to a float, infinite if it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
