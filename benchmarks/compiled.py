"""What compiling would change: ``make bench-compiled``.

The modules that an accepted request runs through are compiled to C by mypyc, beside a
copy of the others, and measured as ``make bench`` measures them. What is still over its
budget then is not for want of quicker Python. Nobody should install it so: a class that
is compiled is another one to whoever extends it.

Needs a C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.__main__ import FOLDER

#: Where the compiled copy goes, and what was measured of it.
COPY = FOLDER / "compiled"
RESULT = FOLDER / "compiled.json"
_PACKAGE = "dpop_ext"
#: What runs of an accepted request, but for the store in Redis, and for what mypyc does
#: not take: classes that extend one of Authlib or a tuple with names.
MODULES = (
    *("core/base64url", "core/jws_signature", "core/nonce", "core/policy"),
    *("core/recent", "core/request_binding", "core/target", "core/token_text"),
    *("core/usual_claims", "core/usual_header"),
    *("symmetric/mac_key", "symmetric/proof_header", "symmetric_verifier"),
    *("telemetry", "ticket_uses", "token_keys", "usual_proof", "verifier"),
    *("resource_server/failure_limit", "resource_server/spending"),
    *("resource_server/token_cache", "resource_server/usual_request"),
    *("integrations/wsgi_request", "stores/memory"),
)
#: What is measured of it.
GROUPS = ("verifying", "refusing", "stores", "served")
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

options = ["--config-file", sys.argv.pop(1)]
modules = sys.argv.pop(1).split(",")
setup(packages=[], ext_modules=mypycify([*options, *modules], opt_level="3"))
"""


def build() -> None:
    """Make the compiled copy anew.

    :raises SystemExit: mypyc or the C compiler failed; they have said why.
    """
    shutil.rmtree(COPY, ignore_errors=True)
    # The benchmarks, too: gunicorn looks for modules in the folder it was started in.
    for package in (_PACKAGE, "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, COPY / package, ignore=ignored)
    paths = ",".join(f"{_PACKAGE}/{module}.py" for module in MODULES)
    config = str(Path("pyproject.toml").resolve())
    print(f"compiling {len(MODULES)} modules, which takes a minute", flush=True)
    if _run("-c", _SETUP, config, paths, "--quiet", "build_ext", "--inplace"):
        raise SystemExit("mypyc needs setuptools and a C compiler, such as gcc")


def main() -> None:
    """Compile, and measure what a resource server does."""
    result = str(RESULT.resolve())
    build()
    groups = [f"--only={group}" for group in GROUPS]
    raise SystemExit(_run("-m", "benchmarks", "--json", result, *groups))


def _run(*arguments: str) -> int:
    """Run Python in the copy, and return its exit status."""
    # What finds Redis and wrk is with the tests, which are not copied.
    folders = [*os.environ.get("PYTHONPATH", "").split(os.pathsep), "."]
    found = os.pathsep.join(str(Path(each).resolve()) for each in folders if each)
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, *arguments],
        cwd=COPY,
        env=os.environ | {"PYTHONPATH": found},
        check=False,
    ).returncode


if __name__ == "__main__":
    main()
