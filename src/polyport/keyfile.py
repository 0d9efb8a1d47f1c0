"""The key file: the master keys of a data folder, made at first start, read again when it changed, written so that nobody sees a half.

One line or several of comma-separated keys in base64, mode 0600. Whoever writes it writes the whole file under another name, syncs it, and puts it in
place; the owner of the file stays who it was, so that a command of root does not lock the server out.
"""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from polyport.errors import SetupError
from polyport.vault import KEY_SIZE, Keyring

KEY_FILE: Final = "master.key"


def new_master_key() -> str:
    """A fresh master key, as the setting and the key file take it."""
    return base64.b64encode(os.urandom(KEY_SIZE)).decode("ascii")


class KeyFile:
    """The key file of a data folder. ``trouble`` says why it could not be read again; what was read before stays good."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KEY_FILE
        self.trouble: str | None = None
        self._seen: tuple[int, ...] = ()

    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.exists()

    def open(self) -> Keyring:
        """The keys of the file, which is made with one key where there is none. Raises ``SetupError``.

        Any number of processes may do this at the same moment: all get the same key.
        """
        try:
            if not self.path.exists():
                _make(self.path, new_master_key() + "\n")
        except OSError as error:
            raise self._unusable(error) from error
        return self.read()

    def read(self) -> Keyring:
        """The keys of the file. Raises ``SetupError``."""
        return Keyring.parse(self._text(), str(self.path))

    def news(self) -> Keyring | None:
        """The keys of the file if it changed since it was read last; ``None`` if it did not, or if it cannot be read now."""
        try:
            if _signature(self.path.stat()) == self._seen:
                return None
            ring = self.read()
        except OSError as error:
            self.trouble = str(self._unusable(error))
        except SetupError as error:
            self.trouble = str(error)
        else:
            self.trouble = None
            return ring
        self._seen = ()
        return None

    def add(self) -> str:
        """Put a fresh key at the end of the file; its id. Raises ``SetupError``."""
        key = new_master_key()
        self._write([*self._keys(), key])
        return Keyring.parse(key).ids[0]

    def remove(self, key_id: str) -> None:
        """Take a key out of the file. Raises ``SetupError`` when it would be the last one."""
        kept = [key for key in self._keys() if Keyring.parse(key).ids[0] != key_id]
        if not kept:
            raise SetupError(f"Key {key_id} is the only one in {self.path}: it stays.")
        self._write(kept)

    def _keys(self) -> list[str]:
        self.read()
        return [part.strip() for part in self._text().split(",")]

    def _text(self) -> str:
        try:
            with self.path.open("rb") as file:
                told = os.fstat(file.fileno())
                if stat.S_IMODE(told.st_mode) & 0o077:
                    raise SetupError(f"The key file {self.path} can be reached by other users of this machine: run chmod 600 {self.path}")
                text = file.read().decode("ascii", "replace")
        except OSError as error:
            raise self._unusable(error) from error
        self._seen = _signature(told)
        return text

    def _write(self, keys: list[str]) -> None:
        try:
            owner = self.path.stat()
            draft = _draft(self.path, ",\n".join(keys) + "\n")
            try:
                if (owner.st_uid, owner.st_gid) != (draft.stat().st_uid, draft.stat().st_gid):
                    os.chown(draft, owner.st_uid, owner.st_gid)
                draft.replace(self.path)
            except BaseException:
                draft.unlink()
                raise
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> SetupError:
        return SetupError(f"The key file {self.path} cannot be used: {error.strerror}. Repair that, or set POLYPORT_MASTER_KEY.")


def sync_folder(folder: Path) -> None:
    """Make durable what was put into a folder, or taken out of it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make(path: Path, text: str) -> None:
    # The file is whole before it gets its name, and of several makers only one gets the name.
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path, text)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    sync_folder(path.parent)


def _draft(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL, mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _signature(told: os.stat_result) -> tuple[int, ...]:
    return (told.st_ino, told.st_size, told.st_mtime_ns, told.st_mode, told.st_uid)
