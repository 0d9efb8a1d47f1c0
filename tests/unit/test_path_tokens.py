"""A token that stands in the path of every address is told nowhere: Telegram's bot API."""

import json
from datetime import UTC, datetime

import pytest

import bundled
from polyport.engine.caller import open_caller
from polyport.engine.calls import verify
from polyport.engine.operation import DirectLists, act, build_scope, compile_operation, understand
from polyport.engine.plan import plan
from polyport.engine.trace import CallFailed
from polyport.net.message import NetworkFault, Reply
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

TOKEN = "424242:AAmade-up-canary_of-the-path-9f8e7d6c"
TELEGRAM = bundled.partner("telegram")
HELLO = {"chat_id": "123456789", "text": "Hello"}


class Line:
    """A network that answers always the same, or breaks; it keeps what was sent."""

    def __init__(self, reply=None):
        self.reply = reply
        self.urls = []

    async def send(self, request):
        self.urls.append(request.url)
        if self.reply is None:
            raise NetworkFault("api.telegram.org did not answer.", reached=False)
        status, body = self.reply
        return Reply(status=status, headers=(("content-type", "application/json"), ("location", request.url)), body=body, url=request.url)


async def prepared(line):
    caller = open_caller(
        TELEGRAM, "bot_token", {"token": TOKEN}, line, replaced=None, timeout=5, clock=lambda: datetime(2026, 11, 24, tzinfo=UTC)
    )
    program = compile_operation(TELEGRAM, next(found for found in TELEGRAM.operations if found.name == "send_message"))
    understood = await understand(program, HELLO, DirectLists(caller), {})
    return caller, program, understood, build_scope(program, caller, understood, {})


ECHO = {
    "ok": False,
    "description": f"Not Found: /bot{TOKEN}/sendMessage",
    "url": f"https:\\/\\/api.telegram.org\\/bot{TOKEN.replace(':', '%3A')}",
}
ANSWERS = {
    "a success": (200, {"ok": True, "result": {"message_id": 1, "date": 1795510800, "text": f"https://api.telegram.org/bot{TOKEN}/x"}}),
    "a refused token": (401, ECHO),
    "no such bot": (404, ECHO),
    "a refused value": (400, ECHO),
    "too many calls": (429, ECHO),
    "a partner that is down": (502, ECHO),
}


@pytest.mark.parametrize("reply", [pytest.param((status, json.dumps(body).encode()), id=name) for name, (status, body) in ANSWERS.items()])
async def test_no_attempt_and_no_error_tells_the_token(reply):
    line, traces = Line(reply), []
    caller, program, understood, scope = await prepared(line)
    error = None
    try:
        await act(caller, program, understood, scope, traces.append)
    except CallFailed as failed:
        error, traces = failed.failure.error, [*traces, *failed.traces]

    assert TOKEN in line.urls[0]
    assert (error is None) is (reply[0] == 200)
    shown = [json.dumps(trace.as_dict()) for trace in traces]
    assert shown
    assert "/bot[secret]/sendMessage" in shown[0]
    assert (
        find_leaks({"token": TOKEN}, *shown, json.dumps(error.as_record() if error else None), repr(traces), repr(error), repr(caller))
        == []
    )


async def test_a_line_that_breaks_does_not_tell_the_token():
    caller, program, understood, scope = await prepared(Line())

    with pytest.raises(CallFailed) as failed:
        await act(caller, program, understood, scope, lambda _trace: None)

    shown = [json.dumps(trace.as_dict()) for trace in failed.value.traces]
    assert find_leaks({"token": TOKEN}, *shown, str(failed.value), json.dumps(failed.value.failure.error.as_record())) == []


async def test_a_dry_run_shows_the_address_without_the_token():
    caller, program, understood, scope = await prepared(Line())

    (request,) = plan(caller, program, scope, schema=understood.schema)

    assert request["url"] == "https://api.telegram.org/bot[secret]/sendMessage"
    assert {"from": "connection.token", "to": "path", "masked": True} in request["values"]
    assert find_leaks({"token": TOKEN}, json.dumps(request)) == []


async def test_a_connection_that_is_refused_does_not_tell_the_token():
    caller, *_rest = await prepared(Line((401, json.dumps(ECHO).encode())))

    with pytest.raises(Exception) as failed:  # noqa: PT011  whatever it is, it has to be silent
        await verify(caller)

    assert find_leaks({"token": TOKEN}, str(failed.value), repr(failed.value)) == []
