"""What to install where an optional package is missing."""

from __future__ import annotations

from types import TracebackType


class needs:  # noqa: N801 - reads like contextlib.suppress
    """Import inside of it what an extra brings; who lacks it is told which one.

    ::

        with needs("flask"):
            from flask import g

    :param extra: its name, as in ``pip install "dpop-ext[flask]"``.
    :raises ModuleNotFoundError: a package is missing; its ``name`` is that of the
        module, as without this.
    """

    __slots__ = ("_extra",)

    def __init__(self, extra: str) -> None:
        self._extra = extra

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not isinstance(error, ModuleNotFoundError):
            return
        package = (error.name or "").partition(".")[0]
        # A module of this package says by itself what it needs.
        if package in {"", "dpop_ext"} or "pip install" in str(error):
            return
        raise ModuleNotFoundError(
            f'the package {package} is missing: pip install "dpop-ext[{self._extra}]"',
            name=error.name,
        ) from error
