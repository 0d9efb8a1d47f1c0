"""An operation from its input to what is sent and what comes back, without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from polyport.engine.caller import open_caller
from polyport.engine.operation import DirectLists, Program, Understood, act, build_scope, compile_operation, understand
from polyport.manifest.model import Action, ListSpec
from polyport.net.message import Reply, Request
from samples import json_reply, partner


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What was understood of an input, the requests that were sent (those for lists included) and the result."""

    understood: Understood
    requests: list[Request]
    result: dict[str, Any]

    @property
    def body(self) -> Any:
        """The JSON of the last request."""
        return json.loads(self.requests[-1].body or b"null")


class _Answers:
    """A network that gives these answers in turn: as JSON, or XML from bytes."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def send(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, bytes):
            return Reply(status=200, headers=(("Content-Type", "text/xml"),), body=answer, url=request.url)
        return json_reply(json.dumps(answer))


async def understood(
    program: Program, data: Any, *answers: Any, selected: dict[str, Any] | None = None
) -> tuple[Understood, _Answers, dict[str, Any]]:
    """An input, understood, with the lists that had to be read for it."""
    line = _Answers(answers)
    caller = open_caller(program.partner, None, {}, line, replaced=None, timeout=5, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))
    found = await understand(program, data, DirectLists(caller), selected)
    return found, line, {"caller": caller}


async def run(
    operation: Action, data: Any, *answers: Any, lists: dict[str, ListSpec] | None = None, selected: dict[str, Any] | None = None
) -> Acted:
    """Run an action; ``answers`` are those of its lists, then those of its calls."""
    program = compile_operation(partner(operation, lists=lists), operation)
    found, line, held = await understood(program, data, *answers, selected=selected)
    assert found.checked.faults == []
    scope = build_scope(program, held["caller"], found, selected)
    outcome = await act(held["caller"], program, found, scope, lambda _trace: None)
    return Acted(understood=found, requests=line.requests, result=outcome.result)


async def refused(
    operation: Action, data: Any, *answers: Any, lists: dict[str, ListSpec] | None = None, selected: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    """Path and code of every fault of an input."""
    program = compile_operation(partner(operation, lists=lists), operation)
    found, _line, _held = await understood(program, data, *answers, selected=selected)
    return [(fault.path, fault.code) for fault in found.checked.faults]
