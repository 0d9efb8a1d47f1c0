"""What a rule of the quality scale is, and what it may look at."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, Final, Literal

from polyport.manifest.cases import Case, Cases
from polyport.manifest.lint import Linted
from polyport.manifest.model import Action, Call, Operation, Partner, Trigger
from polyport.manifest.refusals import ErrorRule
from polyport.manifest.variables import InputField, InputSection

Level = Literal["bronze", "silver", "gold", "platinum"]
LEVELS: Final[tuple[Level, ...]] = ("bronze", "silver", "gold", "platinum")

_SENTENCE: Final = 20
_HEADING: Final = re.compile(r"^##+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A folder that lint has read, and what was found by running it.

    ``failing``: the files of the cases that do not pass. ``random_faults``: what went wrong when random valid inputs were rendered; ``None`` where
    nobody has tried. ``today`` is for claims that grow old.
    """

    linted: Linted
    partner: Partner
    today: date
    failing: tuple[str, ...] = ()
    random_faults: tuple[str, ...] | None = None

    @property
    def cases(self) -> Cases:
        """All cases."""
        return self.linted.cases

    def cases_of(self, target: str) -> Iterator[tuple[str, Case]]:
        """The cases of an operation, of ``lists/<name>`` or of ``verify``, with their names."""
        return ((found.name, found.case) for found in self.cases.cases if found.target == target)

    @property
    def all_cases(self) -> Iterator[Case]:
        """Every case."""
        return (found.case for found in self.cases.cases)

    @cached_property
    def error_rules(self) -> tuple[ErrorRule, ...]:
        """The error rules of the partner and of its operations."""
        return (*self.partner.file.errors, *(rule for operation in self.partner.operations for rule in operation.errors))

    @cached_property
    def calls(self) -> tuple[tuple[str, Call], ...]:
        """Every call of the folder with the name of where it stands."""
        found = [(operation.name, call) for operation in self.partner.operations for call in operation.steps]
        found += [(f"lists/{spec.name}", spec.call) for spec in self.partner.lists.values()]
        connection = self.partner.file.connection
        if connection is not None and connection.verify is not None:
            found.append(("verify", connection.verify.call))
        return tuple(found)

    @property
    def running(self) -> Iterator[Action | Trigger]:
        """The operations that run; webhook triggers are subscribed to instead."""
        return (each for each in self.partner.operations if not (isinstance(each, Trigger) and each.type == "webhook"))

    def section(self, *words: str) -> str:
        """The text of the first section of ``notes.md`` with one of the words in its heading; empty if there is none or no sentence in it."""
        parts = _HEADING.split(self.linted.notes)
        for heading, text in zip(parts[1::2], parts[2::2], strict=True):
            if any(word in heading.lower() for word in words) and len(text.strip()) >= _SENTENCE and "todo:" not in text.lower():
                return text
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. ``check`` gives what is missing, as sentences; ``reviewed`` ones also need eyes: code sees a part of them only."""

    number: int
    tier: Level
    check: Callable[[Evidence], list[str]]
    reviewed: bool = False
    exemptable: bool = True

    @property
    def name(self) -> str:
        """How ``quality.yaml`` calls it."""
        return self.check.__name__.replace("_", "-")

    @property
    def text(self) -> str:
        """What it asks and why, in Markdown."""
        return (inspect.getdoc(self.check) or "").replace("``", "`")


def section_levels(sections: tuple[InputSection, ...]) -> Iterator[InputSection]:
    """Sections and those inside them."""
    for section in sections:
        yield section
        yield from section_levels(section.sections)


def input_fields(operation: Operation) -> Iterator[InputField]:
    """Every input field of an operation, also in its sections."""
    yield from operation.fields
    for section in section_levels(operation.sections):
        yield from section.fields


def leaves(value: Any) -> Iterator[Any]:
    """Every value that is no object and no list."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value
