"""The vectors of the profile as the cases of a test."""

from __future__ import annotations

import pytest

from tests.vectors.profile import __main__ as vectors

CONTENT = {name: vectors.read(name) for name in vectors.FILES}


def cases(file: str, part: str = "vectors") -> pytest.MarkDecorator:
    """One test for each vector, which shows the requirements that the vector names."""
    return pytest.mark.parametrize(
        "vector",
        [
            pytest.param(
                vector,
                id=vector["name"],
                marks=pytest.mark.requirement(*vector["requirements"]),
            )
            for vector in CONTENT[file][part]
        ],
    )
