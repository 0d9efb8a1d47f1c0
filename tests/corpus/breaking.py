"""Inputs that break a rule of the description: ours has to refuse them before anything is sent.

A valid input is changed in one place at a time, whether or not our own schema knows a rule there. What our validation lets through becomes a request, which the
second judge holds against the description: a fault that the valid input did not have is a rule that we do not keep.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from corpus.documents import Trial
from polyport.engine.caller import Caller, open_caller
from polyport.engine.operation import Program, Understood, act, build_scope, compile_operation
from polyport.engine.schema import Schema
from polyport.engine.trace import CallFailed
from polyport.engine.validate import Validator, compile_validator
from polyport.errors import PolyportError
from polyport.manifest.model import Action
from polyport.manifest.variables import InputField
from polyport.net.message import Reply, Request
from polyport.testing.inputs import open_lists
from polyport.testing.spec import check_request

FIELDS_MOST: Final = 25
_ODD: Final[Mapping[str, tuple[Any, ...]]] = {
    "string": ("", "x" * 6_000, "none of these, surely", "~", {"a": 1}),
    "integer": ("many", 10**15, -(10**15), 1.5, 0, [1]),
    "decimal": ("many", 10**15, -(10**15), 0, {"a": 1}),
    "boolean": ("maybe", 7, [True]),
    "nullable_boolean": ("maybe", 7),
    "date": ("tomorrow", "2026-13-01", 1.5),
    "datetime": ("soon", "2026-11-24", {"a": 1}),
    "object": ("text", 7, [[1]]),
}
_RULES: Final = (
    ("needs", "required"),
    ("none of the values", "enum"),
    ("one value", "enum"),
    ("the least", "bound"),
    ("the most", "bound"),
    ("other side", "bound"),
    ("multiple", "step"),
    ("pattern", "pattern"),
    ("format", "format"),
    ("Length", "length"),
    ("Items", "length"),
    ("Properties", "size"),
    ("twice", "unique"),
    ("of the type", "type"),
)


@dataclass(slots=True, kw_only=True)
class Broken:
    """What came of it. ``refused`` counts the inputs that our validation refuses, ``kept`` those that break no rule, ``through`` the others by rule."""

    tried: int = 0
    refused: int = 0
    kept: int = 0
    through: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)


class _Catch:
    """A network that keeps the request and answers nothing."""

    def __init__(self) -> None:
        self.request: Request | None = None

    async def send(self, request: Request) -> Reply:
        self.request = request
        return Reply(status=204)


class Breaker:
    """Breaks the rules of one document."""

    def __init__(self, trial: Trial, fields: Mapping[str, Any]) -> None:
        self._trial = trial
        self._catch = _Catch()
        self._caller: Caller = open_caller(
            trial.partner, "none", fields, self._catch, replaced=None, timeout=5, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC)
        )
        base = self._caller.base
        self._base = f"{base.origin}{base.prefix}" if base is not None else None
        self.found = Broken()

    async def attempt(self, action: Action, valid: Mapping[str, Any]) -> dict[str, Any] | None:
        """Break each rule of an action in turn; an input that was refused, if there is one."""
        program = compile_operation(self._trial.partner, action)
        schema = open_lists(program.schema, list(self._trial.partner.lists))
        validator = compile_validator(schema)
        usual = await self._faults(program, schema, validator, valid)
        refused: dict[str, Any] | None = None
        for changed, listed in _changes(action, valid):
            self.found.tried += 1
            faults = await self._faults(program, schema, validator, changed)
            if faults is None:
                self.found.refused += 1
                refused = refused or (None if listed else changed)
                continue
            new = [one for one in faults if one not in (usual or [])]
            rule = next((word for one in new for mark, word in _RULES if mark in one.partition(": ")[2]), "")
            if not rule:
                self.found.kept += 1
                continue
            self.found.through[rule] = self.found.through.get(rule, 0) + 1
            if len(self.found.shown) < 200:
                self.found.shown.append(f"{action.name}: {new[0][:300]}")
        return refused

    async def _faults(self, program: Program, schema: Schema, validator: Validator, data: Mapping[str, Any]) -> list[str] | None:
        """What the second judge says of the request; nothing where there is none because our validation refuses."""
        checked = validator.check(dict(data))
        if checked.faults:
            return None
        understood = Understood(schema=schema, checked=checked)
        self._catch.request = None
        try:
            await act(self._caller, program, understood, build_scope(program, self._caller, understood, {}), lambda _trace: None)
        except CallFailed:
            pass
        except PolyportError:
            return None  # refused while the request was made: nothing was sent either
        request = self._catch.request
        if request is None:
            return None
        judge = self._trial.judge
        try:
            found = check_request([judge], request, None if "discoveryVersion" in judge.data else self._base)
        except (LookupError, OSError, ValueError):
            return []
        return [str(one) for one in found]


def _changes(action: Action, valid: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """The input with one place changed, and whether that place has a list of the partner."""
    count = 0
    for variable in action.fields:
        public = variable.name
        if variable.when is None and count < FIELDS_MOST:
            count += 1
            for value in _odd(variable):
                yield {**copy.deepcopy(dict(valid)), public: value}, variable.list is not None
            if public in valid:
                yield {name: value for name, value in valid.items() if name != public}, False
    for section in action.sections:
        rows = valid.get(section.name)
        if section.required and section.when is None:
            yield {name: value for name, value in valid.items() if name != section.name}, False
        if not isinstance(rows, list) or not rows:
            continue
        for name in list(rows[0]):
            if count < FIELDS_MOST:
                count += 1
                yield _in_row(valid, section.name, name, "none of these, surely"), False
                yield _in_row(valid, section.name, name, {"odd": [1]}), False
                yield _in_row(valid, section.name, name, None), False


def _in_row(valid: Mapping[str, Any], section: str, name: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(dict(valid))
    if value is None:
        del changed[section][0][name]
    else:
        changed[section][0][name] = value
    return changed


def _odd(variable: InputField) -> Sequence[Any]:
    """Values that break one rule or another, if the description has it."""
    single = _ODD.get(variable.base_type, ())
    if not variable.is_array:
        return single
    return [
        *([value] for value in single[:4]),
        [],
        *([variable.sample] * 300 for _once in "1" if isinstance(variable.sample, str | int)),
        {"a": 1},
    ]
