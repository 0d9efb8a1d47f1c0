"""One exchange: what is sent and signed, what an answer becomes, and that no secret is shown."""

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from polyport.engine.caller import connection_fields, open_caller, secret_names
from polyport.engine.calls import ListItems, exchange, list_choices, list_custom_fields, prepare, read_list, verify
from polyport.engine.render import compile_call
from polyport.engine.trace import SHOWN_LIMIT, CallFailed, shown_request
from polyport.errors import BlockedAddress, PartnerError, PartnerTimeout, PartnerUnavailable, ValidationFailed
from polyport.manifest.model import Call
from polyport.net.message import NetworkFault, Reply
from samples import field, json_reply, list_spec, partner

pytestmark = pytest.mark.anyio
SECRET = "canary-1234567890"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONNECTION = {
    "fields": [field("domain", pattern="[a-z]+")],
    "auth": [
        {
            "name": "token",
            "label": "Token",
            "fields": [field("token", secret=True)],
            "scheme": {"kind": "bearer", "token": "{{connection.token}}"},
        }
    ],
    "verify": {"call": {"path": "/me"}, "account": "{{answer.name}} ({{connection.domain}})"},
}


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


def caller(*answers, auth="token", fields=None, replaced=None, **keys):
    told = {"connection": CONNECTION, "base": "https://{{connection.domain}}.example.com/v1"} | keys
    given = {"domain": "acme", "token": SECRET} if fields is None else fields
    return open_caller(partner(**told), auth, given, Line(*answers), replaced=replaced, timeout=7, clock=lambda: NOW)


def program(**keys):
    return compile_call(Call.model_validate({"path": "/things"} | keys if "url" not in keys else keys))


async def failed(made, told=None, scope=None):
    with pytest.raises(CallFailed) as caught:
        await exchange(made, told or program(), scope or {})
    return caught.value


# Opening


def test_a_secret_is_for_the_scheme_and_never_for_templates():
    made = caller()
    assert made.shown == {"domain": "acme"}
    assert made.secrets == {SECRET}
    assert SECRET not in repr(made)
    assert made.base.origin == "https://acme.example.com"


def test_a_field_that_nobody_declared_is_treated_as_a_secret():
    made = caller(fields={"domain": "acme", "token": SECRET, "refresh_token": "other-secret", "count": 5, "empty": ""})
    assert made.secrets == {SECRET, "other-secret"}
    assert made.shown == {"domain": "acme"}


def test_the_fields_of_a_connection_are_the_shared_ones_and_those_of_the_choice():
    made = partner(connection=CONNECTION)
    assert [variable.name for variable in connection_fields(made, "token")] == ["domain", "token"]
    assert [variable.name for variable in connection_fields(made, "other")] == ["domain"]
    assert connection_fields(partner(), "token") == ()
    assert secret_names(connection_fields(made, "token")) == {"token"}


def test_an_address_that_the_fields_do_not_make_is_a_fault_of_the_fields():
    with pytest.raises(ValidationFailed) as caught:
        caller(fields={"domain": "https://evil.example/"}, base="{{connection.domain}}?x=1")
    assert [(fault.path, fault.code) for fault in caught.value.details.fields] == [("fields", "invalid_address")]


# Preparing


def test_a_request_is_signed_and_knows_its_secrets():
    found = prepare(caller(), program(), {})
    assert found.header("authorization") == f"Bearer {SECRET}"
    assert SECRET in found.secrets
    assert found.timeout == 7
    assert prepare(caller(), program(timeout=3), {}).timeout == 3


def test_a_request_never_takes_longer_than_the_deadline_of_its_run():
    late = replace(caller(), until=time.monotonic() + 100)
    assert 50 < prepare(late, program(timeout=120), {}).timeout <= 100
    assert 0 < prepare(replace(caller(), until=time.monotonic() - 5), program(), {}).timeout < 1


def test_a_call_that_wants_no_signature_gets_none():
    found = prepare(caller(), program(auth=False), {})
    assert found.header("authorization") is None
    assert found.secrets == {SECRET}
    assert prepare(caller(auth=None), program(), {}).header("authorization") is None


def refused(made, told, scope=None):
    with pytest.raises(ValidationFailed) as caught:
        prepare(made, told, scope or {})
    (fault,) = caught.value.details.fields
    assert SECRET not in str(caught.value.as_record())
    return fault.path, fault.code


def test_what_cannot_be_sent_is_a_fault_of_the_input():
    assert refused(caller(), program(path="/{{x}}")) == ("runnerData", "cannot_be_sent")


@pytest.mark.parametrize("token", [None, SECRET + "\r\nX-Evil: 1", SECRET + "\x00", SECRET + "é"])
def test_what_cannot_be_signed_is_a_fault_of_the_connection(token):
    fields = {"domain": "acme"} | ({"token": token} if token else {})
    assert refused(caller(fields=fields), program()) == ('credentialData["0"]', "cannot_be_signed")


def test_a_dry_run_shows_a_request_without_its_secrets():
    found = shown_request("call", prepare(caller(), program(method="POST", query={"token": "x"}, body={"a": SECRET}), {}))
    assert SECRET not in str(found)
    assert (found["step"], found["method"]) == ("call", "POST")
    assert found["url"].startswith("https://acme.example.com/v1/things?")


# Exchanging


async def test_a_success_is_the_decoded_answer():
    found = await exchange(caller(json_reply('{"a": 1.10}')), program(), {})
    assert found.value == {"a": Decimal("1.10")}
    assert found.trace.as_dict()["reply"]["status"] == 200
    assert "error" not in found.trace.as_dict()


async def test_a_trace_shows_no_secret_and_is_bounded():
    big = json_reply(('"' + "a" * (3 * SHOWN_LIMIT) + '"').encode())
    made = caller(json_reply(f'{{"token": "{SECRET}"}}', x_echo=f"Bearer {SECRET}"), big)
    found = await exchange(made, program(method="POST", save="first", body={"a": SECRET}), {})
    assert SECRET not in str(found.trace.as_dict())
    assert found.trace.step == "first"
    again = await exchange(made, program(), {})
    assert again.trace.reply_body.endswith(f"({len(big.body)} bytes in all)")
    assert again.trace.body is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(NetworkFault("cut", reached=True), PartnerUnavailable), (NetworkFault("slow", reached=True, timed_out=True), PartnerTimeout)],
)
async def test_no_answer_is_a_failure_that_may_have_arrived(fault, kind):
    found = await failed(caller(fault))
    assert (type(found.failure.error), found.failure.reached, found.failure.answered) == (kind, True, False)
    assert found.trace.as_dict()["error"]
    assert "reply" not in found.trace.as_dict()


async def test_a_blocked_address_never_left():
    found = await failed(caller(BlockedAddress("no")))
    assert (type(found.failure.error), found.failure.reached) == (BlockedAddress, False)


async def test_a_refusal_carries_the_partners_body_without_secrets():
    found = await failed(caller(json_reply(f'{{"message": "bad {SECRET}", "echo": "{SECRET}"}}', 422)))
    error = found.failure.error
    assert isinstance(error, PartnerError)
    assert found.failure.answered
    assert SECRET not in str(error.as_record())
    assert error.details.upstream.status == 422


async def test_a_refusal_that_is_no_json_shows_its_text():
    found = await failed(caller(Reply(status=500, body=b"<h1>Oops</h1>")))
    assert found.failure.error.details.upstream.body == "<h1>Oops</h1>"
    assert (await failed(caller(Reply(status=500)))).failure.error.details.upstream.body is None


async def test_a_success_that_cannot_be_read_may_have_done_its_work():
    found = await failed(caller(Reply(status=200, headers=(("content-type", f"text/{SECRET}"),), body=b"<")))
    assert (type(found.failure.error), found.failure.reached, found.failure.answered) == (PartnerUnavailable, True, False)
    assert SECRET not in found.failure.error.message


async def test_the_partners_rules_are_asked_after_those_of_the_call():
    rules = [{"body": {"at": "ok", "equals": False}, "kind": "not_found"}]
    made = caller(json_reply('{"ok": false}'), errors=rules)
    assert (await failed(made)).failure.error.details.suggested_fix.startswith("Check the ids")


async def test_rules_look_into_the_body_of_an_envelope():
    rules = [{"body": {"at": "ok", "equals": False}, "kind": "failed"}]
    made = caller(json_reply('{"ok": false}'), json_reply('{"ok": true}'), errors=rules)
    await failed(made, program(envelope=True))
    assert (await exchange(made, program(envelope=True), {})).value["body"] == {"ok": True}


# Lists


def pages(*counts):
    return [json_reply(str([{"id": f"{page}-{index}"} for index in range(count)]).replace("'", '"')) for page, count in enumerate(counts)]


async def test_a_list_is_read_page_by_page_to_its_end():
    made = caller(*pages(2, 2, 0))
    found = await read_list(
        made, list_spec(pager={"kind": "page", "size": 2}, call={"path": "/owners", "query": {"page": "{{page.number}}"}}), {}
    )
    assert (len(found.items), found.complete) == (4, True)
    assert [request.url.partition("?")[2] for request in made.network.requests] == ["page=1", "page=2", "page=3"]


async def test_a_list_without_a_pager_is_one_page():
    found = await read_list(caller(*pages(3)), list_spec(where=[{"at": "id", "equals": "0-1"}]), {})
    assert (found.items, found.complete) == ([{"id": "0-1"}], True)


async def test_a_list_stops_at_its_limits_and_says_so():
    pager = {"kind": "page", "size": 2}
    cut = await read_list(caller(*pages(2, 2)), list_spec(pager=pager, itemLimit=3), {})
    assert (len(cut.items), cut.complete) == (3, False)
    short = await read_list(caller(*pages(2, 2)), list_spec(pager=pager, pageLimit=2), {})
    assert (len(short.items), short.complete) == (4, False)


async def test_a_list_may_be_made_of_an_answer_by_a_template():
    spec = list_spec(value="{{answer.sounds | from_object}}", items=[], key="name", label="{{item.value}}")

    found = await read_list(caller(json_reply('{"sounds": {"bike": "Bike", "none": "Silent"}}')), spec, {})

    assert list_choices(spec, found).items == (("bike", "Bike"), ("none", "Silent"))


async def test_an_answer_that_does_not_fit_the_template_of_a_list_is_one_that_cannot_be_read():
    with pytest.raises(PartnerUnavailable):
        await read_list(caller(json_reply('{"sounds": [1]}')), list_spec(value="{{answer.sounds | from_object}}"), {})


@pytest.mark.parametrize(("search", "query"), [("remote", "q=ada"), ("local", "")])
async def test_only_a_remote_list_is_asked_for_a_query(search, query):
    made = caller(*pages(1))
    await read_list(
        made, list_spec(search=search, call={"path": "/owners", "query": {"q": "{{query}}", "o": "{{owner}}"}}), {"owner": None}, "ada"
    )
    assert made.network.requests[0].url.partition("?")[2] == query


async def test_a_page_that_fails_is_the_partners_error():
    with pytest.raises(PartnerError):
        await read_list(caller(json_reply("{}", 403)), list_spec(), {})


def test_choices_have_a_key_and_a_label():
    items = [{"id": 1, "name": "Ada"}, {"id": "b"}, {"id": 2, "name": {"x": 1}}, {"id": 3, "name": None}, {"name": "no key"}, {"id": True}, {"id": []}, 5,
             {"id": Decimal("1.50"), "name": "a" * 600}, {"id": 10**3000, "name": "huge"}]  # fmt: skip
    found = list_choices(list_spec(), ListItems(items=items, complete=True))
    assert [(key, label[:5]) for key, label in found.items] == [(1, "Ada"), ("b", "b"), (2, "2"), (3, "3"), (Decimal("1.50"), "aaaaa")]
    assert max(len(label) for _key, label in found.items) == 500
    assert found.complete


def test_choices_that_are_searched_elsewhere_are_never_all():
    assert not list_choices(list_spec(search="remote"), ListItems(items=[], complete=True)).complete
    assert not list_choices(list_spec(), ListItems(items=[], complete=False)).complete


def test_a_list_of_definitions_gives_custom_fields_and_any_other_none():
    shape = {"key": "id", "label": "name", "type": "type"}
    made = partner(lists={"people": list_spec("people", customFields=shape), "plain": list_spec("plain")})
    assert [entry.key for entry in list_custom_fields(made, "people", [{"id": "a"}])] == ["a"]
    assert list_custom_fields(made, "plain", [{"id": "a"}]) == ()


# Verifying


async def test_a_connection_is_proved_by_a_cheap_call_and_says_whose_it_is():
    assert await verify(caller(json_reply('{"name": "Ada"}'))) == "Ada (acme)"


@pytest.mark.parametrize("answer", ["{}", '{"name": null}', '{"name": ["x"]}'])
async def test_an_account_that_is_not_told_is_none(answer):
    assert await verify(caller(json_reply(answer))) is None


async def test_the_account_is_bounded_and_without_secrets():
    found = await verify(caller(json_reply(f'{{"name": "{SECRET}{"a" * 500}"}}')))
    assert SECRET not in found
    assert len(found) == 200


async def test_a_verify_call_that_fails_is_the_partners_error_by_its_own_rules():
    spec = CONNECTION | {"verify": {"call": {"path": "/me"}, "errors": [{"status": [401], "kind": "not_found"}]}}
    with pytest.raises(PartnerError):
        await verify(caller(json_reply("{}", 401), connection=spec))
    assert await verify(caller(json_reply("{}"), connection=spec)) is None


async def test_without_a_verify_call_nothing_is_sent():
    assert await verify(caller(connection=CONNECTION | {"verify": None})) is None
    assert await verify(caller(connection=None, base="https://x.example", fields={})) is None
