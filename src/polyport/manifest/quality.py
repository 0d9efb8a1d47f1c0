"""``quality.yaml``: what a partner's folder claims about itself, and the ids that clients may hold.

Each rule of the quality scale is answered with ``done``, ``todo``, or exempt with a comment that says why. ``polyport connector score`` holds the
claims against the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, ValidationError
from pydantic import Field as Key
from pydantic.alias_generators import to_camel

from polyport.manifest.base import Name, Node, Text
from polyport.manifest.disk import Place, is_file, source_of
from polyport.manifest.model import Partner
from polyport.manifest.sentences import describe
from polyport.manifest.source import Problem, Source, Unreadable

FILE: Final = "quality.yaml"

Tier = Literal["none", "bronze", "silver", "gold", "platinum"]
Status = Literal["done", "todo", "exempt"]


class Explained(Node):
    """An answer with a comment; ``exempt`` needs one that says why the rule cannot apply, with a link for gold."""

    status: Status
    comment: Text


class RecordedIds(Node):
    """The ids that clients may hold: of the partner, and of its operations by name. ``polyport connector lint --record`` writes those that are missing."""

    partner: int | None = None
    operations: dict[Name, int] = Key(default_factory=dict)


class Quality(Node):
    """What the folder claims. Every rule of the quality scale is a key: ``done``, ``todo``, or an object with status and comment; a rule that is left out is ``todo``.

    ``tier`` has to be what ``polyport connector score`` computes. ``ids`` never change once clients may hold them.
    """

    model_config = ConfigDict(frozen=True, extra="allow", alias_generator=to_camel, populate_by_name=True)
    __pydantic_extra__: dict[str, Literal["done", "todo"] | Explained] = Key(init=False)

    tier: Tier | None = None
    ids: RecordedIds = RecordedIds()

    @property
    def answers(self) -> Mapping[str, Literal["done", "todo"] | Explained]:
        """The answer to each rule that has one."""
        return self.__pydantic_extra__

    def status(self, rule: str) -> Status:
        """The answer to a rule without its comment."""
        answer = self.answers.get(rule, "todo")
        return answer.status if isinstance(answer, Explained) else answer

    def comment(self, rule: str) -> str:
        """The comment on a rule; empty if there is none."""
        answer = self.answers.get(rule, "todo")
        return answer.comment if isinstance(answer, Explained) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedQuality:
    """What came of ``quality.yaml``: empty claims where there is no file, and every problem found."""

    quality: Quality
    source: Source = field(default_factory=lambda: Source(name=FILE, data=None, marks={}))
    problems: tuple[Problem, ...] = ()


def load_quality(folder: Place, rules: Mapping[str, Any]) -> LoadedQuality:
    """Load what a folder claims; a key that is none of ``rules`` is a fault. Never raises for what stands in the file."""
    file = folder / FILE
    if not is_file(file):
        return LoadedQuality(quality=Quality())
    try:
        source = source_of(FILE, file)
    except Unreadable as error:
        return LoadedQuality(quality=Quality(), problems=error.problems)
    unknown = [key for key in source.data if key not in {*rules, *Quality.model_fields}] if isinstance(source.data, dict) else []
    problems = [
        source.problem(f'"{key}" is no rule of the quality scale; docs/reference/quality.md lists them.', key) for key in sorted(unknown)
    ]
    try:
        quality = Quality.model_validate(source.data, by_alias=True, by_name=False)
    except ValidationError as error:
        problems.extend(describe(Quality, source, error.errors(include_url=False)))
        quality = Quality()
    return LoadedQuality(quality=quality, source=source, problems=tuple(problems))


def with_recorded_ids(text: str, partner: Partner, ids: RecordedIds) -> str:
    """The text of ``quality.yaml`` with the ids of the partner and of its operations; what is recorded stays, what is not is added."""
    operations = {operation.name: operation.id for operation in partner.operations} | dict(ids.operations)
    lines = ["ids:", f"  partner: {ids.partner if ids.partner is not None else partner.file.id}"]
    lines += ["  operations:", *(f"    {name}: {number}" for name, number in sorted(operations.items()))] if operations else []
    return "\n".join([*_without(text.splitlines(), "ids"), *lines]) + "\n"


def _without(lines: list[str], key: str) -> list[str]:
    """Lines of a file without the block of one key at the top level."""
    kept: list[str] = []
    inside = False
    for line in lines:
        if line[:1].strip():
            inside = line.startswith(f"{key}:")
        if not inside:
            kept.append(line)
    return kept
