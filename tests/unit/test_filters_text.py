import html as standard_html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.filters import FILTERS
from polyport.template import RenderFault


@pytest.mark.parametrize(
    ("name", "value", "arguments", "result"),
    [
        ("text", True, (), "true"),
        ("title", "  o'neill DE la cruz", (), "  O'neill De La Cruz"),
        ("slug", "Ångström & Søn", (), "angstrom-søn"),
        ("slug", "Привет, мир!", (), "привет-мир"),
        ("slug", "---", (), ""),
        ("case", "Ada B", ("slug",), "ada-b"),
        ("case", "ada", ("capitalize",), "Ada"),
        ("replace", "aXbX", ("X",), "ab"),
        ("replace", "a.c", (".", "\\1"), "a\\1c"),
        ("length", [1, 2], (), 2),
        ("length", {"a": 1}, (), 1),
        ("length", 2026, (), 4),
        ("slice", "abcdef", (-2,), "ef"),
        ("slice", "abcdef", (-9, 2), "ab"),
        ("slice", "abc", (9,), ""),
        ("contains", "abc", ("x",), False),
        ("pad", "ab", (4, ".", "right"), "ab.."),
        ("pad", "abc", (2,), "abc"),
        ("e164", "0049 30 901820", (), "+4930901820"),
    ],
)
def test_a_text_filter_gives(name, value, arguments, result):
    assert FILTERS[name](value, *arguments) == result


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("replace", "a", ("", "b")),
        ("split", "a", ("",)),
        ("pad", "a", (3, "ab")),
        ("pad", "a", (3, "")),
        ("pad", "a", (3, " ", "middle")),
        ("case", "a", ("snake",)),
        ("e164", "020 7946 0000", ()),
        ("e164", "020 7946 0000", ("XX",)),
        ("e164", "+44", ()),
        ("e164", "+44 20", ()),
        ("e164", "call me", ("GB",)),
    ],
)
def test_a_text_filter_refuses(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


def test_a_phone_number_that_belongs_to_no_region_has_none():
    found = FILTERS["phone"]("+1 200 000 0000")
    assert found["valid"] is False
    assert "region" not in found


@pytest.mark.parametrize(
    ("source", "readable"),
    [
        ("a < b and c > d", "a < b and c > d"),
        ("1 <2", "1 <2"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<p>one</p>\n\n<p>two</p>", "one\n\ntwo"),
        ("<div><div><div>deep</div></div></div>", "deep"),
        ("<b>bold</b>er", "bolder"),
        ("<a title=\"x > y\" href='>'>link</a>", "link"),
        ("<SCRIPT>alert('<p>')</SCRIPT >after", "after"),
        ("<style>p > a {}</style>text", "text"),
        ("<script>never closed", ""),
        ("</script>kept", "kept"),
        ("<!-- a > b -->c", "c"),
        ("<!-- open", ""),
        ("<!doctype html>x<?php echo 1 ?>y", "xy"),
        ("</ 1>x", "x"),
        ("open <a href='x", "open"),
        ("open <a href", "open"),
        ("end <", "end <"),
        ("<averyveryverylongtagname>x", "x"),
        ("&lt;b&gt; &eacute; &#233; &#xE9;&nbsp;&copy", "<b> é é é ©"),
        ("é &#99999999999;&#xfffffffff; ж", "é \ufffd\ufffd ж"),
        ("  much \t space \r\n here ", "much space here"),
    ],
)
def test_html_becomes_readable_text(source, readable):
    assert FILTERS["strip_html"](source) == readable


@given(st.text(alphabet="abc xyz<>&;\"'", max_size=200))
def test_text_that_is_escaped_comes_back_out_of_html(text):
    assert FILTERS["strip_html"](standard_html.escape(text)) == " ".join(text.split())


@given(st.text(max_size=50), st.text(min_size=1, max_size=3), st.text(max_size=5))
def test_replace_does_what_it_says(text, old, new):
    assert FILTERS["replace"](text, old, new) == new.join(text.split(old))


@given(st.text(max_size=80))
def test_a_slug_is_stable_and_has_no_space(text):
    made = FILTERS["slug"](text)
    assert FILTERS["slug"](made) == made
    assert not set(made) & set(" \t\n/?#%")
