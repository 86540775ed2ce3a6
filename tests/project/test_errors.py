"""Errors of one validation become one."""

import pytest

from geokd.errors import CallError, GeokdError, OutputError, SceneError, named, together


def test_an_error_alone_stays_as_it_is() -> None:
    error = SceneError("it cannot be read")
    assert together([error]) is error


@pytest.mark.parametrize(
    ("errors", "kind", "exit_code"),
    [
        ((SceneError("a"), SceneError("b")), SceneError, 1),
        ((OutputError("a"), SceneError("b")), OutputError, 1),
        ((SceneError("a"), CallError("b")), CallError, 2),
    ],
)
def test_a_wrong_call_among_them_makes_it_a_wrong_call(
    errors: tuple[GeokdError, ...], kind: type[GeokdError], exit_code: int
) -> None:
    joined = together(errors)
    assert (type(joined), joined.exit_code) == (kind, exit_code)
    assert str(joined) == "2 problems:\n  - a\n  - b"


def test_many_things_are_named_in_part() -> None:
    assert named(["a", "b", "c"], 3) == "a, b, c"
    assert named(["a", "b", "c", "d"], 2, "; ") == "a; b and 2 more"
