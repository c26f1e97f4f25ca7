"""Views of Flask that are coroutine functions, under a decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import current_app


def awaited(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return a view that returns what *view* does, and not what is to be awaited."""
    if not inspect.iscoroutinefunction(view):
        return view

    @wraps(view)
    def run(*args: Any, **kwargs: Any) -> Any:
        return current_app.ensure_sync(view)(*args, **kwargs)

    return run
