"""``python -m dpop_ext``, which is ``dpop-ext``."""

from __future__ import annotations

from dpop_ext.cli import main

if __name__ == "__main__":
    main()
