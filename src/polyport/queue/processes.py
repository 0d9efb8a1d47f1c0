"""Which processes of this machine are alive, by file locks: the kernel drops a lock when its process dies, whatever the clocks say."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path


class ProcessLock:
    """A lock that says that this process lives. ``owner`` is its name in the store."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._folder = folder
        self._file = os.open(folder / f"{self.owner}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_alive(self, owner: str) -> bool:
        """Whether the process of that name still holds its lock."""
        if owner == self.owner:
            return True
        path = self._folder / f"{owner}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def forget(self, owner: str) -> None:
        """Remove the lock file of a dead process."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{owner}.lock").unlink()

    def release(self) -> None:
        """Say that this process is done."""
        self.forget(self.owner)
        os.close(self._file)
