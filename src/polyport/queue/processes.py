"""Which processes of this machine are alive, by file locks: the kernel drops a lock when its process dies, whatever the clocks say."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from polyport.queue.departures import Departures, read_departures

_LOCK: Final = ".lock"
_SENT: Final = ".sent"


class ProcessLock:
    """A lock that says that this process lives. ``owner`` is its name in the store.

    The folder has to be on a local file system, and nobody else may remove a live process's file. A lock is shared with
    forked children that do not call ``exec``: start workers as new programs.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.owner = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._folder = folder
        path = self._path(self.owner)
        while True:
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if _is_same(self._file, path):
                break
            os.close(self._file)  # another process's sweep was between the two lines and removed the file

    def is_alive(self, owner: str) -> bool:
        """Whether the process of that name still holds its lock."""
        if owner == self.owner:
            return True
        try:
            file = os.open(self._path(owner), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def tell(self, text: str) -> None:
        """Put a few words about this process into its file, for the others to read."""
        data = text.encode()
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))

    def others(self) -> dict[str, str]:
        """The living processes but this one, by name, with what they told of themselves."""
        found: dict[str, str] = {}
        for path in sorted(self._folder.glob("*.lock")):
            if path.stem != self.owner and self.is_alive(path.stem):
                with contextlib.suppress(FileNotFoundError):
                    found[path.stem] = path.read_text("utf-8", "replace")
        return found

    def departures(self, places: int) -> Departures:
        """Where this process notes what it sends, for those who find it dead; ``places`` is how many runs can be under way at once."""
        return Departures(self._folder / f"{self.owner}{_SENT}", places)

    def departed(self, owner: str) -> frozenset[str] | None:
        """The runs of a dead process that have sent what may not be repeated; ``None`` where that is not known."""
        return read_departures(self._folder / f"{owner}{_SENT}")

    def dead(self) -> frozenset[str]:
        """Those who left a file here and do not live."""
        owners = {path.stem for path in self._folder.iterdir() if path.suffix in {_LOCK, _SENT}}
        return frozenset(owner for owner in owners if not self.is_alive(owner))

    def sweep(self, owners: frozenset[str] | None = None) -> None:
        """Remove the files of dead processes, of these or of all. A missing lock says the same as a free one, so nothing is forgotten by it.

        What a process had sent is forgotten: its runs have to be settled before.
        """
        for owner in self.dead() if owners is None else owners:
            path = self._path(owner)
            with contextlib.suppress(FileNotFoundError):
                path.with_suffix(_SENT).unlink()
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(file)

    def release(self) -> None:
        """Say that this process is done."""
        with contextlib.suppress(FileNotFoundError):
            self._path(self.owner).unlink()
        os.close(self._file)

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}{_LOCK}"


class FolderLock:
    """Who may use a data folder: any number of processes that work on it, or one that replaces what is in it."""

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        """Raises ``BlockingIOError`` when another process uses the folder in a way that does not go with this one."""
        self._file = os.open(folder / "in-use", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Use the folder no more."""
        os.close(self._file)


def _is_same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
