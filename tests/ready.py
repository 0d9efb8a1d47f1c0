"""One operation with a connection over a line of answers, for tests that run it from input to result."""

import json
from datetime import UTC, datetime

from polyport.engine.caller import open_caller
from polyport.engine.operation import DirectLists, act, build_scope, compile_operation, read_reading, read_trigger, understand
from samples import json_reply, partner

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Line:
    """A network that gives these answers in turn; a fault is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def send(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def paths(self):
        return [request.url.removeprefix("https://api.example.com/v1") for request in self.requests]


class Ready:
    """One operation with a connection, ready to be run."""

    def __init__(self, operation, *answers, lists=None):
        made = partner(operation, lists=lists)
        self.line = Line(
            *[
                answer if isinstance(answer, Exception) or hasattr(answer, "status") else json_reply(json.dumps(answer))
                for answer in answers
            ]
        )
        self.caller = open_caller(made, None, {}, self.line, replaced=None, timeout=5, clock=lambda: NOW)
        self.program = compile_operation(made, operation)
        self.seen = []

    async def understand(self, data=None, selected=None):
        return await understand(self.program, data or {}, DirectLists(self.caller), selected)

    async def scope(self, data=None, selected=None):
        understood = await self.understand(data, selected)
        assert understood.checked.faults == []
        return understood, build_scope(self.program, self.caller, understood, selected)

    async def act(self, data=None, selected=None):
        understood, scope = await self.scope(data, selected)
        return await act(self.caller, self.program, understood, scope, self.seen.append)

    async def read(self, window=None, cursor=None, limit=None, data=None):
        understood, scope = await self.scope(data)
        return (
            await read_trigger(self.caller, self.program, understood, scope, read_reading(window, cursor, limit), self.seen.append)
        ).result
