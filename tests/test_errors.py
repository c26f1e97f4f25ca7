"""The one list of errors, which is read before any of them is caught."""

from __future__ import annotations

import re

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
