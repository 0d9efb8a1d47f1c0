"""The exact request: values stay in their slot, a signed request on the partner's own host."""

from decimal import Decimal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polyport.engine.render import URL_LIMIT, Base, compile_call, header_value, origin_of, render_base, render_call, sound_headers
from polyport.engine.schema import build_schema
from polyport.engine.validate import compile_validator
from polyport.kinds.fields import FileValue
from polyport.manifest.model import Call
from polyport.net.message import Request
from polyport.template import RenderFault
from samples import action, field

BASE = Base(origin="https://api.example.com", prefix="/v1")
HOSTILE = [
    "a/b",
    "a?b=1",
    "a#b",
    "a&b=1",
    "a%2e%2e",
    "a\r\nX-Evil: 1",
    "a\\b",
    "é",
    "😀",
    "\u2024\u2024/",
    "\uff0f",
    "\u202e",
    "a;b",
    "//evil.com",
    "@evil.com",
    " ",
    "\x00",
]


def call(**keys):
    return Call.model_validate({"path": "/things"} | keys if "url" not in keys else keys, by_alias=True, by_name=False)


def rendered(scope=None, base=BASE, shared=None, **keys):
    return render_call(compile_call(call(**keys), shared), scope or {}, base, 10.0)


def request(scope=None, base=BASE, shared=None, **keys):
    return rendered(scope, base, shared, **keys).request


def refused(scope, words, **keys):
    with pytest.raises(RenderFault, match=words) as caught:
        rendered(scope, **keys)
    return str(caught.value)


# Address


def test_a_call_goes_to_the_base_and_its_path():
    found = rendered()
    assert found.request.url == "https://api.example.com/v1/things"
    assert found.signed


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leaves_its_path_segment(value):
    url = request({"x": value}, path="/things/{{x}}/end").url
    parts = urlsplit(url)
    assert (parts.netloc, parts.query, parts.fragment) == ("api.example.com", "", "")
    segments = parts.path.split("/")
    assert segments[:3] == ["", "v1", "things"]
    assert segments[4:] == ["end"]
    assert unquote(segments[3]) == value
    assert url.isascii()


@pytest.mark.parametrize("key", ["a][b", "[]", "a]"])
def test_a_name_inside_a_query_parameter_cannot_leave_its_brackets(key):
    refused({"x": {key: "1"}}, "has no brackets", query={"where": "{{x}}"})


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leaves_its_query_parameter(value):
    url = request({"x": value}, query={"a": "{{x}}", "b": "1"}).url
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [("a", value), ("b", "1")]
    url = request({"x": value}, query={"{{x}}": "1"}).url
    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [(value, "1")]


@pytest.mark.parametrize("value", [".", "..", "", "\ud800"])
def test_a_value_that_cannot_be_a_segment_is_refused(value):
    refused({"x": value}, "segment|empty|surrogate", path="/things/{{x}}")


@pytest.mark.parametrize("scope", [{}, {"x": None}])
def test_a_path_needs_its_values(scope):
    refused(scope, "stands in the path is missing", path="/things/{{x}}")


def test_a_path_needs_a_base():
    refused({}, "no address", base=None)


def test_a_simulator_takes_the_place_of_the_origin():
    base = Base(origin="https://api.example.com", prefix="/v1", replaced="http://127.0.0.1:9000")
    assert request(base=base).url == "http://127.0.0.1:9000/v1/things"
    assert request({"page": {"url": "https://api.example.com/v1/things?page=2"}}, base=base).url == "http://127.0.0.1:9000/v1/things?page=2"
    assert request(base=base, url="https://api.example.com/x").url == "http://127.0.0.1:9000/x"


def test_an_address_has_a_limit():
    refused({"x": "a" * URL_LIMIT}, "too long", path="/{{x}}")


# Query


@pytest.mark.parametrize(
    ("style", "query"),
    [("repeat", "a=1&a=x%2Cy"), ("comma", "a=1,x%2Cy"), ("brackets", "a[]=1&a[]=x%2Cy"), ("pipe", "a=1%7Cx%2Cy"), ("space", "a=1%20x%2Cy")],
)
def test_a_list_is_written_in_the_style_of_the_partner(style, query):
    url = request({"x": [1, None, "x,y"]}, query={"a": "{{x}}"}, queryStyle=style).url
    assert url.partition("?")[2] == query


@pytest.mark.parametrize("style", ["repeat", "comma", "brackets"])
def test_an_empty_list_leaves_no_trace_in_the_query(style):
    assert "?" not in request({"x": []}, query={"a": "{{x}}"}, queryStyle=style).url


def test_what_was_not_given_or_is_null_leaves_no_trace_in_the_query():
    assert request({"y": None}, query={"a": "{{x}}", "b": "{{y}}", "c": "n {{x}}"}).url == "https://api.example.com/v1/things"


def test_scalars_and_objects_in_the_query():
    scope = {"o": {"b c": 1, "d": "&"}, "t": True, "n": Decimal("1.50"), "e": ""}
    url = request(scope, query={"a": "{{o}}", "t": "{{t}}", "n": "{{n}}", "e": "{{e}}"}).url
    assert url.partition("?")[2] == "a[b%20c]=1&a[d]=%26&t=true&n=1.50&e="


def test_a_whole_query_may_come_from_one_value():
    assert request({"q": {"a": 1}}, query="{{q}}").url.endswith("?a=1")
    assert request({}, query="{{q}}").url.endswith("/things")
    refused({"q": [1]}, "made from an object", query="{{q}}")


def test_objects_and_lists_nest_in_the_query_with_brackets():
    scope = {"x": {"a": {"b": 1, "c": None}, "d": [1, "&"], "e": [{"f": 1}, {"f": 2}]}}
    assert request(scope, query={"q": "{{x}}"}).url.endswith("?q[a][b]=1&q[d]=1&q[d]=%26&q[e][0][f]=1&q[e][1][f]=2")
    assert request(scope, query={"q": "{{x}}"}, queryStyle="brackets").url.endswith(
        "?q[a][b]=1&q[d][]=1&q[d][]=%26&q[e][0][f]=1&q[e][1][f]=2"
    )


def test_single_names_of_the_query_have_their_own_style():
    url = request({"x": [1, 2]}, query={"a": "{{x}}", "b": "{{x}}"}, queryStyle="indexed", queryStyles={"b": "comma"}).url
    assert url.endswith("?a[0]=1&a[1]=2&b=1,2")
    with pytest.raises(ValueError, match='"c" under queryStyles is not a name of the query'):
        call(query={"a": 1}, queryStyles={"c": "comma"})


@pytest.mark.parametrize("style", ["comma", "pipe", "space"])
def test_a_list_of_objects_has_no_form_on_one_line(style):
    refused({"x": [{"a": 1}]}, "only a text", query={"a": "{{x}}"}, queryStyle=style)


def test_a_query_that_nests_without_end_is_refused():
    value = {}
    for _ in range(100_000):
        value = {"a": value}
    refused({"x": value}, "nests too deep", query={"a": "{{x}}"})


def test_the_key_of_a_run_goes_in_the_header_that_the_call_names():
    headers = request({"run": {"key": "k1"}}, idempotencyHeader="Idempotency-Key").headers
    assert ("Idempotency-Key", "k1") in headers
    assert request({}, idempotencyHeader="Idempotency-Key").header("Idempotency-Key") is None
    with pytest.raises(ValueError, match="stands twice"):
        call(idempotencyHeader="X-Key", headers={"x-key": "1"})


def test_half_a_character_pair_is_refused_everywhere():
    for keys in ({"query": {"a": "{{x}}"}}, {"path": "/{{x}}"}, {"body": "{{x}}", "encoding": "text"}, {"body": {"{{x}}": 1}, "encoding": "form"},
                 {"body": {"a": "{{x}}"}, "encoding": "multipart"}):  # fmt: skip
        refused({"x": "\ud800"}, "surrogate", method="POST", **keys)


def test_a_value_that_nests_too_deep_for_a_form_is_refused():
    deep = {"a": 1}
    for _ in range(5000):
        deep = {"a": deep}
    refused({"x": deep}, "too deep", method="POST", body="{{x}}", encoding="form")


# Headers


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00", "é", "a\x1bb", "a\x7fb", "\ud800"])
def test_a_header_is_one_line_of_ascii(value):
    told = refused({"x": value}, "one line of ASCII", headers={"X-A": "{{x}}"})
    assert value not in told


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "é", "Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade"])
def test_a_value_cannot_be_the_name_of_a_header_that_is_none_or_ours(name):
    refused({"x": {name: "1"}}, "no name of a header", headers="{{x}}")


def test_headers_are_trimmed_may_repeat_and_leave_no_trace():
    found = request({"x": " a\tb ", "l": ["1", None, "2"], "n": None}, headers={"X-A": "{{x}}", "X-B": "{{y}}", "X-C": "{{n}}"})
    assert found.headers == (("X-A", "a\tb"), ("Accept", "application/json"))
    many = request({"h": {"X-L": ["1", None, "2"], "X-N": None}}, headers="{{h}}")
    assert many.headers == (("X-L", "1"), ("X-L", "2"), ("Accept", "application/json"))


def test_headers_are_made_from_an_object():
    refused({"h": "x"}, "made from an object", headers="{{h}}")
    assert request({}, headers="{{h}}").headers == (("Accept", "application/json"),)


def test_the_partners_headers_come_first_and_may_be_overridden():
    found = request({}, shared={"X-Version": "1", "Accept": "text/csv"}, headers={"x-version": "2"})
    assert found.headers == (("Accept", "text/csv"), ("x-version", "2"))


def test_what_is_accepted_depends_on_the_decoder():
    assert request(decode="text").header("accept") == "*/*"


def test_every_header_of_a_signed_request_is_looked_at():
    assert sound_headers(Request(method="GET", url="https://x", headers=(("A", "b"),))).header("a") == "b"
    with pytest.raises(RenderFault):
        sound_headers(Request(method="GET", url="https://x", headers=(("Authorization", "Bearer a\r\nX: 1"),)))
    assert header_value("X", "a") == "a"


# Method and body


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "GET\r\n", ["GET"], {"a": 1}, None])
def test_only_known_methods_are_sent(method):
    refused({"m": method}, "method is none", method="{{m}}")


def test_a_method_may_come_from_a_value_and_get_carries_no_body():
    for method, body in (("GET", None), ("HEAD", None), ("POST", b'{"a":1}'), ("DELETE", b'{"a":1}'), ("OPTIONS", b'{"a":1}')):
        found = request({"m": method}, method="{{m}}", body={"a": 1})
        assert (found.method, found.body) == (method, body)


def test_a_form_writes_its_lists_in_the_style_of_the_call():
    keys = {"method": "POST", "body": {"a": "{{x}}"}, "encoding": "form"}
    assert request({"x": [1, 2]}, **keys).body == b"a%5B%5D=1&a%5B%5D=2"
    assert request({"x": [1, 2]}, **keys, formStyle="repeat").body == b"a=1&a=2"


def test_a_body_has_the_type_of_its_encoding_unless_told_otherwise():
    assert request(method="POST", body={"a": 1}).header("content-type") == "application/json"
    assert (
        request(method="POST", body={"a": 1}, contentType="application/vnd.api+json").header("content-type") == "application/vnd.api+json"
    )
    assert request({"t": "text/x"}, method="POST", body="{{b}}", contentType="{{t}}").header("content-type") == "text/x"
    assert request({}, method="POST", body={"a": 1}, contentType="{{t}}").header("content-type") == "application/json"
    told = request(method="POST", body={"a": 1}, headers={"content-type": "application/merge-patch+json"})
    assert [value for name, value in told.headers if name.lower() == "content-type"] == ["application/merge-patch+json"]
    refused({"t": ["x"]}, "only a text", method="POST", body={"a": 1}, contentType="{{t}}")
    refused({"t": "x\r\ny"}, "one line", method="POST", body={"a": 1}, contentType="{{t}}")


def test_a_body_that_is_one_missing_value_is_no_body_and_null_is_null():
    assert request({}, method="POST", body="{{x}}").body is None
    assert request({"x": None}, method="POST", body="{{x}}").body == b"null"
    assert request({}, method="POST", body={"a": "{{x}}"}).body == b"{}"
    assert request(method="POST").body is None


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leaves_its_place_in_a_json_body(value):
    body = request({"x": value}, method="POST", body={"a": "{{x}}", "b": 1}).body
    assert msgspec.json.decode(body) == {"a": value, "b": 1}


def test_root_lists_scalars_files_and_big_numbers_are_bodies():
    assert request({"x": [1, 2]}, method="POST", body="{{x}}").body == b"[1,2]"
    assert request({"x": 10**30}, method="POST", body="{{x}}").body == b"1" + b"0" * 30
    assert (
        request({"x": FileValue(content=b"hi", content_type="image/png")}, method="PUT", body="{{x}}", encoding="bytes").header(
            "content-type"
        )
        == "image/png"
    )
    refused({"x": FileValue(content=b"hi", content_type="é")}, "one line", method="PUT", body="{{x}}", encoding="bytes")


def test_redirects_are_followed_for_reading_only():
    assert request().follow_redirects
    assert not request(method="POST").follow_redirects
    assert not request(followRedirects=False).follow_redirects
    assert not request({"m": "POST"}, method="{{m}}").follow_redirects


# Whole addresses


def test_a_call_may_have_a_constant_address_of_another_host():
    found = rendered(url="https://uploads.example.com/x?a=1", query={"b": 2})
    assert found.request.url == "https://uploads.example.com/x?a=1&b=2"
    assert found.signed


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_leaves_its_place_behind_a_constant_host(value):
    parts = urlsplit(request({"x": value}, url="https://uploads.example.com/a/{{x}}/b?c={{x}}").url)
    assert parts.netloc == "uploads.example.com"
    assert parts.path.count("/") == 3
    assert parts.path.endswith("/b")
    assert parse_qsl(parts.query, keep_blank_values=True) == [("c", value)]


def test_a_value_behind_a_constant_host_cannot_climb():
    refused({"x": ".."}, "dot segment", url="https://uploads.example.com/a/{{x}}/b")
    refused({}, "address is missing", url="https://uploads.example.com/a/{{x}}/b")


@pytest.mark.parametrize("url", ["{{x}}://uploads.example.com/", "https://{{x}}/", "{{x}}/v1/", "https://api{{x}}.example.com/v1", "{{x}}"])
@pytest.mark.parametrize(
    "value",
    ["https://evil.example/?", "evil.example/", "evil.example#", "evil.example\\", "https", "http://[", "https://u:p@api.example.com"],
)
def test_a_signed_request_stays_on_the_connections_own_host(url, value):
    try:
        found = rendered({"x": value}, url=url)
    except RenderFault:
        return
    assert found.request.url.startswith("https://api.example.com/")


def test_an_address_on_the_own_host_may_come_from_a_value():
    found = rendered({"x": "HTTPS://API.example.com:443/v1/things/é x?a=b c#frag"}, url="{{x}}", query={"d": 1})
    assert found.request.url == "https://api.example.com/v1/things/%C3%A9%20x?a=b%20c&d=1"


def test_a_request_that_nobody_signs_may_go_elsewhere():
    found = rendered({"x": "https://uploads.example.com/put?sig=1"}, url="{{x}}", method="PUT", auth=False)
    assert (found.request.url, found.signed) == ("https://uploads.example.com/put?sig=1", False)


def test_without_a_base_any_address_may_be_signed_that_the_caller_names():
    assert rendered({"x": "http://other.example"}, url="{{x}}", base=None).request.url == "http://other.example/"


@pytest.mark.parametrize(
    "value",
    ["ftp://api.example.com/", "api.example.com", "", "https://", "https:///x", "https://u:p@api.example.com/", "javascript:alert(1)", 5, None,
     "https://api.example.com:99999/", "https://[", "https://[::1", "https://api.example.com:x/"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(value):
    refused({"x": value}, "address", url="{{x}}")


# Next pages


def test_the_next_page_is_followed_on_the_own_host():
    found = rendered({"page": {"url": "https://api.example.com/v2/list?cursor=a%20b#x"}})
    assert (found.request.url, found.signed) == ("https://api.example.com/v2/list?cursor=a%20b", True)
    assert request({"page": {"url": "https://API.EXAMPLE.COM:443"}}).url == "https://api.example.com"


def test_the_next_page_may_be_told_by_its_path():
    assert request({"page": {"url": "/v2/list?cursor=a%20b"}}).url == "https://api.example.com/v2/list?cursor=a%20b"
    assert request({"page": {"url": "/@evil.example/"}}).url == "https://api.example.com/@evil.example/"
    assert request({"page": {"url": "/\\evil.example/"}}).url.startswith("https://api.example.com/\\")


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "https://api.example.com@evil.example/", "https://api.example.com\\@evil.example/", "http://api.example.com/", "v2/list",
     "//evil.example/", "https://api.example.com:8443/", "https://[", "https://api.example.com:x/", "https://api.example.com.evil.example/", 5,
     "https://api.example.com\u2100.evil/"],
)  # fmt: skip
def test_a_next_page_elsewhere_is_refused(url):
    refused({"page": {"url": url}}, "another host|address")
    with pytest.raises(RenderFault):
        rendered({"page": {"url": url}}, base=None)


# Base


def test_the_base_comes_from_the_connection():
    found = render_base("https://{{connection.domain}}.example.com/api/", {"domain": "acme"}, "http://127.0.0.1:9/")
    assert found == Base(origin="https://acme.example.com", prefix="/api", replaced="http://127.0.0.1:9")
    assert render_base("https://{{connection.domain}}.example.com", {}, None) is None
    assert render_base(None, {}, None) is None


@pytest.mark.parametrize(
    "text",
    [
        "ftp://x.example",
        "https://",
        "https://u@x.example",
        "https://x.example/?a=1",
        "https://x.example/#a",
        "x",
        "https://[",
        "https://x:y",
    ],
)
def test_a_base_is_a_plain_web_address(text):
    with pytest.raises(RenderFault, match="address"):
        render_base("{{connection.base}}", {"base": text}, None)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://X.example:443/a", "https://x.example"),
        ("http://x:80", "http://x"),
        ("http://x:8080/", "http://x:8080"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_an_origin_has_no_port_that_is_the_schemes_own(url, origin):
    assert origin_of(url) == origin


# Any operation, any valid input

KINDS = {
    "string": st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20),
    "integer": st.integers(-(10**20), 10**20),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9),
    "boolean": st.booleans(),
    "datetime": st.integers(-62135596800, 253402300799),
    "date": st.dates().map(str),
    "nullable_boolean": st.sampled_from([None, "", True, "no"]),
    "object": st.recursive(st.none() | st.text(alphabet="ab/?#&\r\n", max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=3),
}


@st.composite
def operations_and_inputs(draw):
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=5))
    kinds = {name: draw(st.sampled_from(list(KINDS))) for name in names}
    arrays = {name: draw(st.booleans()) for name in names}
    fields = [field(name, kinds[name] + ("[]" if arrays[name] else "")) for name in names]
    in_path = [name for name in names if kinds[name] != "object" and not arrays[name]][:1]
    told = {
        "method": draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"])),
        "path": "/things" + "".join(f"/{{{{{name}}}}}" for name in in_path),
        "query": {name: f"{{{{{name}}}}}" for name in names if kinds[name] != "object"},
        "queryStyle": draw(st.sampled_from(["repeat", "comma", "brackets", "pipe", "space"])),
        "body": {name: f"{{{{{name}}}}}" for name in names},
    }
    given_names = draw(st.sets(st.sampled_from(names))) | set(in_path)
    data = {name: draw(st.lists(KINDS[kinds[name]], max_size=3) if arrays[name] else KINDS[kinds[name]]) for name in given_names}
    return action(fields=fields, sections=[{"name": "rows", "label": "R", "fields": [field("x")]}], call=told), data


@given(operations_and_inputs())
def test_a_valid_input_always_renders_to_a_request_on_the_partners_host(made):
    operation, data = made
    found = compile_validator(build_schema(operation)).check(data)
    assume(not found.faults)
    in_path = [found.values[name] for name in operation.call.path.replace("/things", "").strip("/{}").split("}}/{{") if name]
    if any(value in ("", ".", "..", None) for value in in_path):
        with pytest.raises(RenderFault):
            render_call(compile_call(operation.call), found.values, BASE, 10.0)
        return
    sent = render_call(compile_call(operation.call), found.values, BASE, 10.0).request
    parts = urlsplit(sent.url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com", "")
    assert parts.path.startswith("/v1/things")
    assert parts.path.count("/") == 2 + operation.call.path.count("{{")
    assert sent.url.isascii()
    assert not set(sent.url) & set(' \r\n\t\\"<>')
    if sent.body is not None:
        assert isinstance(msgspec.json.decode(sent.body), dict)
        assert msgspec.json.decode(sent.body).keys() == data.keys()
