"""Partner files as data that knows its lines: YAML read with positions, and faults that point at them.

The YAML is a plain subset: no anchors, aliases, tags or duplicate keys; ``yes`` and ``2026-11-24`` are texts, only ``true``, ``false``, ``null``
and numbers are something else. So nothing changes its meaning by accident, and no file can expand to more than it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import yaml

LIMIT: Final = 1024 * 1024
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})\.\d{1,30}", re.ASCII)
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault of a partner's folder. ``line`` and ``column`` count from 1; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0
    message: str

    def __str__(self) -> str:
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.file}{place}: {self.message}"


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
    try:
        root = yaml.compose(content.decode("utf-8"), Loader=yaml.CSafeLoader)
    except UnicodeDecodeError:
        raise Unreadable([Problem(file=name, message="The file is not UTF-8.")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise Unreadable([Problem(file=name, line=line, column=column, message=f"Not valid YAML: {error.problem}.")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Unreadable([Problem(file=name, message=f"Not valid YAML: {type(error).__name__}.")]) from None
    reader = _Reader(name)
    data = reader.value(root, ()) if root is not None else None
    if reader.problems:
        raise Unreadable(reader.problems)
    return Source(name=name, data=data, marks=reader.marks)


class _Reader:
    """Turns nodes into data once, noting marks and problems."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
        self.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if id(node) in self._seen:
            self._fault(node, "Anchors and aliases are not part of the language; write the value out.")
            return None
        self._seen.add(id(node))
        if len(path) > 40:
            self._fault(node, "This nests more than 40 levels.")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, "A key is a plain text.")
                continue
            key = str(key_node.value)
            if key in found:
                self._fault(key_node, f'The key "{key}" stands here twice.')
            self.marks[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            found[key] = self.value(value_node, (*path, key))
        return found

    def _fault(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(file=self.name, line=mark.line + 1, column=mark.column + 1, message=message))


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return text
