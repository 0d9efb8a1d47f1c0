"""Encoders: values stay in their slot of the body."""

import email.parser
from decimal import Decimal
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.bodies import ENCODERS, encode_form
from polyport.kinds.fields import FileValue
from polyport.template import RenderFault

TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)))


def encoded(kind, value):
    return ENCODERS[kind](value)


def multipart(value):
    kind, body = encoded("multipart", value)
    message = email.parser.BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    return message.get_payload()


def test_json_keeps_digits_and_types():
    kind, body = encoded("json", {"a": Decimal("1.10"), "b": None, "c": [True, 10**30], "d": "é", "e": Decimal("1E+3")})
    assert kind == "application/json"
    assert body == '{"a":1.10,"b":null,"c":[true,1000000000000000000000000000000],"d":"é","e":1E+3}'.encode()


def test_a_file_in_json_is_base64():
    assert encoded("json", {"f": FileValue(content=b"hi")})[1] == b'{"f":"aGk="}'


@pytest.mark.parametrize("value", [FileValue(url="https://x"), object(), {"a": {1, 2}.__iter__()}])
def test_what_has_no_place_in_json_is_a_render_fault(value):
    with pytest.raises(RenderFault, match="no place in JSON"):
        encoded("json", {"a": value})


def test_json_that_cannot_be_written_is_a_render_fault():
    endless: list[object] = []
    endless.append(endless)
    for value in ("\ud800", endless):
        with pytest.raises(RenderFault, match="cannot be written as JSON"):
            encoded("json", value)


def test_a_form_nests_with_brackets():
    value = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 1}, {"e": 2}], "f": None, "g": True, "h": Decimal("1.50"), "i": []}
    kind, body = encoded("form", value)
    assert kind == "application/x-www-form-urlencoded"
    assert parse_qsl(body.decode(), keep_blank_values=True) == [
        ("a[b]", "1"), ("a[c][]", "1"), ("a[c][]", "2"), ("d[0][e]", "1"), ("d[1][e]", "2"), ("f", ""), ("g", "true"), ("h", "1.50"),
    ]  # fmt: skip


def test_a_list_in_a_form_may_repeat_its_bare_name():
    value = {"a": [1, 2], "b": {"c": ["x"]}, "d": [{"e": 1}]}
    assert encode_form(value, "repeat")[1] == b"a=1&a=2&b%5Bc%5D=x&d%5B0%5D%5Be%5D=1"


def test_rows_keep_their_order_and_may_repeat_a_name():
    rows = [{"name": "a", "value": 1}, {"name": "b", "value": None}, {"name": "a", "value": 2}, {"name": "c"}]
    assert encoded("form", rows)[1] == b"a=1&b=&a=2&c="


@pytest.mark.parametrize("value", ["text", 5, None, [1], [{"value": 1}], [{"name": 5}]])
def test_a_form_is_made_from_an_object_or_rows(value):
    with pytest.raises(RenderFault):
        encoded("form", value)


@given(st.dictionaries(TEXT, TEXT, max_size=4))
def test_no_text_leaves_its_slot_in_a_form(value):
    _kind, body = encoded("form", value)
    assert parse_qsl(body.decode("ascii"), keep_blank_values=True) == list(value.items())


def test_a_form_cannot_hold_a_file():
    with pytest.raises(RenderFault, match="use multipart"):
        encoded("form", {"f": FileValue(content=b"")})


def test_multipart_holds_texts_and_files():
    parts = multipart(
        {
            "a": "é",
            "f": FileValue(content=b"\x00\r\n--x", name="100% ü.bin", content_type="image/png"),
            "n": None,
            "g": FileValue(content=b"x"),
        }
    )
    heads = [part["Content-Disposition"] for part in parts]
    assert heads[0] == 'form-data; name="a"'
    assert parts[1].get_payload(decode=True) == b"\x00\r\n--x"
    assert parts[1].get_content_type() == "image/png"
    assert 'filename="file"' in heads[3]
    assert parts[3].get_content_type() == "application/octet-stream"
    assert b'filename="100% \xc3\xbc.bin"' in encoded("multipart", {"f": FileValue(content=b"", name="100% ü.bin")})[1]


def test_a_name_cannot_leave_the_head_of_its_part():
    name = 'a"; filename="evil.sh"\r\nX-Evil: 1\r\n\r\nbody'
    body = encoded("multipart", {name: "v"})[1]
    assert b"\r\nX-Evil" not in body
    (part,) = multipart({name: "v"})
    assert part.keys() == ["Content-Disposition"]
    assert part.get_param("filename", header="Content-Disposition") is None


def test_a_file_name_cannot_leave_its_quotes():
    body = encoded("multipart", {"f": FileValue(content=b"", name='a";x="\r\ny')})[1]
    assert b'filename="a%22;x=%22%0D%0Ay"' in body


@given(st.dictionaries(st.text(alphabet="abc", min_size=1, max_size=3), st.binary(max_size=200), max_size=4))
def test_no_content_can_end_its_part(contents):
    boundary = encoded("multipart", {name: FileValue(content=content) for name, content in contents.items()})[0].partition("=")[2]
    body = encoded("multipart", {name: FileValue(content=content) for name, content in contents.items()})[1]
    assert body.count(f"--{boundary}".encode()) == len(contents) + 1


def test_the_boundary_comes_from_the_content_so_a_repeat_is_the_same():
    assert encoded("multipart", {"a": "1"}) == encoded("multipart", {"a": "1"})
    assert encoded("multipart", {"a": "1"})[0] != encoded("multipart", {"a": "2"})[0]


def test_text_and_bytes():
    assert encoded("text", "é") == ("text/plain; charset=utf-8", "é".encode())
    assert encoded("bytes", FileValue(content=b"\x00", content_type="image/png")) == ("image/png", b"\x00")
    assert encoded("bytes", FileValue(content=b"\x00")) == ("application/octet-stream", b"\x00")
    assert encoded("bytes", "é") == ("application/octet-stream", "é".encode())
    assert encoded("none", {"a": 1}) == (None, None)


@pytest.mark.parametrize("kind", ["multipart", "bytes"])
def test_a_file_that_was_not_fetched_cannot_be_sent(kind):
    value = FileValue(url="https://x")
    with pytest.raises(RenderFault, match="has to be fetched"):
        encoded(kind, {"f": value} if kind == "multipart" else value)


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_a_list_is_no_text(kind):
    with pytest.raises(RenderFault):
        encoded(kind, [1])


@pytest.mark.parametrize("kind", ["form", "multipart"])
@pytest.mark.parametrize("key", ["a][b", "[]", "a]"])
def test_a_name_from_a_caller_cannot_leave_its_brackets(kind, key):
    with pytest.raises(RenderFault, match="has no brackets"):
        encoded(kind, {"metadata": {key: "1"}})
