"""How Hypothesis tries things here: the same ones in every run."""

from __future__ import annotations

from hypothesis import settings

fuzz = settings(max_examples=40, derandomize=True, database=None)
