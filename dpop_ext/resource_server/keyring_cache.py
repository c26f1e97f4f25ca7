"""What a resource server keeps of its keyring for the next start.

The keyring as it came, encrypted (RFC 7516), and in a second file how far it has come.
"""

from __future__ import annotations

from pathlib import Path

from dpop_ext.stores.private_file import locked, read_private, write_private
from dpop_ext.symmetric.keyring import MAX_KEYRING
from dpop_ext.symmetric.keyring_floor import KeyringError, KeyringFloor, parse_floor

#: Bytes of the longest floor.
MAX_FLOOR = 16_384


def load_floor(path: Path) -> KeyringFloor:
    """Return how far keyrings have come; that of a first start if there is no file.

    Deleting the file is how an operator gives up the protection on purpose.

    :raises OSError: the file cannot be read, or others may write to it.
    :raises KeyringError: it is something else.
    """
    try:
        return parse_floor(read_private(path, max_size=MAX_FLOOR))
    except FileNotFoundError:
        return KeyringFloor()


class KeyringCache:
    """Two files with mode 0600: the keyring at *path*, its floor beside it.

    :param path: where the keyring is kept; the floor is at *path* with ``.floor``.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._floor_path = self._path.with_name(self._path.name + ".floor")

    def load_floor(self) -> KeyringFloor:
        """Return how far keyrings have come, as :func:`load_floor`."""
        return load_floor(self._floor_path)

    def load(self) -> str:
        """Return the keyring that was kept.

        :raises OSError: there is none, or the file cannot be read.
        :raises KeyringError: it is something else.
        """
        try:
            return read_private(self._path, max_size=MAX_KEYRING).decode("ascii")
        except UnicodeDecodeError as error:
            raise KeyringError("the kept keyring is malformed") from error

    def save(self, text: str, floor: KeyringFloor) -> None:
        """Keep a keyring that was verified, its floor first.

        A later one that another process of this server has kept meanwhile stays.

        :raises OSError: a file cannot be written.
        :raises KeyringError: the floor that is there is something else.
        """
        with locked(self._floor_path):
            kept = self.load_floor()
            if (kept.epoch, kept.sequence) > (floor.epoch, floor.sequence):
                return
            write_private(self._floor_path, floor.dump())
            write_private(self._path, text.encode("ascii"))
