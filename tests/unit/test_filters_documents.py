"""Documents of partners: from texts and back, whatever stands in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.filters.documents import adf, adf_text
from polyport.template import RenderFault

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "text", "attrs", "content", "url"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def paragraph(*content):
    return {"type": "paragraph", "content": list(content)}


def text(words):
    return {"type": "text", "text": words}


def test_empty_lines_part_paragraphs_and_single_ones_break_lines():
    assert adf("a\nb\r\n\n\n  \nc") == {
        "version": 1,
        "type": "doc",
        "content": [paragraph(text("a"), {"type": "hardBreak"}, text("b")), paragraph(text("c"))],
    }


def test_a_text_of_nothing_is_an_empty_document():
    assert adf(" \n ") == {"version": 1, "type": "doc", "content": []}


def test_too_many_lines_are_refused():
    with pytest.raises(RenderFault, match="10000 lines"):
        adf("\n" * 10_001)


def test_blocks_lists_and_cards_are_read():
    items = [{"type": "listItem", "content": [paragraph(text("one"))]}, {"type": "listItem", "content": [paragraph(text("two"))]}]
    card = {"type": "inlineCard", "attrs": {"url": "https://example.com"}}
    media = {"type": "mediaSingle", "content": [{"type": "media", "attrs": {"id": "7"}}]}
    document = {
        "type": "doc",
        "content": [{"type": "heading", "content": [text("Top")]}, {"type": "bulletList", "content": items}, paragraph(card), media],
    }
    assert adf_text(document) == "Top\none\ntwo\nhttps://example.com"


@given(st.text(alphabet="ab\n ", max_size=40))
def test_what_was_written_is_read_back_but_for_empty_lines(words):
    kept = [line for line in words.split("\n") if line.strip()]
    assert adf_text(adf(words)) == "\n".join(kept)


@given(JSON)
def test_any_document_is_read_or_refused(document):
    if isinstance(document, dict):
        assert isinstance(adf_text(document), str)
    else:
        with pytest.raises(RenderFault):
            adf_text(document)


def test_a_document_that_nests_without_end_is_refused():
    document: dict[str, object] = {}
    for _level in range(100):
        document = {"content": [document]}
    with pytest.raises(RenderFault, match="nests"):
        adf_text(document)
