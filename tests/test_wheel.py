"""What wheel and sdist hold, and that the wheel installs with each extra alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EVERYWHERE = (
    "dpop_ext.authorization_server",
    "dpop_ext.client",
    "dpop_ext.integrations.wsgi",
    "dpop_ext.resource_server",
    "dpop_ext.stores.memory",
    "dpop_ext.stores.redis",
    "dpop_ext.stores.sql",
    "dpop_ext.symmetric",
)
FLASK = "dpop_ext.integrations.flask_oauth2"
REQUESTS = "dpop_ext.integrations.requests_client"
SQL = "dpop_ext.integrations.sqla_oauth2"
#: What can be imported with an extra besides what can be imported without any.
MODULES: dict[str, tuple[str, ...]] = {
    "": (),
    "cli": ("dpop_ext.cli.group",),
    "demo": (FLASK, REQUESTS, SQL, "gunicorn"),
    "django": ("dpop_ext.integrations.django_oauth2",),
    "docs": ("sphinx",),
    "fastapi": ("dpop_ext.integrations.fastapi_security",),
    "flask": (FLASK,),
    "httpx": ("dpop_ext.integrations.httpx_client",),
    "httpx2": (
        "dpop_ext.integrations.httpx2_client",
        "dpop_ext.integrations.authlib_httpx",
    ),
    "migrations": (SQL, "dpop_ext.migrations"),
    "otel": ("opentelemetry.metrics",),
    "pkcs11": ("dpop_ext.integrations.pkcs11_signer",),
    "post-quantum": ("cryptography.hazmat.primitives.asymmetric.mldsa",),
    "redis": ("redis",),
    "requests": (REQUESTS,),
    "session": ("dpop_ext.integrations.bundle_stores",),
    "sql": (SQL,),
    "testing": ("dpop_ext.testing", "dpop_ext.testing.plugin"),
    "test": (FLASK, REQUESTS, SQL, "hypothesis", "pytest"),
}


def uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uv", "--no-config", *map(str, arguments)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = uv(
        *("build", "--wheel", "--no-build-isolation", "--python", sys.executable),
        *("--out-dir", folder),
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "dpop_ext").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == source
    assert "dpop_ext/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_holds_what_the_documents_tell_to_run(tmp_path: Path) -> None:
    built = uv(
        *("build", "--sdist", "--no-build-isolation", "--python", sys.executable),
        *("--out-dir", tmp_path),
    )
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        *("Makefile", "SECURITY.md", "docs/tutorial.md", "requirements.lock"),
        *("benchmarks/__main__.py", "demo_client/__main__.py"),
        *("demo_server/__main__.py", "tests/test_wheel.py"),
    }
    assert not [name for name in names if "__pycache__" in name]


def test_the_metadata_names_the_licence_and_every_extra(metadata: Message) -> None:
    assert metadata["Name"] == "dpop-ext"
    assert metadata["Version"] == "0.1.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert set(metadata.get_all("Provides-Extra", [])) == MODULES.keys() - {""}


@pytest.mark.parametrize("extra", MODULES)
def test_the_wheel_imports_with_one_extra_alone(
    wheel: Path, tmp_path: Path, extra: str
) -> None:
    made = uv("venv", "--no-project", "--python", sys.executable, tmp_path / "venv")
    assert made.returncode == 0, made.stderr
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed = uv(
        *("pip", "install", "--python", python, "--constraint", "requirements.lock"),
        f"dpop-ext[{extra}] @ {wheel.as_uri()}" if extra else wheel,
    )
    if installed.returncode != 0 and not registry_answers(python):
        pytest.skip("no package registry is reachable")
    assert installed.returncode == 0, installed.stderr

    program = "import importlib, sys\nfor name in sys.argv[1:]:"
    program += "\n    print(importlib.import_module(name).__file__)"
    imported = subprocess.run(
        [python, "-W", "error", "-c", program, *EVERYWHERE, *MODULES[extra]],
        cwd=tmp_path,
        # What is installed, and not what the shell that runs the tests adds to it.
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert imported.returncode == 0, imported.stderr
    origins = [Path(line) for line in imported.stdout.splitlines()]
    if extra == "cli":
        command = python.with_name("dpop-ext")
        assert subprocess.check_output([command, "--version"]).split()[-1] == b"0.1.0"
    assert len(origins) == len(EVERYWHERE) + len(MODULES[extra])
    assert all(path.is_relative_to(tmp_path) for path in origins)


def registry_answers(python: Path) -> bool:
    """Whether it was the network that failed."""
    asked = uv(
        *("pip", "install", "--python", python, "--dry-run", "--no-cache"), "joserfc"
    )
    return asked.returncode == 0
