"""What stands in a partner's folder, read so that nothing there can stop who reads: what may not be read is a fault of the folder like any other."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any

from polyport.manifest.source import LIMIT, Problem, Source, Unreadable, read_source


class Files(Traversable):
    """A partner's folder that is on no disk: the names of its files, folders before a slash (``actions/create.yaml``), and their bytes."""

    def __init__(self, name: str, content: Mapping[str, bytes], inside: str = "") -> None:
        self._name = name
        self._content = content
        self._inside = inside

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    def is_file(self) -> bool:
        """Whether this is a file of the folder."""
        return self._inside in self._content

    def is_dir(self) -> bool:
        """Whether this is the folder, or one in it."""
        return not self._inside or any(each.startswith(f"{self._inside}/") for each in self._content)

    def iterdir(self) -> Iterator[Files]:
        """What is in this folder."""
        start = f"{self._inside}/" if self._inside else ""
        names = {each.removeprefix(start).partition("/")[0] for each in self._content if each.startswith(start)}
        return (self / name for name in names)

    def read_bytes(self) -> bytes:
        """The bytes of this file. Raises ``FileNotFoundError``."""
        if not self.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no such file", self._inside)
        return self._content[self._inside]

    def read_text(self, encoding: str | None = None) -> str:
        """This file as text. Raises ``FileNotFoundError``."""
        return self.read_bytes().decode(encoding or "utf-8")

    def open(self, mode: str = "r", *_args: Any, **_more: Any) -> IO[Any]:
        """This file, opened for reading. Raises ``FileNotFoundError``."""
        return io.BytesIO(self.read_bytes()) if "b" in mode else io.StringIO(self.read_text())

    def joinpath(self, *descendants: str | PathLike[str]) -> Files:
        """What is called so in this folder."""
        found = self
        for name in descendants:
            found /= name
        return found

    def __truediv__(self, child: str | PathLike[str]) -> Files:
        name = fspath(child)
        return Files(name, self._content, f"{self._inside}/{name}" if self._inside else name)

    def __str__(self) -> str:
        return self._inside or self.name


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
