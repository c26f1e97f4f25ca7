"""Imports point down the layers, and each layer imports only what it may.

::

    L7  __main__
    L6  cli   testing
    L5  integrations
    L4  authorization_server   resource_server   client      (never each other)
    L3  verifier   symmetric_verifier   token_keys   ticket_verifier   ticket_uses
        tickets   verified_proof   usual_proof
    L2  stores   telemetry   log_events
    L1  core   symmetric                                     (no clock, no I/O)
    L0  errors   extras   mixin_order
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "dpop_ext"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A module or subpackage right below the package, with what it may import."""

    level: int
    third_party: frozenset[str]
    lazily: frozenset[str] = frozenset()


JOSE = frozenset({"cryptography", "joserfc"})
PARTS = {
    "errors": Part(level=0, third_party=frozenset()),
    "extras": Part(level=0, third_party=frozenset()),
    "mixin_order": Part(level=0, third_party=frozenset()),
    "core": Part(level=1, third_party=JOSE),
    "symmetric": Part(level=1, third_party=JOSE),
    "stores": Part(
        level=2,
        third_party=JOSE,
        lazily=frozenset({"hiredis", "psycopg", "redis", "sqlalchemy"}),
    ),
    "log_events": Part(level=2, third_party=frozenset()),
    "telemetry": Part(
        level=2, third_party=frozenset(), lazily=frozenset({"opentelemetry"})
    ),
    "verified_proof": Part(level=3, third_party=JOSE),
    "usual_proof": Part(level=3, third_party=JOSE),
    "symmetric_verifier": Part(level=3, third_party=JOSE),
    "token_keys": Part(level=3, third_party=JOSE),
    "tickets": Part(level=3, third_party=JOSE),
    "ticket_uses": Part(level=3, third_party=JOSE),
    "ticket_verifier": Part(level=3, third_party=JOSE),
    "verifier": Part(level=3, third_party=JOSE),
    "authorization_server": Part(
        level=4, third_party=JOSE | {"authlib"}, lazily=frozenset({"flask"})
    ),
    "resource_server": Part(level=4, third_party=JOSE | {"authlib"}),
    "client": Part(level=4, third_party=JOSE),
    "integrations": Part(
        level=5,
        third_party=JOSE
        | {"authlib", "flask", "requests", "sqlalchemy", "urllib3", "werkzeug"}
        | {"anyio", "httpx", "httpx2", "pkcs11"}
        | {"filelock", "keyring"}
        | {"asgiref", "django", "fastapi", "starlette"},
    ),
    "migrations": Part(level=5, third_party=frozenset({"alembic", "sqlalchemy"})),
    # Each module is loaded with its command; `test_group` looks at what that costs.
    "testing": Part(
        level=6,
        third_party=JOSE | {"authlib", "flask", "pytest", "werkzeug"},
    ),
    "cli": Part(
        level=6,
        third_party=JOSE
        | {"authlib", "click", "keyring", "requests", "sqlalchemy", "urllib3"},
        lazily=frozenset({"redis"}),
    ),
    "__main__": Part(level=7, third_party=frozenset()),
}
#: Re-exports, so it is above what it names; ``test_public_api`` looks at what it costs.
TOP = Part(level=6, third_party=frozenset())

#: The layer without a clock and without I/O is told what it needs.
OUTSIDE_WORLD = frozenset(
    {"datetime", "http", "io", "os", "pathlib", "socket", "sqlite3", "subprocess"}
    | {"logging", "tempfile", "threading", "time", "urllib.request"}
)
VAGUE_NAMES = ("handler", "helper", "manager", "util")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One imported module, by its full name, and where."""

    module: str
    line: int
    lazy: bool


def imports(tree: ast.Module, module: str, *, is_package: bool) -> Iterator[Import]:
    """Every import in *tree*, those inside of functions and for types too (*lazy*)."""
    lazy = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(outer, ast.If) and ast.unparse(outer.test) == "TYPE_CHECKING")
        for node in ast.walk(outer)
    }
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            if node.level > 1:
                above = above[: 1 - node.level]
            prefix = ".".join(above) + "." if node.level else ""
            source = (prefix + (node.module or "")).rstrip(".")
            # `from dpop_ext import core` imports dpop_ext.core.
            names = (
                [f"{source}.{alias.name}" for alias in node.names]
                if source in {PACKAGE, "urllib"}
                else [source]
            )
        else:
            continue
        for name in names:
            yield Import(module=name, line=node.lineno, lazy=id(node) in lazy)


def objection(imported: Import, *, part: str, place: Part) -> str | None:
    """Why *part* may not import this, or None."""
    package, _, rest = imported.module.partition(".")
    if package == PACKAGE:
        other = rest.partition(".")[0]
        if other == part or place is TOP:
            return None
        if other not in PARTS:
            return "which is not a part of the package that has a layer"
        level = PARTS[other].level
        if level > place.level:
            return f"which is up in layer {level}, from layer {place.level}"
        if level == place.level and level >= 4:
            return f"its neighbour in layer {level}"
        return None
    if package in sys.stdlib_module_names:
        hidden = imported.module if package == "urllib" else package
        if place.level <= 1 and hidden in OUTSIDE_WORLD:
            return "which reaches the clock or the outside world"
        return None
    if package in place.third_party or (imported.lazy and package in place.lazily):
        return None
    if package in place.lazily:
        return "which may only be imported inside of a function"
    return f"a third-party package not allowed in layer {place.level}"


def violations(source: str, path: str) -> list[str]:
    """One sentence for each thing in *path*, relative to the root, out of place."""
    parts = Path(path).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_package else parts)
    part = parts[1]
    place = TOP if parts == (PACKAGE, "__init__") else PARTS.get(part)
    if place is None:
        return [f"{path}: {part} has no layer; give it one in this test."]
    found = [
        f"{path}: the name is too vague to hold one concept."
        for name in parts[1:]
        if any(vague in name for vague in VAGUE_NAMES)
    ]
    for imported in imports(ast.parse(source), module, is_package=is_package):
        reason = objection(imported, part=part, place=place)
        if reason:
            found.append(f"{path}:{imported.line} imports {imported.module}, {reason}.")
    return found


def test_imports_point_down_the_layers() -> None:
    paths = sorted((ROOT / PACKAGE).rglob("*.py"))
    found = [
        sentence
        for path in paths
        for sentence in violations(
            path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        )
    ]
    assert len(paths) > 1
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    ("path", "source", "sentence"),
    [
        (
            "core/proof.py",
            "import os.path",
            "imports os.path, which reaches the clock or the outside world",
        ),
        (
            "core/proof.py",
            "def f():\n    from time import time",
            "imports time, which reaches the clock or the outside world",
        ),
        (
            "symmetric/proof.py",
            "from urllib import request",
            "imports urllib.request, which reaches the clock or the outside world",
        ),
        (
            "errors.py",
            "import joserfc",
            "imports joserfc, a third-party package not allowed in layer 0",
        ),
        (
            "core/proof.py",
            "from ..stores.base import ReplayStore",
            "imports dpop_ext.stores.base, which is up in layer 2, from layer 1",
        ),
        (
            "core/__init__.py",
            "from .. import verifier",
            "imports dpop_ext.verifier, which is up in layer 3, from layer 1",
        ),
        (
            "stores/sql.py",
            "import sqlalchemy.orm",
            "imports sqlalchemy.orm, which may only be imported inside of a function",
        ),
        (
            "verifier.py",
            "import authlib.oauth2",
            "imports authlib.oauth2, a third-party package not allowed in layer 3",
        ),
        (
            "client/signer.py",
            "from dpop_ext import resource_server",
            "imports dpop_ext.resource_server, its neighbour in layer 4",
        ),
        (
            "authorization_server/extension.py",
            "from dpop_ext.resource_server.gate import Gate",
            "imports dpop_ext.resource_server.gate, its neighbour in layer 4",
        ),
        (
            "resource_server/gate.py",
            "from dpop_ext.integrations.wsgi import DPoPMiddleware",
            "imports dpop_ext.integrations.wsgi, which is up in layer 5, from layer 4",
        ),
        (
            "resource_server/gate.py",
            "from dpop_ext import ProofVerifier",
            "imports dpop_ext.ProofVerifier, which is not a part of the package",
        ),
        (
            "integrations/wsgi.py",
            "import aiohttp",
            "imports aiohttp, a third-party package not allowed in layer 5",
        ),
        ("__init__.py", "import authlib", "imports authlib, a third-party package"),
        ("core/utils.py", "", "the name is too vague"),
        ("key_manager/keys.py", "", "key_manager has no layer"),
    ],
)
def test_what_is_out_of_place_is_named(path: str, source: str, sentence: str) -> None:
    (found,) = violations(source, f"{PACKAGE}/{path}")
    assert sentence in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("core/proof.py", "from .jose import parse\nfrom dpop_ext.errors import E"),
        ("core/target.py", "from urllib.parse import urlsplit"),
        ("symmetric/proof.py", "from dpop_ext.core import jose"),
        ("stores/sql.py", "def f():\n    import sqlalchemy"),
        ("stores/sql.py", "if TYPE_CHECKING:\n    from sqlalchemy import Engine"),
        ("verifier.py", "import time\nfrom dpop_ext.stores.base import ReplayStore"),
        ("integrations/wsgi.py", "from dpop_ext.resource_server import Gate"),
        ("__init__.py", "from dpop_ext.verifier import ProofVerifier"),
    ],
)
def test_what_is_in_place_is_left_alone(path: str, source: str) -> None:
    assert violations(source, f"{PACKAGE}/{path}") == []
