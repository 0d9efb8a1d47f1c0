"""Bodies of simulated partners in all kinds, in and out, and GraphQL, SOAP and pages that need more than JSON."""

import base64
import contextlib
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds import little_time
from polyport.paths import MISSING
from polyport.template import RenderFault
from polyport.testing.bodies import WRITERS, Malformed, nested, read_body
from polyport.testing.graphql import asked_for
from simulated_partner import Partner

FORM = "application/x-www-form-urlencoded"


def echo(partner, body, content_type):
    answer = partner.send("POST", "/echo", body, content_type=content_type)
    return answer.status, msgspec.json.decode(answer.body)


@pytest.fixture
def echoing(tmp_path):
    return Partner(tmp_path, 'routes: [{route: POST /echo, reply: {json: "{{body}}"}}]')


# In


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("tag=a&tag=b", {"tag": ["a", "b"]}),
        ("tag[]=a&tag[]=b", {"tag": ["a", "b"]}),
        ("m[order]=7&m[who][name]=Ada", {"m": {"order": "7", "who": {"name": "Ada"}}}),
        ("items[0][price]=p1&items[0][n]=1&items[1][price]=p2", {"items": [{"price": "p1", "n": "1"}, {"price": "p2"}]}),
        ("items[1]=x", {"items": {"1": "x"}}),
        ("a[b=1&]=2&[x]=3", {"a[b": "1", "]": "2", "[x]": "3"}),
        ("a=1&a[b]=2", {"a": {"": "1", "b": "2"}}),
    ],
)
def test_the_fields_of_a_form_nest_by_their_brackets(echoing, text, expected):
    assert echo(echoing, text.encode(), FORM) == (200, expected)


def test_a_field_that_nests_without_end_keeps_its_name():
    name = "a" + "[b]" * 17

    assert nested([(name, "1")]) == {name: "1"}


MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="title"\r\n\r\nHi \xc3\xa9\r\n'
    b'--B\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n{"a": 1}\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n--B--\r\n'
)


def test_the_parts_of_multipart_are_read_files_with_their_bytes(echoing):
    file = {"name": "a.bin", "contentType": "image/png", "size": 2, "sha256": hashlib.sha256(b"\0\xff").hexdigest(), "base64": "AP8="}

    assert echo(echoing, MULTIPART, "multipart/form-data; boundary=B") == (200, {"title": "Hi é", "meta": {"a": 1}, "file": file})


def test_xml_is_read_without_prefixes_and_with_its_attributes(echoing):
    body = b'<?xml version="1.0"?><s:Env xmlns:s="urn:x"><s:Body><m:Add xmlns:m="urn:y" m:id="7"><i>1</i><i>2</i></m:Add></s:Body></s:Env>'

    assert echo(echoing, body, "text/xml; charset=utf-8") == (200, {"Env": {"Body": {"Add": {"@id": "7", "i": ["1", "2"]}}}})


def test_csv_is_read_as_rows_by_its_first_line(echoing):
    assert echo(echoing, b'\xef\xbb\xbfname,age\r\n"Ada, L",36\r\n\r\nBob\r\n', "text/csv") == (
        200,
        [{"name": "Ada, L", "age": "36"}, {"name": "Bob"}],
    )


def test_other_bytes_are_read_like_a_file_without_a_name(echoing):
    status, found = echo(echoing, b"\0\xff", "application/pdf")

    assert (status, found["size"], found["base64"], found["contentType"]) == (200, 2, "AP8=", "application/pdf")


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"<a>", "application/xml", "XML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "application/xml", "XML"),
        (b"<a>" * 100_000, "application/xml", "XML"),
        (b"<a>" * 130 + b"</a>" * 130, "application/xml", "XML"),
        (b'"a', "text/csv", "CSV"),
        (b"{", "application/vnd.api+json", "JSON"),
        (b"--B\r\n", "multipart/form-data", "multipart"),
        (b"nothing", "multipart/form-data; boundary=B", "multipart"),
    ],
)
def test_a_body_that_is_not_what_it_says_is_refused(echoing, body, content_type, expected):
    with little_time(), pytest.raises(Malformed, match=expected):
        read_body(content_type, body)
    assert echo(echoing, body, content_type)[1]["reason"] == "malformed"


@given(
    st.sampled_from(
        [FORM, "multipart/form-data; boundary=B", "multipart/mixed", "text/xml", "text/csv", "text/plain", "application/json", "x"]
    ),
    st.binary(max_size=200),
)
def test_no_body_is_read_in_another_way(content_type, body):
    with contextlib.suppress(Malformed):
        assert read_body(content_type, body) is not None or body.strip() == b"null" or content_type == "text/xml"
    assert read_body(content_type, b"") is MISSING


# Out


@pytest.mark.parametrize(
    ("reply", "content_type", "body"),
    [
        ("{xml: {r: {'@id': '{{query.q}}', i: [1, '{{query.q}}']}}}", b"application/xml; charset=utf-8", '<?xml version="1.0" encoding="utf-8"?>\n<r id=\'a&lt;"&amp;\'><i>1</i><i>a&lt;"&amp;</i></r>'),
        ("{xml: {r: {a: null, b: true}}}", b"application/xml; charset=utf-8", '<?xml version="1.0" encoding="utf-8"?>\n<r><a/><b>true</b></r>'),
        ("{form: {a: '{{query.q}}', m: {b: 1}}}", b"application/x-www-form-urlencoded", "a=a%3C%22%26&m%5Bb%5D=1"),
        ("{csv: [{a: 1, b: '{{query.q}}'}, {a: 2, c: null}]}", b"text/csv; charset=utf-8", 'a,b,c\r\n1,"a<""&",\r\n2,,\r\n'),
        ("{csv: no}", b"text/csv; charset=utf-8", "\r\n"),
        ("{base64: aGk=, headers: {Content-Type: image/png}}", b"image/png", "hi"),
        ("{text: '{{query.none}}'}", b"text/plain; charset=utf-8", ""),
    ],
)  # fmt: skip
def test_an_answer_is_written_in_its_kind(tmp_path, reply, content_type, body):
    answer = Partner(tmp_path, f"routes: [{{route: GET /x, reply: {reply}}}]").send("GET", "/x?q=a%3C%22%26")

    assert (answer.body.decode(), dict(answer.headers)[b"content-type"]) == (body, content_type)


@pytest.mark.parametrize(
    ("kind", "value"), [("xml", {"a b": 1}), ("xml", {"a": 1, "b": 2}), ("xml", None), ("base64", "!"), ("xml", {"a": {"<": 1}})]
)
def test_what_cannot_be_written_is_told(kind, value):
    with pytest.raises(RenderFault):
        WRITERS[kind][1](value)


def test_an_answer_that_cannot_be_written_is_told_as_a_fault_of_the_simulation(tmp_path):
    partner = Partner(tmp_path, "unknown: {json: '{{query.n | int}}'}\nroutes: [{route: GET /x, reply: {base64: '!'}}]")

    assert partner.send("GET", "/x").status == 500
    assert partner.send("GET", "/other?n=x").status == 500


def test_bytes_that_were_sent_come_back_as_they_were(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {files: {key: name}}
        routes:
          - {route: "PUT /files/{name}", do: create, in: files, take: {content: "{{body}}"}, reply: {status: 201, json: {id: "{{id}}"}}}
          - {route: "GET /files/{name}", do: get, in: files, id: "{{path.name}}", reply: {headers: {Content-Type: "{{record.content.contentType}}"}, base64: "{{record.content.base64}}"}}
        """,
    )
    partner.send("PUT", "/files/a", bytes(range(256)), content_type="image/png")
    answer = partner.send("GET", "/files/1")

    assert (answer.body, answer.headers) == (bytes(range(256)), ((b"content-type", b"image/png"),))


# Several routes on one path


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ products(first: 5) { id title } shop { name } }", {"products", "shop"}),
        ('query Q($n: Int = 3) { p: products(first: $n, query: "{ evil }") @include(if: true) { id } }', {"Q", "p", "products"}),
        ('mutation { productCreate(input: {title: "x } y"}) { product { id } } }', {"productCreate"}),
        ("fragment F on Product { id } query { products { ...F } ... on Query { hidden } } # shop\n", {"products"}),
        ('query { a(s: """block "quoted" { } """) { b } }', {"a"}),
        ("}}}{{{", set()),
        ("{" * 1_000, set()),
    ],
)  # fmt: skip
def test_a_graphql_request_says_what_it_asks_for(document, expected):
    assert asked_for({"query": document, "operationName": "Named"}) == expected | {"Named"}


@pytest.mark.parametrize("body", [None, [], {"query": 5}, {"query": None, "operationName": "x"}, MISSING])
def test_what_is_no_graphql_asks_for_nothing(body):
    assert asked_for(body) == frozenset()


@pytest.mark.parametrize("document", ['"' * 200_000, '"""' * 60_000, "\\" * 200_000, "(" * 200_000, "a" * 300_000])
def test_a_hostile_document_costs_little_time(document):
    with little_time():
        asked_for({"query": document})


def test_routes_of_one_path_are_told_apart_by_field_and_by_condition(tmp_path):
    partner = Partner(
        tmp_path,
        """
        collections: {products: {}}
        routes:
          - {route: POST /graphql, reply: {json: {errors: [{message: unknown}]}}}
          - route: POST /graphql
            graphql: productCreate
            do: create
            in: products
            take: "{{body.variables.input}}"
            reply: {json: {data: {productCreate: {product: "{{record}}"}}}}
          - {route: POST /graphql, graphql: products, do: list, in: products, reply: {json: {data: {products: {nodes: "{{items}}"}}}}}
          - {route: POST /soap, when: [{at: body.Envelope.Body.Add}], reply: {xml: {Added: "{{body.Envelope.Body.Add.n}}"}}}
          - {route: POST /soap, when: [{at: header.soapaction, contains: Remove}], reply: {text: removed}}
        """,
    )
    made = partner.ask(
        "POST",
        "/graphql",
        {"query": "mutation($input: I!) { productCreate(input: $input) { id } }", "variables": {"input": {"title": "T"}}},
    )
    listed = partner.ask("POST", "/graphql", {"query": "{ products { id } }"})

    assert made == (200, {"data": {"productCreate": {"product": {"title": "T", "id": 1}}}})
    assert listed[1]["data"]["products"]["nodes"] == [{"title": "T", "id": 1}]
    assert partner.ask("POST", "/graphql", {"query": "{ other }"})[1] == {"errors": [{"message": "unknown"}]}
    assert partner.send("POST", "/soap", b"<Envelope><Body><Add><n>2</n></Add></Body></Envelope>", content_type="text/xml").body.endswith(
        b"<Added>2</Added>"
    )
    assert partner.send("POST", "/soap", b"<Envelope/>", content_type="text/xml", soapaction="urn:Remove").body == b"removed"
    assert partner.send("POST", "/soap", b"<Envelope", content_type="text/xml").status == 404


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/items('7')", "quoted 7"),
        ("/items.csv", "file items"),
        ("/bot1:a/getMe", "bot 1:a"),
        ("/anything", "any anything"),
        ("/items", "the items"),
    ],
)
def test_a_parameter_may_have_text_around_it(tmp_path, path, expected):
    partner = Partner(
        tmp_path,
        """
        routes:
          - {route: "GET /{any}", reply: {text: "any {{path.any}}"}}
          - {route: GET /items, reply: {text: the items}}
          - {route: "GET /items('{id}')", reply: {text: "quoted {{path.id}}"}}
          - {route: "GET /{name}.csv", reply: {text: "file {{path.name}}"}}
          - {route: "GET /bot{token}/getMe", reply: {text: "bot {{path.token}}"}}
        """,
    )

    assert partner.send("GET", path).body.decode() == expected


# Pages


PAGES = """
collections: {things: {seeds: [{id: 1}, {id: 2}, {id: 3}]}}
routes:
  - route: GET /link
    do: list
    in: things
    page: {kind: number, at: "{{query.page}}", size: 2}
    reply: {headers: {Link: "<{{base}}/link?page={{page.next}}>; rel=\\"next\\""}, json: "{{items[*].id}}"}
  - route: GET /after
    do: list
    in: things
    page: {kind: after, at: "{{query.starting_after}}", size: 2}
    reply: {json: {data: "{{items[*].id}}", has_more: "{{page.more}}", next: "{{page.next}}"}}
"""


def test_the_next_page_is_named_by_a_link_with_our_own_address(tmp_path):
    partner = Partner(tmp_path, PAGES)
    first, last = partner.send("GET", "/link"), partner.send("GET", "/link?page=2")

    assert dict(first.headers)[b"link"] == b'<http://127.0.0.1:8099/link?page=2>; rel="next"'
    assert (last.body, b"link" in dict(last.headers)) == (b"[3]", False)


def test_a_page_begins_after_the_last_id_that_was_seen(tmp_path):
    partner = Partner(tmp_path, PAGES)

    assert partner.ask("GET", "/after") == (200, {"data": [1, 2], "has_more": True, "next": 2})
    assert partner.ask("GET", "/after?starting_after=2") == (200, {"data": [3], "has_more": False})
    assert partner.ask("GET", "/after?starting_after=9")[1]["field"] == "after"
    assert partner.ask("GET", "/after?starting_after=1&starting_after=2")[0] == 400


def test_base64_of_nothing_is_empty():
    assert WRITERS["base64"][1](base64.b64encode(b"").decode()) == b""


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/files/a/b%20c/d", {"rest": "a/b c/d"}),
        ("GET", "/files/a", {"one": "a"}),
        ("GET", "/files/a/b", {"rest": "a/b"}),
        ("GET", "/files/new/b", {"new": "b"}),
        ("DELETE", "/files/a", {"gone": "a"}),
        ("DELETE", "/files", None),
    ],
)
def test_a_last_parameter_may_take_the_rest_of_the_path_behind_all_other_routes(tmp_path, method, path, expected):
    partner = Partner(
        tmp_path,
        """
        unknown: {status: 404}
        routes:
          - {route: "GET /files/{name...}", reply: {json: {rest: "{{path.name}}"}}}
          - {route: "GET /files/{name}", reply: {json: {one: "{{path.name}}"}}}
          - {route: "GET /files/new/{name}", reply: {json: {new: "{{path.name}}"}}}
          - {route: "DELETE /files/{name...}", reply: {json: {gone: "{{path.name}}"}}}
          - {route: "HEAD /files/{name...}", reply: {headers: {X-Name: "{{path.name}}"}}}
        """,
    )
    assert partner.ask(method, path)[1] == expected
    assert dict(partner.send("HEAD", "/files/x/y").headers) == {b"x-name": b"x/y"}
