"""What a partner says of itself: where it is asked for, and how little of it is believed."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from polyport.engine import caller as callers
from polyport.engine.caller import Documents
from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import ExchangeUnreadable, Moment, moved
from polyport.kinds.auth.discovery import Endpoints, find_endpoints, is_document
from polyport.net.message import Reply, Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
ISSUER = "https://login.example.com"
GOOD = {"issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorize", "token_endpoint": "https://tokens.example.net/token"}


def reply(status=200, **body):
    return Reply(status=status, headers=(("content-type", "application/json"),), body=json.dumps(body).encode())


def finding(answer, issuer=ISSUER, replaced=None):
    """What is made of an answer, and the requests before it."""
    asking = find_endpoints(issuer, replaced)
    asked = [next(asking)]
    answers = answer if isinstance(answer, list) else [answer]
    try:
        for each in answers:
            asked.append(asking.send(each))  # noqa: PERF401  what ends the generator would end an extend in silence
    except StopIteration as done:
        return done.value, asked
    raise AssertionError("another answer is wanted")


def test_a_document_tells_where_the_partner_is_asked():
    found, (request,) = finding(reply(**GOOD, authorization_response_iss_parameter_supported=True))
    assert (request.method, request.url, request.follow_redirects) == ("GET", f"{ISSUER}/.well-known/openid-configuration", False)
    assert found == Endpoints(
        authorize=f"{ISSUER}/authorize",
        token="https://tokens.example.net/token",
        refresh="https://tokens.example.net/token",
        issuer=ISSUER,
        names_issuer=True,
    )
    assert is_document(request)
    assert not is_document(Request(method="POST", url=request.url))
    assert not is_document(Request(method="GET", url=f"{ISSUER}/me"))


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (ISSUER, [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/.well-known/oauth-authorization-server"]),
        (f"{ISSUER}/", [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/.well-known/oauth-authorization-server"]),
        (
            f"{ISSUER}/tenant/1",
            [f"{ISSUER}/tenant/1/.well-known/openid-configuration", f"{ISSUER}/.well-known/oauth-authorization-server/tenant/1"],
        ),
    ],
)
def test_a_document_that_is_not_there_is_looked_for_by_the_other_standard(issuer, urls):
    found, asked = finding([reply(404), reply(**GOOD | {"issuer": issuer})], issuer)
    assert [request.url for request in asked] == urls
    assert (found.issuer, found.names_issuer) == (issuer, False)


def test_where_the_operator_put_another_address_everything_has_to_be_there():
    here = "http://127.0.0.1:9000"
    document = {"issuer": f"{here}/t", "authorization_endpoint": f"{here}/a", "token_endpoint": f"{here}/b"}
    found, (request,) = finding(reply(**document), f"{ISSUER}/t", here + "/")
    assert request.url == f"{here}/t/.well-known/openid-configuration"
    assert (found.authorize, found.token, found.issuer) == (f"{here}/a", f"{here}/b", f"{here}/t")
    with pytest.raises(ExchangeUnreadable, match="token_endpoint"):
        finding(reply(**document | {"token_endpoint": GOOD["token_endpoint"]}), f"{ISSUER}/t", here)
    assert moved("https://a.example.com/x?y=1", here) == f"{here}/x?y=1"


@pytest.mark.parametrize(
    "answer",
    [
        reply(500),
        reply(301),
        reply(204),
        Reply(status=200, body=b"<html>"),
        Reply(status=200, body=b"[]"),
        Reply(status=200, body=b'"text"'),
        Reply(status=200, body=b"[" * 100_000),
        reply(**GOOD | {"issuer": f"{ISSUER}/"}),
        reply(**GOOD | {"issuer": [ISSUER]}),
        reply(authorization_endpoint="x"),
        reply(issuer=ISSUER, authorization_endpoint=f"{ISSUER}/a"),
        [reply(404), reply(404)],
    ],
    ids=str,
)
def test_what_is_no_document_of_this_issuer_is_not_believed(answer):
    with pytest.raises(ExchangeUnreadable) as caught:
        finding(answer)
    assert "sign in" in caught.value.message
    assert caught.value.reply.status


@pytest.mark.parametrize(
    "url",
    [
        "http://login.example.com/a",
        "javascript:alert(1)",
        "data:text/html,x",
        "//login.example.com/a",
        "/a",
        "",
        "https://",
        "https://localhost/a",
        "https://login/a",
        "https://127.0.0.1/a",
        "https://2130706433/a",
        "https://0x7f.1/a",
        "https://[::1]/a",
        "https://[/a",
        "https://login.example.com:port/a",
        "https://login.example.com:99999/a",
        "https://a@login.example.com/a",
        "https://login.example.com\\@evil.example.com/a",
        "https://login.example.com/a#b",
        "https://login.example.com/a b",
        "https://login.example.com/\n",
        "https://login.example.com/é",
        "https://lógin.example.com/",
        "https://login.internal/a",
        "https://printer.local/a",
        "https://x.localhost/a",
        "https://login..example.com/a",
        "https://login.example.com/" + "x" * 2_000,
        5,
        True,
        ["https://login.example.com/a"],
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_an_endpoint_that_is_none_is_refused(name, url):
    with pytest.raises(ExchangeUnreadable, match=name):
        finding(reply(**GOOD | {name: url}))


@pytest.mark.parametrize(
    "url", ["https://login.example.com:8443/a?b=c", "https://login.example.com./a", "https://xn--lgin-6qa.example.com/"]
)
def test_an_endpoint_of_the_usual_kind_is_taken(url):
    assert finding(reply(**GOOD | {"token_endpoint": url}))[0].token == url


# In a scheme


def scheme(**keys):
    return SCHEME.validate_python({"kind": "oauth2"} | keys)


def drive(asking, *answers):
    """The requests of a generator, and what it gives in the end."""
    asked = [next(asking)]
    try:
        for answer in answers:
            asked.append(asking.send(answer))  # noqa: PERF401  as above
    except StopIteration as done:
        return asked, done.value
    raise AssertionError("another answer is wanted")


APP = {"client_id": "id-1", "client_secret": "a-secret", "refresh_token": "r-1", "tenant": "acme"}


def test_an_issuer_stands_in_place_of_addresses():
    told = scheme(issuer="https://{{connection.tenant}}.example.com")
    document = reply(**GOOD | {"issuer": "https://acme.example.com"})
    asked, grant = drive(told.exchange_code(APP, Moment(now=NOW), code="c", redirect_uri="u"), document, reply(access_token="t"))
    assert [request.url for request in asked] == ["https://acme.example.com/.well-known/openid-configuration", GOOD["token_endpoint"]]
    assert grant.values == {"access_token": "t"}
    asked, _grant = drive(told.refresh(APP, Moment(now=NOW)), document, reply(access_token="t"))
    assert asked[-1].url == GOOD["token_endpoint"]
    (first,), endpoints = drive(told.endpoints(APP, Moment(now=NOW)), document)
    assert is_document(first)
    assert told.authorization_url(APP, endpoints, redirect_uri="u", state="s").startswith(f"{ISSUER}/authorize?response_type=code&")


def test_an_address_that_is_spelled_out_wins_and_with_all_of_them_nothing_is_asked():
    told = scheme(issuer=ISSUER, tokenUrl="https://a.example.com/t", refreshUrl="https://a.example.com/r")
    _asked, endpoints = drive(told.endpoints(APP, Moment(now=NOW)), reply(**GOOD))
    assert endpoints == Endpoints(
        authorize=f"{ISSUER}/authorize", token="https://a.example.com/t", refresh="https://a.example.com/r", issuer=ISSUER
    )
    whole = scheme(issuer=ISSUER, tokenUrl="https://a.example.com/t", authorizeUrl="https://a.example.com/a")
    with pytest.raises(StopIteration) as done:
        next(whole.endpoints(APP, Moment(now=NOW, replaced="http://127.0.0.1:1")))
    assert done.value.value == Endpoints(
        authorize="http://127.0.0.1:1/a", token="http://127.0.0.1:1/t", refresh="http://127.0.0.1:1/t", issuer="http://127.0.0.1:1"
    )


def test_a_partner_that_does_not_say_where_customers_sign_in_is_no_use():
    _asked, endpoints = drive(scheme(issuer=ISSUER).endpoints(APP, Moment(now=NOW)), reply(**GOOD | {"authorization_endpoint": None}))
    with pytest.raises(RenderFault, match="where customers sign in"):
        scheme(issuer=ISSUER).authorization_url(APP, endpoints, redirect_uri="u", state="s")


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"tokenUrl": "https://a.example.com/t"},
        {"authorizeUrl": "https://a.example.com/a"},
        {"grant": "client_credentials"},
        {"grant": "client_credentials", "issuer": ISSUER, "authorizeUrl": "https://a.example.com/a"},
        {"issuer": "http://login.example.com"},
        {"issuer": "https://login.example.com/?a=1"},
    ],
    ids=str,
)
def test_addresses_that_are_missing_or_too_many_are_refused(keys):
    with pytest.raises(ValidationError):
        scheme(**keys)


# What is kept


def test_documents_are_kept_for_an_hour_and_their_absence_for_five_minutes(monkeypatch):
    held = Documents()
    assert held.get("a", NOW) is None
    held.keep("a", reply(**GOOD), NOW)
    held.keep("b", reply(404), NOW)
    held.keep("c", reply(500), NOW)
    later = NOW + timedelta(minutes=6)
    assert held.get("a", later) == reply(**GOOD)
    assert [held.get(url, later) for url in "bc"] == [None, None]
    assert held.get("b", NOW) == reply(404)
    assert held.get("a", NOW + timedelta(hours=1)) is None
    assert held.get("a", NOW - timedelta(minutes=1)) is None, "a clock that was set back keeps nothing longer"
    held.drop("a")
    held.drop("never")
    assert held.get("a", NOW) is None
    monkeypatch.setattr(callers, "DOCUMENTS_MOST", 1)
    held.keep("d", reply(**GOOD), NOW)
    held.keep("e", reply(**GOOD), NOW)
    assert [held.get(url, NOW) is None for url in "bde"] == [True, True, False]
