"""The errors of geokd, by kind.

Every error has one sentence for the user: what, the value, the limit, the remedy. Each is also the builtin exception a
Python caller would expect, so `except OSError` works around :func:`geokd.classify`.
"""

from collections.abc import Sequence

from geokd.text import without_secrets


class GeokdError(Exception):
    """Base of all errors of geokd; `exit_code` is the exit code of the command line."""

    exit_code: int = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_secrets(message))


class CallError(GeokdError, ValueError):
    """The call itself is wrong: an option out of range, a missing file, an output that exists already."""

    exit_code = 2


class SceneError(GeokdError, OSError):
    """A scene cannot be read, or does not fit the contract of the model."""


class BundleError(GeokdError, ValueError):
    """A model bundle is missing, broken, or contradicts itself."""


class RecipeError(GeokdError, ValueError):
    """A recipe has an unknown key or an unusable value."""


class ChipError(GeokdError, ValueError):
    """Labelled chips cannot be read or used."""


class OutputError(GeokdError, OSError):
    """An output cannot be written."""


class TrainingError(GeokdError, RuntimeError):
    """A training run cannot start, continue or be resumed."""


def together(errors: Sequence[GeokdError]) -> GeokdError:
    """Combine the errors of one validation: into a CallError if one of them is, else into one of the first's kind."""
    if len(errors) == 1:
        return errors[0]
    kind = CallError if any(isinstance(error, CallError) for error in errors) else type(errors[0])
    return kind(one_message([str(error) for error in errors]))


def one_message(problems: list[str], most: int | None = None) -> str:
    """Join `problems` of one validation into one message, naming the first `most`; a single one stays a sentence."""
    if len(problems) == 1:
        return problems[0]
    lines = problems[:most]
    if len(lines) < len(problems):
        lines.append(f"and {len(problems) - len(lines)} more")
    return f"{len(problems)} problems:\n" + "\n".join(f"  - {line}" for line in lines)


class Checked:
    """Base of options whose values are checked when they are given: all problems in one message."""

    def _problems(self) -> list[str]:
        """Return what is wrong; subclasses add to the problems of their base."""
        return []

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise CallError(one_message(problems))


def named(items: list[str], most: int, separator: str = ", ") -> str:
    """List the first `most` of some items, and count the others."""
    others = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{separator.join(items[:most])}{others}"
