"""``python -m demo_server``."""

from __future__ import annotations

import sys

from demo_server.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
