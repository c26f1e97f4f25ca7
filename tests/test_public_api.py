"""The public names are the ones that are printed, and extras are really optional."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import dpop_ext
import dpop_ext.errors

PACKAGES = [
    "dpop_ext",
    *(
        info.name
        for info in pkgutil.walk_packages(dpop_ext.__path__, "dpop_ext.")
        if info.ispkg
    ),
]

#: The packages that an extra brings, which is more than what it names.
FLASK = {"flask", "werkzeug", "jinja2", "click"}
REQUESTS = {"requests", "urllib3"}
SQL = {"sqlalchemy"}
HTTPX = {"httpx"}
HTTPX2 = {"httpx2"}
PKCS11 = {"pkcs11"}
SESSION = {"filelock", "keyring"}
CLIENTS = HTTPX | HTTPX2 | PKCS11 | SESSION
FASTAPI = {"fastapi", "starlette", "opentelemetry"}
DJANGO = {"django"}
SERVERS = FASTAPI | DJANGO | {"alembic", "opentelemetry"}
EXTRAS = FLASK | REQUESTS | SQL | CLIENTS | SERVERS | {"redis", "gunicorn"}
#: What must not be needed to import a module.
UNNEEDED = {
    "dpop_ext": EXTRAS | {"authlib"},
    "dpop_ext.stores.memory": EXTRAS | {"authlib"},
    "dpop_ext.stores.redis": EXTRAS | {"authlib"},
    "dpop_ext.stores.sql": EXTRAS | {"authlib"},
    "dpop_ext.stores.contract": EXTRAS | {"authlib", "pytest", "hypothesis"},
    "dpop_ext.stores.pushed_requests_contract": EXTRAS | {"authlib", "pytest"},
    "dpop_ext.stores.pushed_requests_redis": EXTRAS | {"authlib"},
    "dpop_ext.stores.pushed_requests_sql": EXTRAS | {"authlib"},
    "dpop_ext.symmetric": EXTRAS | {"authlib"},
    "dpop_ext.client": EXTRAS | {"authlib"},
    "dpop_ext.authorization_server": EXTRAS,
    "dpop_ext.resource_server": EXTRAS,
    "dpop_ext.cli": EXTRAS | {"authlib"},
    "dpop_ext.integrations.wsgi": EXTRAS,
    "dpop_ext.integrations.asgi": EXTRAS,
    "dpop_ext.integrations.wsgi_gateway": EXTRAS,
    "dpop_ext.integrations.asgi_gateway": EXTRAS,
    "dpop_ext.integrations.django_oauth2": EXTRAS - DJANGO,
    "dpop_ext.integrations.fastapi_security": EXTRAS - FASTAPI,
    "dpop_ext.integrations.asgi_store": EXTRAS,
    "dpop_ext.integrations.asgi_threads": EXTRAS,
    "dpop_ext.integrations.flask_oauth2": EXTRAS - FLASK,
    "dpop_ext.integrations.requests_client": EXTRAS - REQUESTS,
    "dpop_ext.integrations.bundle_stores": EXTRAS - SESSION,
    "dpop_ext.integrations.pkcs11_signer": EXTRAS - PKCS11,
    "dpop_ext.integrations.httpx_client": EXTRAS - HTTPX,
    "dpop_ext.integrations.httpx2_client": EXTRAS - HTTPX2,
    "dpop_ext.integrations.authlib_httpx": EXTRAS - HTTPX2,
    "dpop_ext.integrations.sqla_oauth2": EXTRAS - SQL,
    "dpop_ext.integrations.sqla_secrets": EXTRAS - SQL | {"authlib"},
}

IMPORT_WITHOUT = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked")

module, *blocked = sys.argv[1:]
sys.meta_path.insert(0, Blocker())
importlib.import_module(module)
"""


def public_names(module: ModuleType) -> set[str]:
    """What `from module import name` gives a reader who looks, submodules aside."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name != "annotations"
        and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_all_equals_what_is_importable(name: str) -> None:
    package = importlib.import_module(name)
    names = getattr(package, "__all__", [])
    assert len(names) == len(set(names))
    assert set(names) == public_names(package)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_object_has_a_docstring(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    for public in getattr(package, "__all__", []):
        value = getattr(package, public)
        if inspect.isclass(value) or inspect.isroutine(value):
            assert value.__doc__, public


def test_the_top_level_names_are_the_ones_in_the_documentation() -> None:
    errors = {
        name
        for name, value in vars(dpop_ext.errors).items()
        if isinstance(value, type) and issubclass(value, dpop_ext.DPoPError)
    }
    assert set(dpop_ext.__all__) - errors == {
        "FAPI2",
        "NonceIssuer",
        "ProofPolicy",
        "ProofSigner",
        "ProofVerifier",
        "RFC9449",
        "VerifiedProof",
    }
    assert errors <= set(dpop_ext.__all__)


@pytest.mark.parametrize(("module", "blocked"), UNNEEDED.items())
def test_extras_are_optional(module: str, blocked: set[str]) -> None:
    imported = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_WITHOUT, module, *blocked],
        check=False,
        capture_output=True,
        text=True,
    )
    assert imported.returncode == 0, imported.stderr


def test_a_blocked_package_would_be_noticed() -> None:
    imported = subprocess.run(
        [sys.executable, "-c", IMPORT_WITHOUT, "dpop_ext.core.key", "joserfc"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert imported.returncode == 1
    assert "joserfc is blocked" in imported.stderr
