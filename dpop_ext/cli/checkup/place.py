"""Whether a file is where locks hold: on this machine, not on a file server.

Used proofs in SQLite, and how far keyrings have come, rest on them
(:rfc:`9449#section-11.1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dpop_ext.cli.checkup.finding import Finding, bad, good

#: What the system knows of its file systems; only Linux has it.
MOUNTS: Final = Path("/proc/self/mountinfo")

#: Types of file systems that other machines have, too.
_SHARED: Final = re.compile(
    r"(?:nfs4?|cifs|smb3?|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|ocfs2|gfs2?|beegfs"
    r"|fuse\.(?:sshfs|glusterfs|ceph|s3fs|rclone|davfs|lizardfs|moosefs|juicefs|smb.*))"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


def check_place(check: str, path: Path, *, mounts: Path = MOUNTS) -> Iterator[Finding]:
    """Look at the file system of *path*; nothing is found where nobody knows it.

    :param check: what was checked.
    """
    kind = _file_system(path, mounts)
    if kind is None:
        return
    if _SHARED.fullmatch(kind) is None:
        yield good(check, f"on {kind}")
    else:
        yield bad(
            check,
            f"on {kind}, which other machines have, too",
            "Locks fail there, or hold on one machine only: name a file on a disk of "
            "this machine, and share by Redis or PostgreSQL.",
        )


def _file_system(path: Path, mounts: Path) -> str | None:
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
        place = path.resolve()
    except OSError:
        return None
    found: dict[Path, str] = {}
    for line in lines:
        # Later ones are mounted over earlier ones.
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) > 4:
            found[Path(_unescaped(fields[4]))] = after.split(" ")[0]
    return next((found[p] for p in (place, *place.parents) if p in found), None)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
