"""Connections that are authorised while calls are made: once for all, renewed in time, repeated once when the token had expired, and never shown."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from polyport.engine.caller import HeldGrant, open_caller
from polyport.engine.calls import exchange, prepare, prove, verify
from polyport.engine.grants import authorise
from polyport.engine.render import compile_call
from polyport.engine.trace import CallFailed, shown_request
from polyport.errors import (
    BlockedAddress,
    ConnectionInvalid,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    ValidationFailed,
)
from polyport.kinds.auth.base import Grant
from polyport.manifest.model import Call
from polyport.manifest.refusals import ErrorRule
from polyport.net.message import NetworkFault, Reply
from samples import field, json_reply, partner

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECRET = "client-secret-canary"
CLIENT = {
    "kind": "oauth2",
    "grant": "client_credentials",
    "tokenUrl": "https://login.example.com/token",
    "learn": {"site": {"at": "site", "pattern": "[a-z]+"}},
}
EXPIRED = ErrorRule(status=(400,), kind="expired_token")


class Line:
    """A network that gives these answers in turn; a fault is raised. With a ``gate`` it waits for it first."""

    def __init__(self, *answers):
        self.answers, self.requests, self.gate = list(answers), [], None

    async def send(self, request):
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def token(name="token-canary-1", **more):
    return json_reply(json.dumps({"access_token": name, "token_type": "bearer", **more}))


def made(*answers, scheme=CLIENT, base="https://api.example.com/v1", replaced=None, clock=lambda: NOW, **spec):
    fields = [field("client_id"), field("client_secret", secret=True)]
    connection = {"auth": [{"name": "app", "label": "App", "fields": fields, "scheme": scheme}]} | spec
    line = Line(*answers)
    given = {"client_id": "id-1", "client_secret": SECRET}
    caller = open_caller(partner(connection=connection, base=base), "app", given, line, replaced=replaced, timeout=7, clock=clock)
    return caller, line


def program(**keys):
    return compile_call(Call.model_validate({"path": "/things"} | keys if "url" not in keys else keys))


async def test_a_token_is_obtained_once_and_signs_every_call():
    caller, line = made(token(expires_in=3600), json_reply(), json_reply())
    first, second = await exchange(caller, program(), {}), await exchange(caller, program(), {})
    assert [request.url for request in line.requests] == [
        "https://login.example.com/token",
        "https://api.example.com/v1/things",
        "https://api.example.com/v1/things",
    ]
    assert line.requests[0].body == b"grant_type=client_credentials&client_id=id-1&client_secret=client-secret-canary"
    assert {request.header("authorization") for request in line.requests[1:]} == {"Bearer token-canary-1"}
    assert [trace.step for trace in first.earlier] == ["auth"]
    assert second.earlier == ()


async def test_what_was_granted_is_shown_nowhere():
    caller, _line = made(token(other="token-canary-1"), json_reply('{"echo": "token-canary-1"}'))
    answer = await exchange(caller, program(), {})
    for trace in (*answer.earlier, answer.trace):
        assert "canary" not in json.dumps(trace.as_dict())
    assert answer.earlier[0].reply_body == "[secret]"
    assert "canary" not in repr(caller) + repr(caller.grants.held)


async def test_callers_at_the_same_time_share_one_exchange():
    caller, line = made(token(), *[json_reply()] * 5)
    line.gate = asyncio.Event()
    calls = [asyncio.create_task(exchange(caller, program(), {})) for _ in range(5)]
    await asyncio.sleep(0)
    line.gate.set()
    answers = await asyncio.gather(*calls)
    assert [request.url.rpartition("/")[2] for request in line.requests] == ["token"] + ["things"] * 5
    assert sum(len(answer.earlier) for answer in answers) == 1


async def test_one_of_them_going_away_does_not_disturb_the_others():
    caller, line = made(token(), json_reply())
    line.gate = asyncio.Event()
    first, second = (asyncio.create_task(exchange(caller, program(), {})) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    line.gate.set()
    assert (await second).value == {}
    assert len(line.requests) == 2


async def test_an_exchange_that_nobody_waits_for_any_more_is_no_loose_end():
    caller, line = made(NetworkFault("gone", reached=False), token(), json_reply())
    line.gate = asyncio.Event()
    waiting = asyncio.create_task(exchange(caller, program(), {}))
    await asyncio.sleep(0)
    waiting.cancel()
    line.gate.set()
    for _turn in range(5):
        await asyncio.sleep(0)
    assert caller.grants.task is None
    assert (await exchange(caller, program(), {})).value == {}


async def test_a_token_is_renewed_before_it_ends():
    times = [NOW]
    caller, line = made(token("one", expires_in=3600), token("two", expires_in=100), *[json_reply()] * 3, clock=lambda: times[0])
    line.answers = [token("one", expires_in=3600), json_reply(), json_reply(), token("two", expires_in=100), json_reply()]
    await exchange(caller, program(), {})
    times[0] = NOW + timedelta(seconds=3539)
    await exchange(caller, program(), {})
    assert line.requests[-1].header("authorization") == "Bearer one"
    times[0] = NOW + timedelta(seconds=3541)
    await exchange(caller, program(), {})
    assert line.requests[-1].header("authorization") == "Bearer two"
    assert caller.grants.held.renew_at == times[0].timestamp() + 90


async def test_a_call_refused_for_an_expired_token_is_made_once_more_with_a_new_one():
    caller, line = made(token("one"), json_reply(status=400), token("two"), json_reply('{"ok": true}'))
    answer = await exchange(caller, program(method="POST"), {}, (EXPIRED,))
    assert answer.value == {"ok": True}
    assert line.requests[-1].header("authorization") == "Bearer two"
    assert [(trace.step, trace.status, trace.harmless) for trace in answer.earlier] == [
        ("auth", 200, True),
        ("call", 400, True),
        ("auth", 200, True),
    ]
    assert not answer.trace.harmless


async def test_and_no_more_than_once():
    caller, line = made(token("one"), json_reply(status=400), token("two"), json_reply(status=400))
    with pytest.raises(CallFailed) as failed:
        await exchange(caller, program(), {}, (EXPIRED,))
    assert isinstance(failed.value.failure.error, ConnectionInvalid)
    assert [trace.step for trace in failed.value.traces] == ["auth", "call", "auth", "call"]
    assert len(line.requests) == 4


async def test_a_kept_token_that_is_refused_without_a_reason_is_renewed_and_a_fresh_one_is_not():
    caller, line = made(token("one"), json_reply(), json_reply(status=401), token("two"), json_reply())
    await exchange(caller, program(), {})
    await exchange(caller, program(), {})
    assert len(line.requests) == 5
    caller, line = made(token("one"), json_reply(status=401))
    with pytest.raises(CallFailed):
        await exchange(caller, program(), {})
    assert len(line.requests) == 2


async def test_other_failures_are_not_repeated():
    for answer in (json_reply(status=403), json_reply(status=500), NetworkFault("gone", reached=True)):
        caller, line = made(token(), json_reply(), answer)
        await exchange(caller, program(), {})
        with pytest.raises(CallFailed):
            await exchange(caller, program(), {})
        assert len(line.requests) == 3


async def test_a_grant_that_came_meanwhile_is_not_dropped():
    caller, _line = made()
    newer, older = (HeldGrant(grant=Grant(values={"access_token": name}), renew_at=None) for name in ("new", "old"))
    caller.grants.held = newer
    caller.grants.drop(older)
    assert caller.grants.held is newer


async def test_a_refusal_keeps_the_partners_words_and_says_what_to_do():
    refusal = json_reply(json.dumps({"error": "invalid_client", "error_description": f"Client {SECRET} is unknown"}), 401)
    caller, line = made(refusal)
    with pytest.raises(CallFailed) as failed:
        await exchange(caller, program(method="POST"), {})
    error = failed.value.failure.error
    assert isinstance(error, ConnectionInvalid)
    assert error.message == "The partner did not authorise this connection: Client [secret] is unknown"
    assert (error.details.upstream.status, "PATCH /credentials/{id}" in error.details.suggested_fix) == (401, True)
    assert failed.value.trace.harmless
    assert len(line.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_reply('{"error": "slow_down"}', 429, Retry_After="7"), PartnerRateLimited),
        (json_reply(status=503), PartnerUnavailable),
        (json_reply('{"ok": false, "error": "invalid_grant"}'), ConnectionInvalid),
        (Reply(status=200, body=b"<html>"), ConnectionInvalid),
        (Reply(status=302, headers=(("location", "https://elsewhere.example.com"),)), ConnectionInvalid),
    ],
)
async def test_an_exchange_without_a_token_is_told_for_what_it_is(reply, kind):
    caller, _line = made(reply)
    with pytest.raises(CallFailed) as failed:
        await exchange(caller, program(), {})
    assert isinstance(failed.value.failure.error, kind)


@pytest.mark.parametrize("fault", [NetworkFault("No answer.", reached=True, timed_out=True), BlockedAddress()])
async def test_an_exchange_that_cannot_be_made_leaves_nothing_in_doubt(fault):
    caller, _line = made(fault)
    with pytest.raises(CallFailed) as failed:
        await exchange(caller, program(method="POST"), {})
    assert failed.value.trace.harmless
    assert failed.value.trace.step == "auth"


async def test_the_wait_for_an_exchange_ends_with_the_runs_time():
    caller, line = made(token())
    line.gate = asyncio.Event()
    with pytest.raises(PartnerTimeout, match="was not sent"):
        await exchange(replace(caller, until=0.0), program(), {})
    line.gate.set()
    await caller.grants.task


async def test_a_connection_that_lacks_a_field_says_so_before_anything_is_sent():
    caller, line = made(scheme=CLIENT | {"clientId": "{{connection.nothing}}"})
    with pytest.raises(ValidationFailed) as refused:
        await exchange(caller, program(), {})
    assert refused.value.details.fields[0].code == "cannot_be_signed"
    assert line.requests == []


async def test_what_a_grant_tells_is_read_by_templates_and_makes_the_address():
    caller, line = made(token(site="acme"), json_reply(), base="https://{{connection.site}}.example.com")
    assert caller.base is None
    await exchange(caller, program(query={"site": "{{connection.site}}"}), {"connection": caller.shown})
    assert line.requests[1].url == "https://acme.example.com/things?site=acme"


async def test_what_does_not_match_its_pattern_is_not_learned():
    caller, _line = made(token(site="evil.example/"), base="https://{{connection.site}}.example.com")
    with pytest.raises(ValidationFailed):
        await exchange(caller, program(), {})


async def test_an_exchange_goes_out_on_a_connection_of_its_own_and_calls_do_not():
    caller, line = made(token(), json_reply())
    await exchange(caller, program(), {})
    assert [request.fresh for request in line.requests] == [True, False]


async def test_an_exchange_goes_where_the_operator_sends_the_partners_calls():
    caller, line = made(token(), json_reply(), replaced="http://127.0.0.1:9/")
    await exchange(caller, program(), {})
    assert [request.url for request in line.requests] == ["http://127.0.0.1:9/token", "http://127.0.0.1:9/v1/things"]
    caller, line = made(token(), json_reply(), replaced="http://127.0.0.1:9", scheme=CLIENT | {"tokenUrl": "https://a.example.com/t?x=1"})
    await exchange(caller, program(), {})
    assert line.requests[0].url == "http://127.0.0.1:9/t?x=1"


async def test_a_call_without_authorisation_obtains_nothing():
    caller, line = made(json_reply())
    await exchange(caller, program(auth=False), {})
    assert [request.url for request in line.requests] == ["https://api.example.com/v1/things"]


async def test_a_dry_run_obtains_nothing_and_masks_the_token():
    caller, line = made(token(), json_reply())
    shown = shown_request("call", prepare(caller, program(), {}))
    assert line.requests == []
    assert ["Authorization", "[secret]"] in shown["headers"]
    await exchange(caller, program(), {})
    assert "canary" not in json.dumps(shown_request("call", prepare(caller, program(), {})))


async def test_proving_a_connection_authorises_it_even_without_a_verify_call():
    caller, _line = made(token(site="acme"))
    assert (await prove(caller)).learned == {"site": "acme"}
    caller, _line = made(json_reply(status=400))
    with pytest.raises(ConnectionInvalid):
        await prove(caller)


async def test_an_exchange_takes_no_more_steps_than_any_partners_does():
    class Endless:
        def obtain(self, material, moment):
            while True:
                yield replace(prepared, url="https://login.example.com/again")

    caller, line = made(*[json_reply()] * 20)
    prepared = prepare(caller, program(auth=False), {})
    with pytest.raises(ValidationFailed, match="faults"):
        await authorise(replace(caller, scheme=Endless()))
    assert len(line.requests) == 16


async def test_only_a_scheme_is_authorised():
    with pytest.raises(TypeError):
        await authorise(replace(made()[0], scheme=None))


# What a connection learns about itself

LEARN = [{"name": "dc", "label": "Data centre", "value": '{{connection.client_secret | split: "-" | last}}', "pattern": "us[0-9]+"}]
BEARER = {"kind": "bearer", "token": "{{connection.client_secret}}"}


async def test_a_value_learned_from_a_secret_makes_the_address_of_the_verify_call():
    spec = {"learn": [*LEARN, {"name": "plan", "label": "Plan", "value": "{{answer.plan}}"}], "verify": {"call": {"path": "/me"}}}
    told = partner(
        connection={"auth": [{"name": "key", "label": "Key", "fields": [field("client_secret", secret=True)], "scheme": BEARER}]} | spec,
        base="https://{{connection.dc}}.api.example.com",
    )
    line = Line(json_reply('{"plan": "pro"}'))
    caller = open_caller(told, "key", {"client_secret": "key-canary-us6"}, line, replaced=None, timeout=7, clock=lambda: NOW)
    assert caller.shown == {"dc": "us6"}
    assert (await prove(caller)).learned == {"dc": "us6", "plan": "pro"}
    assert line.requests[0].url == "https://us6.api.example.com/me"


@pytest.mark.parametrize(
    ("learn", "secret"),
    [
        (LEARN, "key-eu1"),
        ([{"name": "dc", "label": "Data centre", "value": "{{connection.client_secret}}"}], "key-us6"),
        ([{"name": "dc", "label": "Data centre", "value": "{{connection.client_secret}}"}], "k" * 3000),
    ],
)
def test_what_does_not_have_the_form_or_is_the_secret_itself_is_refused(learn, secret):
    told = partner(
        connection={
            "auth": [{"name": "key", "label": "Key", "fields": [field("client_secret", secret=True)], "scheme": BEARER}],
            "learn": learn,
        }
    )
    with pytest.raises(ValidationFailed) as refused:
        open_caller(told, "key", {"client_secret": secret}, Line(), replaced=None, timeout=7, clock=lambda: NOW)
    assert [(fault.path, fault.code) for fault in refused.value.details.fields] == [("fields", "not_learned")]


async def test_what_cannot_be_told_is_left_out():
    learn = [
        {"name": "a", "label": "A", "value": "{{answer.gone}}"},
        {"name": "b", "label": "B", "value": '{{answer.rows | join: ","}}'},
        {"name": "c", "label": "C", "value": "{{answer.list}}"},
    ]
    caller, _line = made(json_reply('{"rows": 5, "list": [1]}'), scheme=BEARER, learn=learn, verify={"call": {"path": "/me"}})
    assert (await prove(caller)).learned.keys() <= {"b"}
    assert await verify(made(json_reply(), scheme=BEARER, verify={"call": {"path": "/me"}})[0]) is None


# Metadata of a partner that says itself where it is asked

SPOKEN = {"kind": "oauth2", "grant": "client_credentials", "issuer": "https://login.example.com"}
DOCUMENT = json_reply(json.dumps({"issuer": "https://login.example.com", "token_endpoint": "https://login.example.com/token"}))


async def test_a_document_is_read_once_for_all_and_shown_once():
    caller, line = made(DOCUMENT, token(), json_reply(), token(), scheme=SPOKEN)
    answer = await exchange(caller, program(), {})
    assert [trace.url.rpartition("/")[2] for trace in answer.earlier] == ["openid-configuration", "token"]
    caller.grants.drop(caller.grants.held)
    assert [trace.url for trace in (await authorise(caller))[1]] == ["https://login.example.com/token"]
    assert [request.url.rpartition("/")[2] for request in line.requests] == ["openid-configuration", "token", "things", "token"]


async def test_where_there_is_no_document_that_is_remembered_too_and_nothing_is_held_against_the_connection():
    caller, line = made(json_reply(status=404), json_reply(status=404), scheme=SPOKEN)
    for _ in range(2):
        with pytest.raises(CallFailed) as caught:
            await authorise(caller)
        assert isinstance(caught.value.failure.error, PartnerUnavailable)
        assert (caught.value.failure.reached, caught.value.trace.status) == (False, 404)
        line.answers.append(json_reply(status=404))
    assert [request.url.rpartition("/")[2] for request in line.requests] == [
        "openid-configuration",
        "oauth-authorization-server",
        "oauth-authorization-server",
    ], "what could not be used is asked for again, what was not there is not"


@pytest.mark.parametrize(
    "answer", [NetworkFault("gone", reached=True), NetworkFault("slow", reached=True, timed_out=True), BlockedAddress()]
)
async def test_a_document_that_cannot_be_read_changed_nothing(answer):
    caller, _line = made(answer, scheme=SPOKEN)
    with pytest.raises(CallFailed) as caught:
        await authorise(caller)
    assert caught.value.failure.reached is False


async def test_a_document_from_memory_that_is_of_no_use_is_told_with_its_exchange():
    caller, line = made(DOCUMENT, scheme=SPOKEN)
    url = "https://login.example.com/.well-known/openid-configuration"
    caller.documents.keep(url, json_reply('{"issuer": "https://other.example.com"}'), NOW)
    with pytest.raises(CallFailed, match="another issuer") as caught:
        await authorise(caller)
    assert (caught.value.traces[0].url, line.requests) == (url, [])
    assert caller.documents.get(url, NOW) is None
