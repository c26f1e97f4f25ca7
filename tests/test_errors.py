"""The one list of errors, which is read before any of them is caught."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from dpop_ext import errors

BRANCH = re.compile(r"^( {4}(?:[│ ] {3})*)[├└]── (\w+)", re.MULTILINE)


def test_the_tree_has_every_error_below_its_base() -> None:
    drawn, above = [("DPoPError", "Exception")], ["DPoPError"]
    for indent, name in BRANCH.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        above[depth:] = [name]
        drawn.append((name, above[depth - 1]))

    assert drawn == [
        (name, value.mro()[1].__name__)
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DPoPError)
    ]


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_an_error_tells_its_description_and_so_does_a_copy(
    copied: Callable[[Any], Any],
) -> None:
    error = errors.AccessTokenError("The access token has expired.", check="exp")
    for one in (error, copied(error)):
        assert str(one) == one.description == "The access token has expired."
        assert one.check == "exp"
    assert (
        str(copied(errors.BadSignatureError())) == errors.BadSignatureError.description
    )


def test_an_error_shows_nothing_of_what_it_carries() -> None:
    error = errors.NonceRequiredError(nonce="secret")
    assert "secret" not in f"{error!r} {error} {error.args}"
