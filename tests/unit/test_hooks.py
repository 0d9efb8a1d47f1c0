"""Deliveries of partners that call us: handshakes as partners document them, items, subscriptions, and what hostile deliveries do."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyport.engine.hooks import acknowledge, check_signature, compile_hook, handshake_reply, read_delivery, read_subscription, subscribing
from polyport.engine.render import Base, render_call
from polyport.engine.signatures import Incoming, Unsigned
from polyport.kinds.decoders import UnreadableAnswer
from polyport.manifest.model import Hook

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"


def hook(**keys):
    return compile_hook(Hook.model_validate(keys, by_alias=True, by_name=False))


def request(body=b"", url="https://us.example/hooks/1", method="POST", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Incoming(method=method, url=url, headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()), body=data)


# Handshakes


def shaken(program, sent, secret=None):
    found = handshake_reply(program, sent, secret, NOW)
    return found and (found.reply.status, found.reply.body, dict(found.reply.headers))


def test_the_challenge_of_slack_is_given_back():
    program = hook(
        handshake=[{"when": [{"at": "body.type", "equals": "url_verification"}], "reply": {"json": {"challenge": "{{body.challenge}}"}}}]
    )

    assert shaken(program, request({"type": "url_verification", "challenge": "3eZb"}))[:2] == (200, b'{"challenge":"3eZb"}')
    assert shaken(program, request({"type": "event_callback"})) is None
    assert shaken(program, request(b"no json")) is None


META = {
    "secret": {"from": "generated"},
    "handshake": [
        {
            "when": [{"at": ["query", "hub.mode"], "equals": "subscribe"}],
            "token": {"query": "hub.verify_token"},
            "reply": {"text": '{{query["hub.challenge"]}}'},
        }
    ],
}


def test_the_challenge_of_meta_is_given_back_to_who_knows_the_token():
    url = "https://us.example/h?hub.mode=subscribe&hub.challenge=115&hub.verify_token="

    assert shaken(hook(**META), request(url=url + "tok-1", method="GET"), "tok-1") == (
        200,
        b"115",
        {"Content-Type": "text/plain; charset=utf-8"},
    )
    for token, secret in (("tok-2", "tok-1"), ("", "tok-1"), ("tok-1", None)):
        with pytest.raises(Unsigned, match="agreed on"):
            shaken(hook(**META), request(url=url + token, method="GET"), secret)


def test_the_secret_that_asana_hands_over_is_learned_and_given_back():
    program = hook(
        secret={"from": "handshake"},
        signature=[{"header": "X-Hook-Signature"}],
        handshake=[
            {
                "when": [{"at": "header.x-hook-secret"}],
                "learn": {"header": "X-Hook-Secret"},
                "reply": {"headers": {"X-Hook-Secret": '{{header["x-hook-secret"]}}'}},
            }
        ],
    )
    found = handshake_reply(program, request(X_Hook_Secret="b537207f20cb"), None, NOW)

    assert (found.secret, found.reply.header("x-hook-secret"), found.reply.body) == ("b537207f20cb", "b537207f20cb", b"")
    assert "b537207f20cb" not in repr(found)


def test_the_token_of_microsoft_graph_is_given_back_as_text():
    program = hook(
        handshake=[{"when": [{"at": "query.validationToken"}], "reply": {"text": "{{query.validationToken}}", "contentType": "text/plain"}}]
    )

    assert shaken(program, request(url="https://us.example/h?validationToken=a%20b%26c")) == (200, b"a b&c", {"Content-Type": "text/plain"})


def test_the_challenge_of_zoom_is_answered_with_a_keyed_digest():
    program = hook(
        secret={"from": "manual"},
        handshake=[
            {
                "when": [{"at": "body.event", "equals": "endpoint.url_validation"}],
                "reply": {
                    "json": {"plainToken": "{{body.payload.plainToken}}", "encryptedToken": "{{body.payload.plainToken | hmac: secret}}"}
                },
            }
        ],
    )
    _, body, _ = shaken(program, request({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}), "s3")

    assert json.loads(body)["encryptedToken"] == hmac.new(b"s3", b"qgg8vlvZRS6UYooatFL8Aw", hashlib.sha256).hexdigest()


def test_a_handshake_may_have_to_be_signed():
    program = hook(
        secret={"from": "generated"},
        signature=[{"header": "X-S"}],
        handshake=[{"when": [{"at": "body.ping"}], "signed": True, "reply": {"status": 204}}],
    )
    digest = hmac.new(b"k", b'{"ping": 1}', hashlib.sha256).hexdigest()

    assert shaken(program, request(b'{"ping": 1}', X_S=digest), "k") == (204, b"", {})
    with pytest.raises(Unsigned):
        shaken(program, request(b'{"ping": 1}', X_S="00"), "k")


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        ({"json": {"a": "{{body.list}}-{{body.list}}"}}, b"null"),
        ({"json": "{{body.none}}"}, b"null"),
        ({"text": "x {{body.list}}"}, b""),
        ({"text": "{{body.none}}"}, b""),
    ],
)
def test_what_cannot_be_written_is_left_out_of_a_reply(reply, body):
    program = hook(handshake=[{"when": [{"at": "body"}], "reply": reply | {"headers": {"X-A": "{{body.list}}", "X-B": "{{body.text}}"}}}])
    _, found, headers = shaken(program, request({"list": [1], "text": "a\r\nX-Evil: 1"}))

    assert (found, headers.get("X-A"), headers["X-B"]) == (body, None, "a  X-Evil: 1")


# Signatures


def test_any_of_several_signatures_is_enough():
    program = hook(secret={"from": "generated"}, signature=[{"header": "X-New"}, {"header": "X-Old", "algorithm": "sha1"}])
    old = hmac.new(b"k", b"{}", hashlib.sha1).hexdigest()

    check_signature(program, request(b"{}", X_Old=old), "k", NOW)
    with pytest.raises(Unsigned, match="does not fit"):
        check_signature(program, request(b"{}", X_New="00", X_Old="00"), "k", NOW)


def test_a_hook_without_signatures_asks_for_none():
    check_signature(hook(), request(b"{}"), None, NOW)


# Items


def test_the_items_of_a_delivery_are_unpacked_filtered_and_numbered():
    program = hook(
        items="events",
        delivery={"at": "batch"},
        event={"header": "X-Event"},
        events=["contact.created"],
        filter=[{"at": "item.archived", "negate": True}, {"at": "query.tenant", "equals": "7"}],
    )
    body = {"batch": 12, "events": [{"id": 1}, {"id": 2, "archived": True}]}
    found = read_delivery(program, request(body, "https://us.example/h?tenant=7", X_Event="contact.created"))

    assert (found.items, found.number, found.event) == ([{"id": 1}], "12", "contact.created")
    assert read_delivery(program, request(body, "https://us.example/h?tenant=8", X_Event="contact.created")).items == []
    other = read_delivery(program, request(body, X_Event="contact.deleted"))
    assert (other.items, other.event, other.number) == ([], "contact.deleted", "12")
    assert read_delivery(program, request(body)).items == []


def test_a_single_object_counts_as_one_item():
    found = read_delivery(hook(event={"at": "type"}), request({"type": "ping", "id": 1}))

    assert (found.items, found.event) == ([{"type": "ping", "id": 1}], "ping")


@pytest.mark.parametrize(
    ("keys", "body", "items"),
    [
        ({"decode": "form"}, b"CallSid=CA1&From=%2B1", [{"CallSid": "CA1", "From": "+1"}]),
        ({"decode": "form", "inner": "payload", "items": "actions"}, b"payload=%7B%22actions%22%3A%5B1%5D%7D", [1]),
        ({"decode": "form", "inner": "payload"}, b"other=1", [{"other": "1"}]),
        ({"decode": "xml", "items": "notification.change"}, b"<notification><change><id>1</id></change></notification>", [{"id": "1"}]),
        ({}, b"", []),
        ({"decode": "text", "items": "x"}, b"hello", []),
    ],
)
def test_a_body_is_read_as_the_hook_says(keys, body, items):
    assert read_delivery(hook(**keys), request(body)).items == items


@pytest.mark.parametrize("body", [b"{", b"<xml/>", b"[" * 100_000])
def test_a_body_that_cannot_be_read_is_told(body):
    with pytest.raises(UnreadableAnswer):
        read_delivery(hook(), request(body))


def test_a_delivery_with_too_many_items_is_told():
    with pytest.raises(UnreadableAnswer, match="more than 10000 items"):
        read_delivery(hook(), request([1] * 10_001))


def test_the_partner_gets_the_answer_that_it_wants():
    program = hook(reply={"status": 202, "text": "<Response/>", "contentType": "text/xml"})
    found = acknowledge(program, request(b"broken"))

    assert (found.status, found.body, found.header("content-type")) == (202, b"<Response/>", "text/xml")
    assert (acknowledge(hook(), request()).status, acknowledge(hook(), request()).body) == (200, b"")


# Subscriptions


def test_a_subscribe_call_tells_where_to_deliver_and_with_which_secret():
    program = hook(
        events=["a", "b"],
        event={"at": "type"},
        secret={"from": "generated"},
        subscriptionId="id",
        subscribe={
            "method": "POST",
            "path": "/hooks",
            "body": {"url": "{{hook.url}}", "secret": "{{hook.secret}}", "events": "{{hook.events}}"},
        },
        unsubscribe={"method": "DELETE", "path": "/hooks/{{subscription.id}}"},
    )
    scope = subscribing("https://us.example/h/1", "s-1", ("a", "b"))
    sent = render_call(program.subscribe, scope, Base(origin="https://them.example", prefix=""), 5).request

    assert json.loads(sent.body) == {"url": "https://us.example/h/1", "secret": "s-1", "events": ["a", "b"]}
    assert subscribing("u", None) == {"hook": {"url": "u", "events": []}}
    gone = render_call(program.unsubscribe, {"subscription": {"id": "7"}}, Base(origin="https://them.example", prefix=""), 5).request
    assert (gone.method, gone.url) == ("DELETE", "https://them.example/hooks/7")
    assert (program.renew, program.follow_up) == (None, None)


def subscription(answer, **keys):
    return read_subscription(Hook.model_validate(keys, by_alias=True, by_name=False), answer, NOW)


def test_the_answer_of_a_subscribe_call_is_read():
    found = subscription({"data": {"id": 7, "secret": "whsec-1"}}, subscriptionId="data.id", secret={"from": "answer", "at": "data.secret"})

    assert (found.id, found.secret, found.ends) == ("7", "whsec-1", None)
    assert "whsec-1" not in repr(found)
    assert subscription([], subscriptionId="data.id", secret={"from": "answer", "at": "data.secret"}).id is None
    assert subscription({"id": "9"}).id is None


@pytest.mark.parametrize(
    ("expiry", "end"),
    [
        ({"seconds": 7200}, NOW + timedelta(hours=2)),
        ({"at": "end"}, None),
        ({"at": "iso"}, NOW + timedelta(days=1)),
        ({"at": "unix"}, NOW + timedelta(days=1)),
        ({"at": "ms", "unit": "milliseconds"}, NOW + timedelta(days=1)),
        ({"at": "ms_text", "unit": "milliseconds"}, NOW + timedelta(days=1)),
        ({"at": "iso", "unit": "milliseconds"}, None),
        ({"at": "flag"}, None),
        ({"at": "far"}, None),
    ],
)
def test_a_subscription_ends_when_the_partner_says(expiry, end):
    at = int((NOW + timedelta(days=1)).timestamp())
    told = {"iso": "2026-11-26T12:00:00Z", "unix": at, "ms": at * 1000, "ms_text": str(at * 1000), "flag": True, "far": 10**17}
    found = subscription(told, expiry=expiry)

    assert found.ends == end
    assert found.renews == (None if end is None else end - timedelta(hours=1))


def test_what_ends_soon_is_renewed_now():
    assert subscription({}, expiry={"seconds": 60}).renews == NOW


# Declarations


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"events": ["a"]}, "say where the name stands"),
        ({"signature": [{"header": "X-S"}]}, "say where the secret comes from"),
        ({"handshake": [{"when": [{"at": "body"}], "learn": {"at": "s"}}]}, "say where the secret comes from"),
        ({"handshake": [{"when": []}]}, "at least 1"),
        ({"secret": {"from": "answer"}}, '"answer" goes with at'),
        ({"secret": {"from": "generated", "field": "x"}}, '"answer" goes with at'),
        ({"expiry": {}}, "either at or seconds"),
        ({"reply": {"json": 1, "text": "x"}}, "json or text"),
    ],
)
def test_a_declaration_that_does_not_agree_is_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        hook(**keys)


def test_a_public_key_needs_no_secret():
    assert hook(signature=[{"kind": "ed25519", "header": "X-S", "publicKey": "00"}])


EACH = [
    META,
    {
        "handshake": [{"when": [{"at": "body.a"}], "reply": {"json": {"c": "{{body.a}}", "d": "{{body.a | hmac: secret}}"}}}],
        "items": "a[*].b",
    },
    {"decode": "form", "inner": "a"},
    {"decode": "xml", "event": {"at": "a.b"}, "events": ["x"], "reply": {"json": "{{body}}"}},
    {"decode": "auto", "delivery": {"header": "a"}, "filter": [{"at": "item.a", "contains": "x"}]},
]


@given(
    st.sampled_from(EACH),
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner) | st.lists(inner), max_leaves=6
    ),
    st.text(max_size=30),
)
def test_no_delivery_fails_in_another_way(keys, body, text):
    program, sent = hook(**keys), request(body, f"https://us.example/h?{text}", a=text)
    try:
        handshake_reply(program, sent, "s", NOW)
        acknowledge(program, sent)
        read_delivery(program, sent)
    except (Unsigned, UnreadableAnswer):
        pass


def test_numbers_of_absurd_size_are_nothing():
    assert read_delivery(hook(delivery={"at": "n"}), request(b'{"n": 1' + b"0" * 4_250 + b"}")).number is None


def test_an_end_beyond_the_calendar_is_no_end():
    far_east = NOW.astimezone(timezone(timedelta(hours=14)))
    told = Hook.model_validate({"expiry": {"at": "end"}}, by_alias=True, by_name=False)

    assert read_subscription(told, {"end": "9999-12-31T23:59:59Z"}, far_east).ends is None
