"""Make the documents anew: ``python -m tests.documents``."""

from __future__ import annotations

from tests.documents import profile

if __name__ == "__main__":
    profile.PAGE.write_text(profile.page(), "utf-8")
