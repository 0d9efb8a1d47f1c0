"""What stands in a partner's folder, read so that nothing there can stop who reads: what may not be read is a fault of the folder like any other."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path

from polyport.manifest.source import LIMIT, Problem, Source, Unreadable, read_source

Place = Traversable | Path


def is_file(entry: Place) -> bool:
    """Whether a file stands there, or something that may not be looked at: reading it then says so."""
    try:
        return entry.is_file()
    except OSError:
        return True


def is_folder(entry: Place) -> bool:
    """Whether a folder stands there, or something that may not be looked at: listing it then says so."""
    try:
        return entry.is_dir()
    except OSError:
        return True


def listed(name: str, folder: Place) -> list[Place]:
    """What is in a folder, by name. Raises ``Unreadable`` under the folder's ``name``."""
    try:
        return sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise _refused(name, "folder", error) from None


def content_of(name: str, entry: Place) -> bytes:
    """The bytes of a file, of a larger one than the language takes one more than it takes. Raises ``Unreadable`` under the file's ``name``."""
    try:
        with entry.open("rb") as file:
            return file.read(LIMIT + 1)
    except OSError as error:
        raise _refused(name, "file", error) from None


def source_of(name: str, entry: Place) -> Source:
    """A file as data. Raises ``Unreadable`` with every fault."""
    return read_source(name, content_of(name, entry))


def _refused(name: str, what: str, error: OSError) -> Unreadable:
    reason = error.strerror or type(error).__name__
    return Unreadable(
        [Problem(file=name, message=f"The {what} cannot be read ({reason}): let the user that runs Polyport read it, or take it away.")]
    )
