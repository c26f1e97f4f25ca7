"""Make the documents anew: ``python -m tests.documents``."""

from __future__ import annotations

from tests.documents import profile, protocol, sequence

if __name__ == "__main__":
    profile.PAGE.write_text(profile.page(), "utf-8")
    protocol.PAGE.write_text(protocol.page(), "utf-8")
    for path, text in sequence.flows().items():
        path.write_text(text, "utf-8")
