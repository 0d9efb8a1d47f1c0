"""XML both ways: values stay in their element, answers are read within bounds."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.bodies import ENCODERS
from polyport.kinds.decoders import DECODERS, UnreadableAnswer, decode_xml
from polyport.kinds.markup import DEPTH_LIMIT, ELEMENTS_LIMIT
from polyport.net.message import Reply
from polyport.template import RenderFault

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")


def written(value):
    return ENCODERS["xml"](value)[1].decode().removeprefix(HEAD)


def read(body, content_type="text/xml", lists=()):
    body = body.encode() if isinstance(body, str) else body
    return decode_xml(Reply(status=200, headers=(("Content-Type", content_type),), body=body), lists)


def test_a_soap_body_is_written_with_its_attributes_texts_and_repeated_elements():
    value = {
        "soap:Envelope": {
            "@xmlns:soap": "http://schemas.xmlsoap.org/soap/envelope/",
            "soap:Body": {
                "Add": {"Name": {"@lang": "en", "#text": "A & B"}, "Tag": ["x", 1, True, Decimal("1.50")], "Note": None, "None": []}
            },
        }
    }
    assert written(value) == (
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><Add><Name lang="en">A &amp; B</Name>'
        "<Tag>x</Tag><Tag>1</Tag><Tag>true</Tag><Tag>1.50</Tag><Note/></Add></soap:Body></soap:Envelope>"
    )
    assert ENCODERS["xml"](value)[0] == "application/xml; charset=utf-8"


def test_an_attribute_or_a_text_that_is_null_is_empty():
    assert written({"a": {"@b": None, "#text": None}}) == '<a b=""/>'


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("text", "one key"),
        ({}, "one key"),
        ({"a": 1, "b": 2}, "one key"),
        ({"a": [1, 2]}, "stands once"),
        ({"a b": 1}, "name that XML does not allow"),
        ({"a": {"b><c": 1}}, "name that XML does not allow"),
        ({"a": {"@b c": 1}}, "name that XML does not allow"),
        ({"a": {"@": 1}}, "name that XML does not allow"),
        ({"a": {"#comment": "x"}}, "name that XML does not allow"),
        ({"a": {"": 1}}, "name that XML does not allow"),
        ({1: "a"}, "name that XML does not allow"),
        ({"a": {"b": [[1]]}}, "list directly inside a list"),
        ({"a": {"@b": [1]}}, "inside a text"),
        ({"a": "\x00"}, "control character"),
        ({"a": "\ud800"}, "control character"),
        ({"a": {"@b": "\x0b"}}, "control character"),
    ],
)
def test_what_has_no_place_in_xml_is_a_render_fault(value, sentence):
    with pytest.raises(RenderFault, match=sentence):
        written(value)


def test_a_value_that_nests_too_deep_is_refused():
    value = "x"
    for _ in range(DEPTH_LIMIT + 1):
        value = {"a": value}
    with pytest.raises(RenderFault, match="nests at most"):
        written({"a": value})


@given(st.text(CHARACTERS), st.text(CHARACTERS))
def test_no_text_leaves_its_element_or_its_attribute(text, attribute):
    found = read(ENCODERS["xml"]({"a": {"b": {"@c": attribute, "#text": text}, "d": "end"}})[1])
    assert found["a"]["d"] == "end"
    assert found["a"].keys() == {"b", "d"}
    assert found["a"]["b"]["@c"] == attribute
    assert found["a"]["b"].get("#text", "") == text.strip()


def test_prefixes_are_dropped_and_repeated_elements_are_lists():
    body = """<?xml version="1.0"?><s:Envelope xmlns:s="urn:s" xmlns="urn:x"><s:Body>
      <Row s:id="1" id="2"> a </Row><Row/><Row>c<![CDATA[ <d> ]]></Row><One>x</One><Mixed k="v">t<i>u</i></Mixed>
    </s:Body></s:Envelope>"""
    assert read(body) == {
        "Envelope": {
            "Body": {
                "Row": [{"@id": "1", "#text": "a"}, None, "c <d>"],
                "One": "x",
                "Mixed": {"@k": "v", "i": "u", "#text": "t"},
            }
        }
    }


def test_named_elements_are_lists_even_alone():
    assert read("<a><b>1</b><c>2</c></a>", lists=("b",)) == {"a": {"b": ["1"], "c": "2"}}
    assert read("<a><b>1</b><b>2</b></a>", lists=("b",)) == {"a": {"b": ["1", "2"]}}


def test_an_empty_answer_is_null():
    assert read(" \n") is None


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("<a>é</a>".encode("latin-1"), "text/xml; charset=ISO-8859-1"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"), "text/xml"),
        ('<?xml version="1.0" encoding="utf-16"?><a>é</a>'.encode("utf-16"), "text/xml; charset=utf-8"),
        ("\ufeff<a>é</a>".encode(), 'text/xml; charset="iso-8859-1"'),
        ("<a>é</a>".encode(), "text/xml; charset=klingon"),
    ],
)
def test_the_charset_is_that_of_the_mark_the_header_or_the_declaration(body, content_type):
    assert read(body, content_type) == {"a": "é"}


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>',
        '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>',
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        "<!DOCTYPE a><a/>",
    ],
)
def test_document_types_and_their_entities_are_refused(body):
    for encoded in (body.encode(), body.encode("utf-16")):
        with pytest.raises(UnreadableAnswer, match="has a document type"):
            read(encoded)


@pytest.mark.parametrize(
    "body",
    [
        "<a>",
        "a",
        "{}",
        "<a/><b/>",
        "<a>&b;</a>",
        "<a b=1/>",
        "<a b='1' b='2'/>",
        b"<a>\xff</a>",
        '<?xml version="1.0" encoding="x-none"?><a/>',
    ],
)
def test_what_is_no_xml_is_unreadable_and_never_quoted(body):
    with pytest.raises(UnreadableAnswer, match=rf"is not XML \({len(body)} bytes\)"):
        read(body)


def test_depth_and_number_of_elements_are_bounded():
    deep = "<a>" * DEPTH_LIMIT + "</a>" * DEPTH_LIMIT
    assert read(deep)
    with pytest.raises(UnreadableAnswer, match=f"more than {DEPTH_LIMIT} levels"):
        read(f"<a>{deep}</a>")
    with pytest.raises(UnreadableAnswer, match=f"more than {DEPTH_LIMIT} levels"):
        read("<a>" * 1_000_000)
    with pytest.raises(UnreadableAnswer, match=f"more than {ELEMENTS_LIMIT} elements"):
        read("<a>" + "<b/>" * ELEMENTS_LIMIT + "</a>")
    with pytest.raises(UnreadableAnswer, match=f"more than {ELEMENTS_LIMIT} elements"):
        read("<a " + " ".join(f"a{n}=''" for n in range(ELEMENTS_LIMIT)) + "/>")


@given(st.binary(max_size=80))
def test_any_bytes_are_a_value_or_unreadable(body):
    with contextlib.suppress(UnreadableAnswer):
        DECODERS["xml"](Reply(status=200, body=body))
