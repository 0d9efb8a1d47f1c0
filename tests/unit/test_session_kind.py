"""Sessions: one call or several, in JSON, forms and XML, lead to a token and say where it goes."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import ExchangeRefused, Moment
from polyport.net.message import Reply, Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MOMENT = Moment(now=NOW, fresh_id=lambda: "id-1")
REQUEST = Request(method="GET", url="https://api.example.com/things")
USER = {"user": "ada", "password": "pass-word", "tenant": "acme"}
LOGIN = {
    "save": "login",
    "url": "https://{{connection.tenant}}.example.com/login",
    "body": {"user": "{{connection.user}}", "password": "{{connection.password}}"},
}
TOLD = {
    "kind": "session",
    "steps": [LOGIN],
    "keep": {"token": "{{steps.login.body.data.token}}"},
    "place": [{"in": "header", "param": "X-Session", "value": "{{grant.token}}"}],
}


def session(**keys):
    return SCHEME.validate_python(TOLD | keys)


def taken(told, *replies, material=USER):
    """The requests of the steps, and the grant at their end."""
    asking = told.obtain(material, MOMENT)
    asked = [next(asking), *(asking.send(reply) for reply in replies[:-1])]
    with pytest.raises(StopIteration) as done:
        asking.send(replies[-1])
    return asked, done.value.value


def reply(body, status=200, kind="application/json", *headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers=(("Content-Type", kind), *headers), body=content)


def test_one_step_in_json():
    (asked,), grant = taken(session(lifetime=60), reply({"data": {"token": "t-1"}}))
    assert (asked.method, asked.url, asked.header("content-type")) == ("POST", "https://acme.example.com/login", "application/json")
    assert json.loads(asked.body) == {"user": "ada", "password": "pass-word"}
    assert (grant.values, grant.expires_at) == ({"token": "t-1"}, NOW.timestamp() + 60)
    signed = session().sign(REQUEST, USER | grant.values, MOMENT)
    assert (signed.header("X-Session"), "t-1" in signed.secrets) == ("t-1", True)


def test_steps_that_use_earlier_answers_headers_and_cookies():
    told = session(
        steps=[
            {
                "save": "start",
                "method": "GET",
                "url": "https://a.example.com/start",
                "query": {"u": "{{connection.user}}"},
                "decode": "none",
            },
            {
                "save": "login",
                "url": "https://a.example.com/login?v=2",
                "query": {"x": "1"},
                "headers": {
                    "X-Csrf": "{{steps.start.headers.x-csrf}}",
                    "Cookie": "sid={{steps.start.cookies.sid}}",
                    "Content-Type": "application/json",
                },
                "body": {"password": "{{connection.password}}"},
                "decode": "form",
            },
        ],
        keep={"token": "{{steps.login.body.auth}}", "sid": "{{steps.start.cookies.sid}}"},
        expiresIn="{{steps.login.body.until}}",
        expiresUnit="iso8601",
        learn={
            "site": "{{steps.login.body.site}}",
            "odd": {"value": "{{steps.login.body.odd}}", "pattern": "[a-z]+"},
            "gone": "{{steps.login.body.gone}}",
        },
        place=[{"in": "cookie", "param": "sid", "value": "{{grant.sid}}"}, {"in": "query", "param": "t", "value": "{{grant.token}}"}],
    )
    started = reply(b"", 200, "text/html", ("X-CSRF", "c-1"), ("Set-Cookie", "sid=s-1; Path=/; HttpOnly"), ("Set-Cookie", "other=2"))
    done = reply(b"auth=t-1&until=2026-11-25T13:00:00Z&site=eu&odd=X1", 200, "application/x-www-form-urlencoded")
    (first, second), grant = taken(told, started, done)
    assert (first.url, first.body) == ("https://a.example.com/start?u=ada", None)
    assert second.url == "https://a.example.com/login?v=2&x=1"
    assert (second.header("X-Csrf"), second.header("Cookie")) == ("c-1", "sid=s-1")
    assert [name for name, _value in second.headers].count("Content-Type") == 1
    assert grant.values == {"token": "t-1", "sid": "s-1"}
    assert grant.learned == {"site": "eu"}
    assert grant.expires_at == NOW.timestamp() + 3600
    signed = told.sign(REQUEST, USER | grant.values, MOMENT)
    assert (signed.header("Cookie"), signed.url) == ("sid=s-1", "https://api.example.com/things?t=t-1")
    assert (told.learns, told.learn_pattern("odd"), told.learn_pattern("site")) == ({"site", "odd", "gone"}, "[a-z]+", None)


def test_a_step_in_xml():
    told = session(
        steps=[
            LOGIN
            | {
                "encoding": "xml",
                "decode": "xml",
                "body": {"login": {"user": "{{connection.user}}", "password": "{{connection.password}}"}},
            }
        ],
        keep={"token": "{{steps.login.body.response.sessionid}}"},
    )
    (asked,), grant = taken(
        told, reply(b"<response><sessionid>t-1</sessionid></response>", 200, "text/xml"), material=USER | {"password": "a<b&c"}
    )
    assert b"<password>a&lt;b&amp;c</password>" in asked.body
    assert grant.values == {"token": "t-1"}


def test_a_step_with_a_token_that_is_signed_for_it():
    told = session(
        jwt={"algorithm": "HS256", "key": "{{connection.password}}", "claims": {"iss": "{{connection.user}}"}},
        steps=[
            {
                "save": "login",
                "url": "https://a.example.com/login",
                "headers": {"Authorization": "Bearer {{jwt}}"},
                "body": "{{connection.gone}}",
            }
        ],
    )
    (asked,), _grant = taken(told, reply({"data": {"token": 123}}))
    assert asked.header("Authorization").count(".") == 2
    assert asked.body == b"{}"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply({"message": "Wrong password"}, 401), "Wrong password"),
        (reply({"fault": {"why": "Locked"}}, 403), "Locked"),
        (reply({"fault": {"why": "Locked"}}), "Locked"),
        (reply({"data": {"token": ""}, "message": "No"}), "No"),
        (reply({"data": {"token": ["t"]}}), None),
        (reply(b"<html>"), None),
        (reply(b"down", 502, "text/plain"), None),
    ],
)
def test_an_answer_that_leads_to_no_session_is_a_refusal(answer, message):
    asking = session(steps=[LOGIN | {"message": "fault.why"}]).obtain(USER, MOMENT)
    next(asking)
    with pytest.raises(ExchangeRefused) as refused:
        asking.send(answer)
    assert refused.value.message == message


def test_a_connection_without_its_session_signs_nothing():
    with pytest.raises(RenderFault, match="no session"):
        session().sign(REQUEST, USER, MOMENT)
    assert session().pretended() == {"token": "[secret]"}
    assert session().exchanges


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"keep": {"token": "{{steps.other.body}}"}}, "steps.other"),
        ({"steps": [LOGIN | {"body": {"x": "{{steps.login.body.y}}"}}]}, "steps.login"),
        ({"steps": [LOGIN, LOGIN]}, "two steps"),
        ({"place": [{"in": "header", "param": "X", "value": "{{grant.gone}}"}]}, "grant.gone"),
        ({"place": [{"in": "header", "param": "X", "value": "{{steps.login.body}}"}]}, "steps.login"),
        ({"steps": [LOGIN | {"headers": {"X": "{{jwt}}"}}]}, "needs a jwt"),
        ({"learn": {"a": "{{grant.token}}"}}, "grant.token"),
    ],
)
def test_a_template_that_reads_what_is_not_there_is_refused_with_the_file(keys, message):
    with pytest.raises(ValidationError, match=message):
        session(**keys)
