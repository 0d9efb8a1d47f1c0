"""Partner files as data that knows its lines: YAML read with positions, and faults that point at them.

The YAML is a plain subset: no anchors, aliases, tags or duplicate keys; ``yes`` and ``2026-11-24`` are texts, only ``true``, ``false``, ``null``
and numbers are something else. So nothing changes its meaning by accident, and no file can expand to more than it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

LIMIT: Final = 1024 * 1024
DEPTH_LIMIT: Final = 40
PROBLEMS_LIMIT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a partner's folder. ``line`` and ``column`` count from 1; what concerns a file as a whole stands at its beginning."""

    file: str
    line: int = 1
    column: int = 1
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's data and where each part of it stands: ``marks`` maps the path of a part to its line and column."""

    name: str
    data: Any
    marks: Mapping[tuple[str | int, ...], tuple[int, int]]

    def problem(self, message: str, *path: str | int) -> Problem:
        """A fault at a part; where the part is not there, at the nearest part around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.marks:
                line, column = self.marks[path[:length]]
                return Problem(file=self.name, line=line, column=column, message=message)
        return Problem(file=self.name, message=message)


class Unreadable(ValueError):
    """A file that is no YAML of this subset; carries every problem found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def read_source(name: str, content: bytes) -> Source:
    """Read one file. Raises ``Unreadable``."""
    if len(content) > LIMIT:
        raise Unreadable([Problem(file=name, message=f"The file is larger than {LIMIT} bytes; split it.")])
    from polyport.manifest.events import read_events  # noqa: PLC0415  a start whose folders are known reads no YAML

    return read_events(name, content)
