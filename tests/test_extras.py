"""Who imports a module without its extra is told which one to install."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dpop_ext.extras import needs

#: The modules that need an extra, and which.
NEEDED = {
    "dpop_ext.integrations.authlib_httpx": "httpx2",
    "dpop_ext.integrations.bundle_stores": "session",
    "dpop_ext.integrations.django_oauth2": "django",
    "dpop_ext.integrations.fastapi_security": "fastapi",
    "dpop_ext.integrations.flask_oauth2": "flask",
    "dpop_ext.integrations.httpx2_client": "httpx2",
    "dpop_ext.integrations.httpx_client": "httpx",
    "dpop_ext.integrations.pkcs11_signer": "pkcs11",
    "dpop_ext.integrations.requests_client": "requests",
    "dpop_ext.integrations.sqla_denials": "sql",
    "dpop_ext.integrations.sqla_oauth2": "sql",
    "dpop_ext.integrations.sqla_secrets": "sql",
    "dpop_ext.migrations": "migrations",
    "dpop_ext.testing.servers": "flask",
}
#: Likewise what is needed when a store is opened.
OPENED = {
    "dpop_ext.stores.redis:AsyncRedisReplayStore": "redis",
    "dpop_ext.stores.redis:RedisReplayStore": "redis",
    "dpop_ext.stores.sql:SQLReplayStore": "sql",
}
#: What an installation without any extra lacks.
LACKING = (
    *("alembic", "anyio", "asgiref", "django", "fastapi", "filelock", "flask", "httpx"),
    *("httpx2", "keyring", "pkcs11", "redis", "requests", "sqlalchemy", "starlette"),
)

IMPORT_ALL = """
import importlib, json, sys

names, lacking = json.load(sys.stdin)
sys.modules.update(dict.fromkeys(lacking))
said = {}
for name in names:
    module, _, store = name.partition(":")
    try:
        found = importlib.import_module(module)
        if store:
            getattr(found, store).from_url("sqlite:///used.db")
    except ModuleNotFoundError as error:
        said[name] = [error.name, str(error)]
json.dump(said, sys.stdout)
"""


def test_a_missing_package_is_named_with_the_extra_that_brings_it() -> None:
    needed = NEEDED | OPENED
    output = subprocess.check_output(
        [sys.executable, "-c", IMPORT_ALL],
        input=json.dumps([list(needed), LACKING]),
        text=True,
    )
    said = json.loads(output)
    assert said.keys() == needed.keys()
    for name, extra in needed.items():
        module, text = said[name]
        assert module.partition(".")[0] in LACKING
        assert text.endswith(f'is missing: pip install "dpop-ext[{extra}]"')


def test_what_is_missing_in_the_package_itself_is_no_matter_of_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^No module named"), needs("sql"):
        import dpop_ext.no_such_module  # type: ignore[import-not-found]  # noqa: F401
