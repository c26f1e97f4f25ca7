"""A Sphinx extension: names in docstrings that are on no page of the reference.

A docstring calls things what its module calls them, and its signatures have types of
other packages. Such a name is looked up where Python would: what is on a page under
another name becomes a link, what exists elsewhere is text, and what does not exist
stays a warning.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

_PACKAGE: Final = "dpop_ext"
_ABSENT: Final = object()


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect with the events of Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def find(name: str, module: str | None) -> Any:
    """Return what a name means in a module, or anywhere in this package.

    :raises LookupError: it means nothing.
    """
    for namespace, path in (
        *_imported(name),
        *((namespace, name) for namespace in _namespaces(module)),
    ):
        found: Any = namespace
        for part in filter(None, path.split(".")):
            found = _member(found, part)
        if found is not _ABSENT:
            return found
    raise LookupError(name)


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    if node.get("refdomain") != "py":
        return None
    try:
        found = find(node["reftarget"], node.get("py:module"))
    except LookupError:
        return None
    name = getattr(found, "__qualname__", None)
    documented = env.domains.python_domain.objects
    if name and (full := f"{found.__module__}.{name}") in documented:
        node["reftarget"] = full
        return env.domains.python_domain.resolve_xref(
            env, node["refdoc"], app.builder, "obj", full, node, text
        )
    return text


def _imported(name: str) -> Iterator[tuple[ModuleType, str]]:
    """Yield the modules whose names a full name begins with, and what is behind."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:length]))
            yield module, ".".join(parts[length:])
        except ImportError:
            continue


def _namespaces(module: str | None) -> Iterator[ModuleType]:
    if module in sys.modules:
        yield sys.modules[module]
    for name in sorted(sys.modules):
        if name.partition(".")[0] == _PACKAGE:
            yield sys.modules[name]
    yield builtins


def _member(found: Any, name: str) -> Any:
    if found is _ABSENT:
        return found
    fields = getattr(found, "__annotations__", {})
    return getattr(found, name, None if name in fields else _ABSENT)
