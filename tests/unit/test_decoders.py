"""Decoders: every answer is a value or an ``UnreadableAnswer``."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.decoders import DECODERS, DEPTH_LIMIT, UnreadableAnswer
from polyport.kinds.fields import FileValue
from polyport.net.message import Reply


def decoded(kind, body, content_type=None):
    headers = (("Content-Type", content_type),) if content_type is not None else ()
    return DECODERS[kind](Reply(status=200, headers=headers, body=body))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, null, true, "x"]}', {"a": [1, None, True, "x"]}),
        (b"", None),
        (b"  \n ", None),
        (b"0.1000", Decimal("0.1000")),
        (b"1e400", Decimal("1E+400")),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        ('"é😀"'.encode(), "é😀"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json_keeps_every_digit(body, value):
    assert decoded("json", body) == value
    if isinstance(value, Decimal):
        assert str(decoded("json", body)) == str(value)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>", b"{", b"NaN", b"Infinity", b'{"a": NaN}', b"'x'", b"\xff\xfe", b'"\xff"', b'"\\ud800"', b"[" * 100_000, b'{"a":' * 100_000,
        b"1e99999999999999999999999999", b"9" * 5000, b"{} trailing",
    ],
)  # fmt: skip
def test_what_is_no_json_is_unreadable_and_never_quoted(body):
    with pytest.raises(UnreadableAnswer) as caught:
        decoded("json", body, "text/html; charset=utf-8")
    assert f"not JSON (text/html, {len(body)} bytes)" in str(caught.value)


def test_an_answer_without_content_type_says_so():
    with pytest.raises(UnreadableAnswer, match="no content type"):
        decoded("json", b"<")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("€".encode("cp1252"), 'text/plain; charset="windows-1252"', "€"),
        ("é".encode("utf-16"), "text/plain; charset=utf-16", "é"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"x", "text/plain; charset=utf-7", "x"),
        (b"x", "text/plain; charset=rot13", "x"),
        (b"x", "text/plain; charset=", "x"),
        (b"x", "text/plain; boundary=a", "x"),
    ],
)
def test_text_is_read_in_the_charset_it_names(body, content_type, text):
    assert decoded("text", body, content_type) == text


def test_a_form_is_read_and_the_last_of_a_repeated_field_counts():
    assert decoded("form", b"a=1&b=&a=2&c=%C3%A9") == {"a": "2", "b": "", "c": "é"}


@pytest.mark.parametrize(
    ("headers", "url", "name", "kind"),
    [
        (
            {"content-disposition": 'attachment; filename="a b.pdf"', "content-type": "application/pdf; x=1"},
            "",
            "a b.pdf",
            "application/pdf",
        ),
        ({"content-disposition": "attachment; filename=a.pdf; filename*=UTF-8''%e2%82%ac.pdf"}, "", "€.pdf", None),
        ({"content-disposition": "attachment; filename*=iso-8859-1'en'%e9.txt"}, "", "é.txt", None),
        ({"content-disposition": r'inline; filename="a\"b.txt"'}, "", 'a"b.txt', None),
        ({"content-disposition": 'attachment; filename="../../etc/passwd"'}, "", "passwd", None),
        ({"content-disposition": 'attachment; filename="C:\\\\x\\\\y.txt"'}, "", "y.txt", None),
        ({"content-disposition": 'attachment; filename=".."'}, "https://x.example/r%20s.csv?a=1", "r s.csv", None),
        ({"content-disposition": "attachment; filename*=utf-8''%0d%0a"}, "https://x.example/", "file", None),
        ({"content-type": "application/pdf"}, "https://x.example/a/", "file.pdf", "application/pdf"),
        ({"content-type": "\x80/\x01"}, "https://[x", "file", None),
        ({"content-disposition": f'attachment; filename="{"x" * 400}"'}, "", "x" * 255, None),
    ],
)
def test_a_file_has_its_bytes_a_name_that_is_no_path_and_its_type(headers, url, name, kind):
    found = DECODERS["file"](Reply(status=200, headers=tuple(headers.items()), body=b"\x00\xff", url=url))
    assert (found.content, found.name, found.content_type) == (b"\x00\xff", name, kind)


@given(st.text(max_size=60), st.text(max_size=40))
def test_any_header_gives_a_name_of_one_line(disposition, url):
    name = DECODERS["file"](Reply(status=200, headers=(("Content-Disposition", f"a; filename={disposition}"),), url=url)).name
    assert name
    assert "/" not in name
    assert name.isprintable()


def test_a_form_with_too_many_fields_is_unreadable():
    with pytest.raises(UnreadableAnswer, match="not a form"):
        decoded("form", b"a&" * 20_000)


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json", "Application/JSON; charset=utf-8"])
def test_auto_reads_json_where_the_answer_says_so(kind):
    assert decoded("auto", b'{"a": 1}', kind) == {"a": 1}


@pytest.mark.parametrize("kind", ["text/plain", None, "application/jsonish"])
def test_auto_reads_text_elsewhere(kind):
    assert decoded("auto", b'{"a": 1}', kind) == '{"a": 1}'


def test_a_body_that_does_not_matter_is_not_read():
    assert decoded("none", b"\xff") is None


@given(
    st.sampled_from(list(DECODERS)), st.binary(max_size=60), st.sampled_from(["application/json", "text/plain; charset=utf-16", "x;;=;"])
)
def test_no_bytes_make_a_decoder_fail_in_any_other_way(kind, body, content_type):
    try:
        found = decoded(kind, body, content_type)
    except UnreadableAnswer:
        return
    assert found is None or isinstance(found, str | int | bool | Decimal | list | dict | FileValue)


def nested(depth, inside=b""):
    return b"[" * depth + inside + b"]" * depth


@pytest.mark.parametrize("depth", [1, 64, 65, DEPTH_LIMIT])
def test_json_may_nest_up_to_a_limit(depth):
    assert decoded("json", nested(depth)) is not None
    assert decoded("json", b'{"a":' * depth + b"1" + b"}" * depth) is not None


@pytest.mark.parametrize("depth", [DEPTH_LIMIT + 1, 300, 900])
def test_json_that_nests_deeper_is_refused_before_it_can_break_what_writes_it(depth):
    for body in (nested(depth), b'{"a":' * depth + b"1" + b"}" * depth, nested(depth, b'"]]]]"')):
        with pytest.raises(UnreadableAnswer, match="nests more than 128 levels"):
            decoded("json", body)


@pytest.mark.parametrize(
    "body", [b'"[[[{{{"', b'["]", "{", {"a": "}]"}]', b'"' + b"[" * 3_000_000 + b'"', b'"' + b"[" * 500_000 + b"]" * 500_000 + b'"']
)
def test_brackets_in_texts_are_no_nesting(body):
    assert decoded("json", body) is not None


def test_many_brackets_side_by_side_are_shallow():
    body = b"[" + b",".join([b"[]"] * 2 * DEPTH_LIMIT) + b"]"
    assert decoded("json", body) == [[] for _each in range(2 * DEPTH_LIMIT)]
