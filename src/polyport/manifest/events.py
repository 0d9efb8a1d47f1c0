"""YAML as data that knows its lines, from the events of the parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import yaml

from polyport.manifest.source import DEPTH_LIMIT, PROBLEMS_LIMIT, Problem, Source, Unreadable

_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,30})\.\d{1,30}", re.ASCII)
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None, "~": None, "": None}


def read_events(name: str, content: bytes) -> Source:
    """Read one file. Raises ``Unreadable``."""
    reader = _Reader(name)
    try:
        data = reader.document(_events(content.decode("utf-8")))
    except UnicodeDecodeError:
        raise Unreadable([Problem(file=name, message="The file is not UTF-8.")]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise Unreadable([Problem(file=name, line=line, column=column, message=f"Not valid YAML: {error.problem}.")]) from None
    except yaml.YAMLError as error:
        raise Unreadable([Problem(file=name, message=f"Not valid YAML: {type(error).__name__}.")]) from None
    if reader.problems:
        raise Unreadable(reader.problems)
    return Source(name=name, data=data, marks=reader.marks)


def _events(text: str) -> Iterator[yaml.Event]:
    """The events of a text, as ``yaml.parse`` gives them, which looks at each twice."""
    loader = yaml.CSafeLoader(text)
    try:
        yield from iter(loader.get_event, None)
    finally:
        loader.dispose()


class _Reader:
    """Turns parser events into data, noting marks and problems.

    Events, not composed nodes: they show every anchor, alias and tag, and nesting is bounded before it can cost any stack.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: dict[tuple[str | int, ...], tuple[int, int]] = {}
        self.problems: list[Problem] = []

    def document(self, events: Iterator[yaml.Event]) -> Any:
        data = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._fault(event, "A file holds one document; this is a second one.")
                    break
            elif isinstance(event, yaml.NodeEvent):
                data = self._value(event, events, ())
        return data

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: tuple[str | int, ...]) -> Any:
        if path not in self.marks:  # that of a key stands already
            self.marks[path] = _place(event)
        if len(path) > DEPTH_LIMIT:
            self._fault(event, f"This nests more than {DEPTH_LIMIT} levels.")
            raise Unreadable(self.problems)
        self._expect_plain(event)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        return self._sequence(events, path) if isinstance(event, yaml.SequenceStartEvent) else None

    def _sequence(self, events: Iterator[yaml.Event], path: tuple[str | int, ...]) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(self._value(event, events, (*path, len(found))))
        return found

    def _mapping(self, events: Iterator[yaml.Event], path: tuple[str | int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = str(event.value) if isinstance(event, yaml.ScalarEvent) else ""
            inner = (*path, key)
            if not isinstance(event, yaml.ScalarEvent):
                self._fault(event, "A key is a plain text.")
                self._value(event, events, inner)
            else:
                self._expect_plain(event)
                if key in found:
                    self._fault(event, f'The key "{key}" stands here twice.')
            self.marks[inner] = _place(event)
            found[key] = self._value(next(events), events, inner)
        return found

    def _expect_plain(self, event: Any) -> None:
        if event.anchor is not None:  # each alias has one
            self._fault(event, "Anchors and aliases are not part of the language; write the value out.")
        elif event.tag is not None:
            self._fault(event, "Tags are not part of the language; quote what is to be a text.")

    def _fault(self, event: yaml.Event, message: str) -> None:
        if len(self.problems) < PROBLEMS_LIMIT:
            line, column = _place(event)
            self.problems.append(Problem(file=self.name, line=line, column=column, message=message))


def _place(event: Any) -> tuple[int, int]:
    """Line and column from 1; the parser marks every event."""
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = str(event.value)
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return text
