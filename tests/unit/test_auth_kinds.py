"""Auth kinds: what proves a connection, and that it stays in its slot and out of sight."""

import base64
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import Moment, SchemeBase
from polyport.net.message import Request, Stream
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
MOMENT = Moment(now=datetime(2026, 11, 25, 12, tzinfo=UTC), fresh_id=lambda: "id-1")
REQUEST = Request(method="GET", url="https://api.example.com/things?a=1")


def signed(connection, request=REQUEST, **keys):
    requests = list(_flow(SCHEME.validate_python(keys).flow(request, connection, MOMENT)))
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


def test_a_bearer_token_may_have_another_word_in_front_or_none():
    told = {"kind": "bearer", "token": "{{connection.token}}"}
    assert signed({"token": "t-123456"}, **told, prefix="Token").header("Authorization") == "Token t-123456"
    assert signed({"token": "t-123456"}, **told, prefix="").header("Authorization") == "t-123456"


# Values in bodies and paths, and several at once

JSON = (("Content-Type", "application/json"),)
IN_BODY = {"kind": "api_key", "in": "body", "param": "api_key", "value": "{{connection.key}}"}
IN_PATH = {"kind": "api_key", "in": "path", "param": ":token", "value": "{{connection.key}}"}


def posted(body=None, kind=None):
    headers = (("Content-Type", kind),) if kind else ()
    return Request(method="POST", url="https://api.example.com/bot:token/send?x=:token", headers=headers, body=body)


def test_a_key_joins_a_json_body_and_numbers_keep_their_digits():
    found = signed({"key": "k-123456"}, posted(b'{"a":1.10,"api_key":"old"}', "application/json; charset=utf-8"), **IN_BODY)
    assert found.body == b'{"a":1.10,"api_key":"k-123456"}'
    assert "k-123456" in found.secrets


def test_a_key_makes_the_body_of_a_call_that_has_none():
    found = signed({"key": "k-1"}, posted(), **IN_BODY)
    assert (found.body, found.header("content-type")) == (b'{"api_key":"k-1"}', "application/json")


def test_a_key_joins_a_form_encoded():
    assert signed({"key": "a&b=c d"}, posted(b"x=1", "application/x-www-form-urlencoded"), **IN_BODY).body == b"x=1&api_key=a%26b%3Dc+d"
    assert signed({"key": "k"}, posted(b"", "application/x-www-form-urlencoded"), **IN_BODY).body == b"api_key=k"


MULTIPART = 'multipart/form-data; boundary="b-1"'


def test_a_key_is_one_more_part_of_a_body_of_parts():
    found = signed({"key": "k-123456"}, posted(b"--b-1--\r\n", MULTIPART), **IN_BODY)

    assert found.body == b'--b-1\r\nContent-Disposition: form-data; name="api_key"\r\n\r\nk-123456\r\n--b-1--\r\n'
    assert "k-123456" in found.secrets
    assert signed({"key": "k"}, posted(None, MULTIPART), **IN_BODY).body.startswith(b"--b-1\r\n")


def test_a_key_goes_before_a_body_that_is_read_while_it_is_sent():
    streamed = replace(posted(None, MULTIPART), stream=Stream((b"--b-1--\r\n",)))

    found = signed({"key": "k-123456"}, streamed, **IN_BODY)

    assert found.body is None
    assert found.stream.shown.endswith(b"k-123456\r\n--b-1--\r\n")


def test_a_key_as_a_parameter_stands_in_the_query_of_what_reads_and_in_the_body_of_everything_else():
    told = {**IN_BODY, "in": "parameter"}

    assert signed({"key": "k&1"}, Request(method="GET", url="https://api.example.com/x?a=1"), **told).url.endswith("/x?a=1&api_key=k%261")
    assert signed({"key": "k"}, posted(b"x=1", "application/x-www-form-urlencoded"), **told).body == b"x=1&api_key=k"


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        posted(b"--b--", "multipart/form-data"),
        replace(posted(None, "application/json"), stream=Stream((b"{}",))),
        posted(b"[1]", "application/json"),
        posted(b"x", "text/plain"),
        posted(b"<a/>", "application/xml"),
    ],
)
def test_a_key_in_the_body_needs_an_object_or_a_form(request_):
    with pytest.raises(RenderFault, match="body"):
        signed({"key": "k"}, request_, **IN_BODY)


def test_a_key_takes_the_place_of_its_marker_in_the_path_alone():
    found = signed({"key": "123:ABC/d?e#f"}, posted(), **IN_PATH)
    assert found.url == "https://api.example.com/bot123:ABC%2Fd%3Fe%23f/send?x=:token"
    assert {"123:ABC/d?e#f", "123:ABC%2Fd%3Fe%23f"} <= found.secrets


def test_a_call_without_the_marker_is_not_sent_without_the_key():
    with pytest.raises(RenderFault, match='no ":token"'):
        signed({"key": "k"}, **IN_PATH)


@pytest.mark.parametrize("key", ["..", ".", ""])
def test_a_key_cannot_climb_out_of_its_segment(key):
    request = Request(method="GET", url="https://api.example.com/:token/me")
    with pytest.raises(RenderFault, match="path"):
        signed({"key": key}, request, **IN_PATH)


@pytest.mark.parametrize("param", ["token", ":", ":a/b", "{{connection.key}}"])
def test_a_marker_is_a_colon_and_a_word(param):
    with pytest.raises(ValidationError, match="marker"):
        SCHEME.validate_python(IN_PATH | {"param": param})


def test_several_values_go_with_each_request_and_constants_are_no_secrets():
    also = [
        {"in": "query", "param": "app", "value": "{{connection.app}}"},
        {"in": "cookie", "param": "a", "value": "1"},
        {"in": "cookie", "param": "b", "value": "2"},
    ]
    told = {"kind": "api_key", "in": "header", "param": "X-Key", "value": "{{connection.key}}", "also": also}
    found = signed({"key": "k-1", "app": "a-1"}, **told)
    assert (found.header("X-Key"), found.url, found.header("Cookie")) == ("k-1", REQUEST.url + "&app=a-1", "a=1; b=2")
    assert found.secrets == {"k-1", "a-1"}


def test_a_key_goes_along_with_a_token_and_with_user_and_password():
    also = [{"in": "header", "param": "X-Key", "value": "{{connection.key}}"}]
    for told in ({"kind": "bearer", "token": "t-1"}, {"kind": "basic", "username": "u-1", "password": "p-1"}):
        found = signed({"key": "k-1"}, **told, also=also)
        assert found.header("X-Key") == "k-1"
        assert (found.header("Authorization") or "").startswith(("Bearer t-1", "Basic dS0xOnAtMQ=="))
        assert "k-1" in found.secrets


OAUTH = {"kind": "oauth2", "authorize_url": "https://example.com/a", "token_url": "https://example.com/t"}


def test_oauth2_signs_with_the_access_token():
    found = signed({"access_token": "t-123456"}, **OAUTH, prefix="OAuth")
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


def test_every_kind_signs_in_a_way_of_its_own():
    assert all("sign" in vars(kind) for kind in SchemeBase.__subclasses__())


def test_a_kind_without_an_exchange_needs_supplies_and_learns_nothing():
    told = SCHEME.validate_python({"kind": "none"})
    assert (told.exchanges, told.by_link_only) == (False, False)
    assert (told.supplied, told.needed, told.learns, told.learn_pattern("x"), told.pretended()) == (
        frozenset(),
        frozenset(),
        frozenset(),
        None,
        {},
    )
