"""OAuth2: what is asked of the partner, and what is made of its answers."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pydantic import TypeAdapter, ValidationError

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import ExchangeRefused, Moment
from polyport.kinds.auth.discovery import Endpoints
from polyport.kinds.auth.oauth2 import challenge_of
from polyport.net.message import Reply, Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MOMENT = Moment(now=NOW, fresh_id=lambda: "id-1")
REQUEST = Request(method="GET", url="https://api.example.com/things")
APP = {"client_id": "id-1", "client_secret": "se:cret/1", "username": "ada", "password": "pass word", "refresh_token": "r-1"}
CODE = {"kind": "oauth2", "authorizeUrl": "https://login.example.com/authorize", "tokenUrl": "https://login.example.com/token"}

WHERE = Endpoints(authorize="https://login.example.com/authorize", token="https://login.example.com/token", refresh="")


def scheme(**keys):
    return SCHEME.validate_python({"kind": "oauth2", "grant": "client_credentials", "tokenUrl": "https://login.example.com/token"} | keys)


def answered(asking, reply):
    """The request of a generator with one step, and the grant that it makes of the answer."""
    request = next(asking)
    with pytest.raises(StopIteration) as done:
        asking.send(reply)
    return request, done.value.value


def reply(status=200, kind="application/json", **body):
    return Reply(status=status, headers=(("content-type", kind),), body=json.dumps(body).encode())


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def grant_of(answer, **keys):
    return answered(scheme(**keys).obtain(APP, MOMENT), answer)[1]


def test_client_credentials_with_the_client_in_the_body():
    told = scheme(scopes=["a", "b"], separator=",", tokenParams={"audience": "https://{{connection.client_id}}"})
    request, grant = answered(told.obtain(APP, MOMENT), reply(access_token="t-1", expires_in=60))
    assert (request.method, request.url, request.follow_redirects) == ("POST", "https://login.example.com/token", False)
    assert form(request) == {
        "grant_type": "client_credentials",
        "scope": "a,b",
        "client_id": "id-1",
        "client_secret": "se:cret/1",
        "audience": "https://id-1",
    }
    assert (grant.values, grant.expires_at) == ({"access_token": "t-1"}, NOW.timestamp() + 60)
    assert "se:cret/1" in request.secrets
    assert "t-1" not in repr(grant)


def test_client_credentials_with_basic_and_json():
    request, _grant = answered(scheme(clientAuth="basic", body="json").obtain(APP, MOMENT), reply(access_token="t"))
    pair = base64.b64encode(b"id-1:se:cret/1").decode()
    assert request.header("authorization") == f"Basic {pair}"
    assert (request.header("content-type"), json.loads(request.body)) == ("application/json", {"grant_type": "client_credentials"})
    assert pair in request.secrets


def test_a_client_that_only_names_itself():
    request, _grant = answered(scheme(clientAuth="none").obtain({"client_id": "id-1"}, MOMENT), reply(access_token="t"))
    assert form(request) == {"grant_type": "client_credentials", "client_id": "id-1"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_client_that_signs_for_itself(algorithm):
    private = rsa.generate_private_key(65537, 2048) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    told = scheme(clientAuth="private_key_jwt", algorithm=algorithm, keyId="{{connection.kid}}")
    request, _grant = answered(told.obtain({"client_id": "id-1", "private_key": pem, "kid": "k-1"}, MOMENT), reply(access_token="t"))
    found = form(request)
    key = (RSAKey if algorithm == "RS256" else ECKey).import_key(pem)
    token = jwt.decode(found["client_assertion"], key, algorithms=[algorithm])
    assert token.header == {"alg": algorithm, "typ": "JWT", "kid": "k-1"}
    assert token.claims == {
        "iss": "id-1",
        "sub": "id-1",
        "aud": "https://login.example.com/token",
        "jti": "id-1",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 300,
    }
    assert found["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert found["client_assertion"] in request.secrets


def test_an_app_that_signs_names_its_key_and_speaks_to_the_issuer_where_there_is_one():
    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    told = SCHEME.validate_python(CODE | {"clientAuth": "private_key_jwt", "issuer": "https://login.example.com"})
    for more, header in (({"key_id": "k-9"}, {"kid": "k-9"}), ({}, {})):
        material = {"client_id": "id-1", "private_key": pem, **more}
        request, _grant = answered(told.exchange_code(material, MOMENT, code="c", redirect_uri="u"), reply(access_token="t"))
        token = jwt.decode(form(request)["client_assertion"], RSAKey.import_key(pem))
        assert (token.header, token.claims["aud"]) == ({"alg": "RS256", "typ": "JWT", **header}, "https://login.example.com")


@pytest.mark.parametrize("key", ["no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "\ud800"])
def test_a_key_that_cannot_sign_is_told_and_never_repeated(key):
    with pytest.raises(RenderFault, match="PEM") as fault:
        next(scheme(clientAuth="private_key_jwt").obtain({"client_id": "i", "private_key": key}, MOMENT))
    assert key not in str(fault.value)


def test_a_public_key_does_not_sign():
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(RenderFault, match="private key"):
        next(scheme(clientAuth="private_key_jwt").obtain({"client_id": "i", "private_key": pem.replace("\n", "\\n")}, MOMENT))


def test_the_password_grant():
    told = scheme(grant="password", username="{{connection.username}}@acme", clientId="fixed-client", clientAuth="none")
    request, _grant = answered(told.obtain(APP, MOMENT), reply(access_token="t"))
    assert form(request) == {"grant_type": "password", "username": "ada@acme", "password": "pass word", "client_id": "fixed-client"}
    assert "pass word" in request.secrets


def test_a_refresh_token_that_was_pasted():
    told = scheme(grant="refresh_only", refreshUrl="https://login.example.com/refresh", refreshParams={"x": "1"})
    request, grant = answered(told.obtain(APP, MOMENT), reply(access_token="t"))
    assert request.url == "https://login.example.com/refresh"
    assert form(request) == {
        "grant_type": "refresh_token",
        "refresh_token": "r-1",
        "client_id": "id-1",
        "client_secret": "se:cret/1",
        "x": "1",
    }
    assert grant.values == {"access_token": "t", "refresh_token": "r-1"}


def test_a_rotated_refresh_token_takes_the_place_of_the_old_one():
    told = SCHEME.validate_python(CODE | {"rotates": True})
    _request, grant = answered(told.obtain(APP, MOMENT), reply(access_token="t", refresh_token="r-2"))
    assert grant.values == {"access_token": "t", "refresh_token": "r-2"}


def test_a_sign_in_begins_at_the_partner_with_a_digest_of_the_verifier():
    told = SCHEME.validate_python(CODE | {"scopes": ["a b", "c"], "authorizeParams": {"access_type": "offline"}})
    url = told.authorization_url(APP, WHERE, redirect_uri="https://me.example.com/back?x=1", state="s&1", verifier="v" * 43)
    assert url.startswith("https://login.example.com/authorize?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "response_type": "code",
        "client_id": "id-1",
        "redirect_uri": "https://me.example.com/back?x=1",
        "state": "s&1",
        "scope": "a b c",
        "code_challenge": challenge_of("v" * 43),
        "code_challenge_method": "S256",
        "access_type": "offline",
    }


def test_a_sign_in_without_proof_or_scopes_and_with_a_query_in_its_address():
    told = SCHEME.validate_python(CODE | {"pkce": False})
    where = replace(WHERE, authorize="https://login.example.com/o?v=2")
    assert told.authorization_url(APP, where, redirect_uri="u", state="s", verifier="v" * 43, scopes=["x"]).partition("?")[2] == (
        "v=2&response_type=code&client_id=id-1&redirect_uri=u&state=s&scope=x"
    )
    assert "scope" not in told.authorization_url(APP, WHERE, redirect_uri="u", state="s")


def test_the_published_example_of_a_challenge():
    # RFC 7636, appendix B
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("pkce", [True, False])
def test_the_code_that_comes_back_is_exchanged(pkce):
    told = SCHEME.validate_python(CODE | {"pkce": pkce})
    asking = told.exchange_code(APP, MOMENT, code="c-1", redirect_uri="u", verifier="v-1")
    request, grant = answered(asking, reply(access_token="t", refresh_token="r"))
    proof = {"code_verifier": "v-1"} if pkce else {}
    assert form(request) == {
        "grant_type": "authorization_code",
        "code": "c-1",
        "redirect_uri": "u",
        **proof,
        "client_id": "id-1",
        "client_secret": "se:cret/1",
    }
    assert {"c-1", *proof.values()} <= request.secrets
    assert grant.values == {"access_token": "t", "refresh_token": "r"}


@pytest.mark.parametrize(
    ("unit", "told", "seconds"),
    [
        ("seconds", 3600, 3600),
        ("seconds", "3600", 3600),
        ("milliseconds", 90_000, 90),
        ("unix", int(NOW.timestamp()) + 30, 30),
        ("unix_ms", int(NOW.timestamp()) * 1000 + 30_000, 30),
        ("iso8601", "2026-11-25T12:00:40Z", 40),
    ],
)
def test_the_end_of_a_token_in_every_unit(unit, told, seconds):
    assert grant_of(reply(access_token="t", expires_in=told), expiresUnit=unit).expires_at == NOW.timestamp() + seconds


@pytest.mark.parametrize("told", ["soon", None, True, [1], 10**30, -(10**12), "1e400", 10**12])
def test_an_end_that_makes_no_sense_is_none(told):
    assert grant_of(reply(access_token="t", expires_in=told)).expires_at is None
    assert grant_of(reply(access_token="t", expires_in=told), lifetime=100).expires_at == NOW.timestamp() + 100


def test_a_date_that_is_none_is_none():
    assert grant_of(reply(access_token="t", expires_in="tomorrow"), expiresUnit="iso8601").expires_at is None


def test_an_answer_may_have_other_names_and_teach_something():
    told = {
        "accessToken": "data.token",
        "refreshToken": "data.next",
        "expiresIn": ["ttl.s"],
        "learn": {"site": "data.site", "gone": "data.gone", "odd": {"at": "data.odd", "pattern": "[a-z]+"}},
    }
    found = grant_of(reply(data={"token": "t", "next": "r", "site": "https://a.example.com", "odd": "A1"}, **{"ttl.s": 5}), **told)
    assert found.values == {"access_token": "t", "refresh_token": "r"}
    assert found.learned == {"site": "https://a.example.com"}
    assert found.expires_at == NOW.timestamp() + 5


def test_an_answer_may_be_a_form():
    for kind in ("application/x-www-form-urlencoded", "text/plain"):
        answer = Reply(status=200, headers=(("content-type", kind),), body=b"access_token=t-1&expires_in=7")
        assert grant_of(answer).values == {"access_token": "t-1"}
    assert (
        grant_of(Reply(status=200, headers=(("content-type", "text/html"),), body=b' {"access_token": "t-2"}')).values["access_token"]
        == "t-2"
    )


@pytest.mark.parametrize(
    ("answer", "message", "code"),
    [
        (reply(400, error="invalid_grant", error_description="It has expired."), "It has expired.", "invalid_grant"),
        (reply(200, ok=False, error="bad"), "bad", "bad"),
        (reply(200, error={"message": "No.", "code": 5}), "No.", None),
        (reply(500), None, None),
        (reply(200, access_token=["t"]), None, None),
        (reply(200, access_token="x" * 70_000), None, None),
        (Reply(status=200, body=b'{"access_token": 1' + b"0" * 4299 + b"}"), None, None),
        (Reply(status=200, body=b"<html>"), None, None),
    ],
)
def test_an_answer_without_a_token_is_a_refusal_in_the_partners_words(answer, message, code):
    asking = scheme().obtain(APP, MOMENT)
    next(asking)
    with pytest.raises(ExchangeRefused) as refused:
        asking.send(answer)
    assert (refused.value.message, refused.value.code, refused.value.reply) == (message, code, answer)


def test_a_flow_is_the_exchange_and_then_the_signed_request():
    flow = scheme().flow(REQUEST, APP, MOMENT)
    assert next(flow).url == "https://login.example.com/token"
    signed = flow.send(reply(access_token="t-1"))
    assert (signed.url, signed.header("authorization")) == (REQUEST.url, "Bearer t-1")


def test_a_token_may_go_elsewhere_than_into_the_usual_header():
    told = scheme(place=[{"in": "header", "param": "X-Token", "value": "{{connection.access_token}}"}])
    signed = told.sign(REQUEST, APP | {"access_token": "t-1"}, MOMENT)
    assert (signed.header("x-token"), signed.header("authorization"), signed.secrets) == ("t-1", None, {"t-1"})
    assert scheme(prefix="").sign(REQUEST, {"access_token": "t-1"}, MOMENT).header("authorization") == "t-1"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"kind": "oauth2", "tokenUrl": "https://a.example.com/t"}, "tokenUrl is needed"),
        (CODE | {"grant": "password"}, "authorizeUrl belongs"),
        ({"kind": "oauth2", "grant": "refresh_only", "tokenUrl": "https://a.example.com/t", "rotates": True}, "rotates"),
        (CODE | {"tokenUrl": "https://a.example.com/t?x={{connection.y}}"}, "in front of the query"),
        (CODE | {"tokenUrl": "https:///t"}, "begins with https"),
        (CODE | {"learn": {"a": {"at": "b", "pattern": "("}}}, "linear-time"),
    ],
)
def test_a_scheme_that_contradicts_itself_is_refused(told, message):
    with pytest.raises(ValidationError, match=message):
        SCHEME.validate_python(told)


@pytest.mark.parametrize("tenant", ["evil.example.com/", "a@evil", "a?", "a#", "a\\b", "a b", "a\n", "a%2f", ""])
def test_a_value_cannot_leave_the_host_of_a_token_endpoint(tenant):
    told = scheme(tokenUrl="https://{{connection.tenant}}/token")
    with pytest.raises(RenderFault):
        next(told.obtain(APP | {"tenant": tenant}, MOMENT))


def test_an_address_takes_values_in_host_and_path():
    told = scheme(tokenUrl="https://{{connection.tenant}}.example.com/{{connection.org}}/token?v=1")
    request = next(told.obtain(APP | {"tenant": "acme", "org": "a/b"}, MOMENT))
    assert request.url == "https://acme.example.com/a%2Fb/token?v=1"
    with pytest.raises(RenderFault, match="lacks a field"):
        next(told.obtain(APP, MOMENT))


def test_what_a_grant_reads_without_being_told():
    assert scheme(learn={"a": {"at": "b", "pattern": "c"}}).learn_pattern("a") == "c"
    assert scheme(learn={"a": "b"}).learns == {"a"}
    assert [scheme().by_link_only, SCHEME.validate_python(CODE).by_link_only] == [False, True]
    assert scheme().needed == {"client_id", "client_secret"}
    assert scheme(clientAuth="none", clientId="x").needed == frozenset()
    assert scheme(clientAuth="private_key_jwt").needed == {"client_id", "private_key"}
    assert scheme(grant="password").needed == {"client_id", "client_secret", "username", "password"}
    assert scheme(grant="refresh_only", refreshTokenValue="{{connection.x}}").needed == {"client_id", "client_secret"}
    assert SCHEME.validate_python(CODE).needed == frozenset()
    assert {"client_id", "client_secret", "access_token"} <= SCHEME.validate_python(CODE).supplied
    assert scheme().pretended() == {"access_token": "[secret]"}
