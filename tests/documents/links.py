"""The tests that a document names: ``[...](../tests/a/test_b.py#test_c)``."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_LINK: Final = re.compile(r"\[[^]]+\]\(\.\./(tests/[a-z0-9_/]+\.py)#(\w+)\)")

#: A file, and the function in it.
Link = tuple[str, str]


def links(text: str) -> list[Link]:
    """Return the tests that *text* names, in its order."""
    return [(path, name) for path, name in _LINK.findall(text)]


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below *heading*."""
    below = text.partition(f"## {heading}\n")[2] if heading else text
    table = re.search(r"^\|.*\n\| ---.*\n((?:\|.*\n)+)", below, re.MULTILINE)
    if table is None:
        raise ValueError("there is no table")
    lines = table[1].splitlines()
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]


@cache
def requirements_of(path: str) -> dict[str, frozenset[str]]:
    """Return the tests in a file, with the requirements that each is marked with.

    A mark that is made by a program, such as for each vector of a file, is not seen.
    """
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.name: frozenset(_marks(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _marks(node: ast.FunctionDef) -> list[str]:
    return [
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func) == "pytest.mark.requirement"
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
