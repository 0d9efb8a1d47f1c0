"""Which runs of a process have sent what may not be repeated, in a page of memory that outlives the process: the kernel keeps it when a process is killed.

The mark ``sending`` of a run is durable before its request is made, often some milliseconds before, and for many runs at once: of a process that died it says
which runs *may* have sent something. This file says which did. It is written without a system call just before a request is handed to its connection, and read
when the process is dead. Nothing of it is synchronised to the disk, so it counts only as long as this machine has not been started anew, and only in the
file it was written to: of a copy, or of no file at all, nothing is known, and what may have been sent is in doubt.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path
from typing import Final

import structlog

_MAGIC: Final = b"polyport departures 1\n"
_HEAD: Final = (
    128  # the magic, the file's number on its file system, the boot of the machine; the last byte says that some could not be noted
)
_FULL: Final = _HEAD - 1
_PLACE: Final = 48  # of one run
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

_log: Final = structlog.get_logger("polyport.departures")


class Departures:
    """What one process has sent; ``places`` is how many runs can be under way at once."""

    def __init__(self, path: Path, places: int) -> None:
        self._places: dict[str, int] = {}
        self._free = list(range(_HEAD, _HEAD + places * _PLACE, _PLACE))
        self._map: mmap.mmap | None = None
        try:
            self._map = _new_map(path, _HEAD + places * _PLACE)
        except (OSError, ValueError) as error:
            _log.warning("what is sent cannot be noted beside the store: after a kill more runs will be in doubt", reason=str(error))

    def note(self, run_id: str) -> None:
        """A run's request leaves now."""
        if run_id in self._places or self._map is None:
            return
        if not self._free:
            self._map[_FULL] = 1
            return
        place = self._places[run_id] = self._free.pop()
        self._map[place : place + _PLACE] = run_id.encode().ljust(_PLACE, b"\0")

    def forget(self, run_id: str) -> None:
        """What a run sent is on record: its end, or why it waits."""
        place = self._places.pop(run_id, None)
        if place is not None and self._map is not None:
            self._map[place] = 0
            self._free.append(place)

    def close(self) -> None:
        """Note nothing more. The file stays: runs that were cut are judged by it."""
        held, self._map = self._map, None
        if held is not None:
            held.close()


def read_departures(path: Path) -> frozenset[str] | None:
    """The runs of a dead process that have sent something; ``None`` where that is not known."""
    try:
        with path.open("rb") as file:
            content = file.read()
            head = _head(os.fstat(file.fileno()).st_ino)
    except OSError:
        return None
    if head is None or len(content) < _HEAD or content[:_HEAD] != head:
        return None
    places = (content[start : start + _PLACE] for start in range(_HEAD, len(content), _PLACE))
    return frozenset(place.rstrip(b"\0").decode("ascii", "replace") for place in places if place[0])


def _new_map(path: Path, size: int) -> mmap.mmap:
    """A new file, whole on its disk: a page that finds no room when it is written to would end the process."""
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        return _filled(file, size)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(file)


def _filled(file: int, size: int) -> mmap.mmap:
    head = _head(os.fstat(file).st_ino)
    if head is None:
        raise ValueError("this system does not tell when it was started")
    if os.write(file, bytes(size)) != size:
        raise OSError("no room on the disk")
    made = mmap.mmap(file, size)
    made[:_HEAD] = head  # last: from here on it is believed
    return made


def _head(number: int) -> bytes | None:
    """How a file begins that was written on this machine since it was started."""
    try:
        boot = _BOOT.read_bytes().strip()
    except OSError:
        return None
    return (_MAGIC + b"%d\n" % number + boot).ljust(_HEAD, b"\0")[:_HEAD] if boot else None
