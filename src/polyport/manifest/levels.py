"""The levels of an operation: the operation itself and the rows of its sections, inputs and outputs alike, with their paths in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from polyport.manifest.model import Action, Operation, Trigger
from polyport.manifest.variables import InputField, InputSection, OutputField, OutputSection

FilePath = tuple[str | int, ...]
Level = tuple[FilePath, Sequence[InputField], Sequence[InputSection]]
OutputLevel = tuple[FilePath, Sequence[OutputField], Sequence[OutputSection]]


def file_of(operation: Operation) -> str:
    """The file of an operation, inside its partner's folder."""
    return f"{'triggers' if isinstance(operation, Trigger) else 'actions'}/{operation.name}.yaml"


def input_levels(operation: Operation) -> Iterator[Level]:
    """The levels that a caller fills, the operation's own first."""
    pending: list[Level] = [((), operation.fields, operation.sections)]
    while pending:
        path, fields, sections = pending.pop()
        yield path, fields, sections
        pending.extend(((*path, "sections", index), section.fields, section.sections) for index, section in enumerate(sections))


def output_levels(operation: Action | Trigger) -> Iterator[OutputLevel]:
    """The levels of the result, the item's own first."""
    pending: list[OutputLevel] = [(("result",), operation.result.fields, operation.result.sections)]
    while pending:
        path, fields, sections = pending.pop()
        yield path, fields, sections
        pending.extend(((*path, "sections", index), section.fields, section.sections) for index, section in enumerate(sections))


def all_sections(operation: Action | Trigger) -> Iterator[tuple[FilePath, InputSection | OutputSection]]:
    """All sections, those of the result included, each with its path in the file."""
    for path, _fields, inputs in input_levels(operation):
        yield from (((*path, "sections", index), section) for index, section in enumerate(inputs))
    for path, _outputs, sections in output_levels(operation):
        yield from (((*path, "sections", index), section) for index, section in enumerate(sections))


def place_of(path: FilePath, operation: Action | Trigger) -> tuple[str, ...]:
    """The names of the sections on the way to a level."""
    outer: Any = operation.result if path[:1] == ("result",) else operation
    names: list[str] = []
    for step in path:
        if isinstance(step, int):
            outer = outer.sections[step]
            names.append(outer.name)
    return tuple(names)
