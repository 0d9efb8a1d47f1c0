"""Auth kinds: what proves a connection, and that it stays in its slot and out of sight."""

import base64

import pytest
from pydantic import TypeAdapter, ValidationError

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import SchemeBase
from polyport.net.message import Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
REQUEST = Request(method="GET", url="https://api.example.com/things?a=1")


def signed(connection, request=REQUEST, **keys):
    requests = list(_flow(SCHEME.validate_python(keys).flow(request, connection)))
    assert len(requests) == 1
    return requests[0]


def _flow(flow):
    yield from flow


def test_no_authorisation_leaves_the_request_as_it_is():
    assert signed({}, kind="none") is REQUEST


def test_a_key_in_a_header_may_have_a_prefix():
    found = signed({"key": "k-123456"}, kind="api_key", **{"in": "header"}, param="Authorization", value="Token {{connection.key}}")
    assert found.header("authorization") == "Token k-123456"
    assert "Token k-123456" in found.secrets


def test_a_key_in_the_query_is_encoded():
    told = {"kind": "api_key", "in": "query", "param": "api key", "value": "{{connection.key}}"}
    assert signed({"key": "a&b=c#d"}, **told).url == "https://api.example.com/things?a=1&api%20key=a%26b%3Dc%23d"
    bare = Request(method="GET", url="https://api.example.com/things")
    assert signed({"key": "k"}, bare, **told).url == "https://api.example.com/things?api%20key=k"


def test_a_key_in_a_cookie():
    told = {"kind": "api_key", "in": "cookie", "param": "session", "value": "{{connection.key}}"}
    assert signed({"key": "k-1"}, **told).header("Cookie") == "session=k-1"


@pytest.mark.parametrize("key", ["a; admin=1", "a,b", "a b", 'a"'])
def test_a_key_cannot_leave_its_cookie(key):
    told = {"kind": "api_key", "in": "cookie", "param": "session", "value": "{{connection.key}}"}
    with pytest.raises(RenderFault, match="cookie"):
        signed({"key": key}, **told)
    with pytest.raises(RenderFault, match="cookie"):
        signed({"key": "a=b"}, **(told | {"param": "{{connection.key}}"}))


def test_a_bearer_token():
    found = signed({"token": "t-123456"}, kind="bearer", token="{{connection.token}}")
    assert found.header("Authorization") == "Bearer t-123456"
    assert found.secrets == {"t-123456"}


def test_a_scheme_replaces_a_header_that_the_call_set():
    request = REQUEST.with_header("authorization", "Bearer mine")
    found = signed({"token": "t-123456"}, request, kind="bearer", token="{{connection.token}}")
    assert [value for name, value in found.headers if name.lower() == "authorization"] == ["Bearer t-123456"]


def test_user_and_password_in_base64_and_both_masked():
    found = signed({"u": "ada", "p": "p:ässword"}, kind="basic", username="{{connection.u}}", password="{{connection.p}}")
    pair = base64.b64encode("ada:p:ässword".encode()).decode()
    assert found.header("Authorization") == f"Basic {pair}"
    assert {"p:ässword", pair} <= found.secrets


def test_a_key_may_be_the_user_with_no_password():
    found = signed({"key": "k-1"}, kind="basic", username="{{connection.key}}")
    assert found.header("Authorization") == "Basic " + base64.b64encode(b"k-1:").decode()


def test_a_user_with_a_colon_is_refused():
    with pytest.raises(RenderFault, match="no colon"):
        signed({"u": "a:b"}, kind="basic", username="{{connection.u}}")


OAUTH = {"kind": "oauth2", "authorize_url": "https://example.com/a", "token_url": "https://example.com/t"}


def test_oauth2_signs_with_the_access_token():
    found = signed({"access_token": "t-123456"}, **OAUTH, header_prefix="OAuth")
    assert found.header("Authorization") == "OAuth t-123456"
    assert found.secrets == {"t-123456"}


@pytest.mark.parametrize("connection", [{}, {"access_token": ""}, {"access_token": None}, {"access_token": 5}])
def test_oauth2_without_a_token_says_so(connection):
    with pytest.raises(RenderFault, match="no access token"):
        signed(connection, **OAUTH)


@pytest.mark.parametrize("url", ["http://example.com/t", "ftp://x", ""])
def test_oauth2_endpoints_are_https(url):
    with pytest.raises(ValidationError):
        SCHEME.validate_python(OAUTH | {"token_url": url})


@pytest.mark.parametrize("connection", [{}, {"token": None}])
def test_a_connection_that_lacks_a_field_says_so(connection):
    with pytest.raises(RenderFault, match="lacks a field"):
        signed(connection, kind="bearer", token="{{connection.token}}")


def test_a_template_that_cannot_be_compiled_is_refused_when_the_file_is_read():
    with pytest.raises(ValidationError, match="not closed"):
        SCHEME.validate_python({"kind": "bearer", "token": "{{connection.token"})


@pytest.mark.parametrize("told", [{"kind": "magic"}, {"kind": "bearer", "token": "x", "extra": 1}, {"kind": "api_key", "in": "body"}])
def test_unknown_kinds_and_keys_are_refused(told):
    with pytest.raises(ValidationError):
        SCHEME.validate_python(told)


def test_every_kind_has_a_flow_of_its_own():
    assert all("flow" in vars(kind) for kind in SchemeBase.__subclasses__())
