"""Pagers: which page comes next, where a list ends, and what hostile answers do to them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from bounds import little_time
from polyport.kinds.pages import KINDS, Pager, Walk
from samples import json_reply

PAGER = TypeAdapter(Pager)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["next", "more", "total", "id", "x"]), inner, max_size=4),
    max_leaves=8,
)


def pager(**keys):
    return PAGER.validate_python(keys)


def after(made, answer, items=(), reply=None, page=None):
    return made.following(page or made.first(), answer, reply or json_reply(), list(items))


# Cursor


def test_a_cursor_goes_on_while_the_answer_gives_a_token():
    made = pager(kind="cursor", next="meta.next", size=2)
    assert made.first() == {"size": 2}
    assert after(made, {"meta": {"next": "t2"}}) == {"size": 2, "cursor": "t2"}
    assert after(made, {"meta": {"next": 7}}) == {"size": 2, "cursor": 7}


@pytest.mark.parametrize("answer", [{}, {"next": None}, {"next": ""}, {"next": {"a": 1}}, {"next": ["t"]}, {"next": True}, [], None, "x"])
def test_a_cursor_ends_without_a_usable_token(answer):
    assert after(pager(kind="cursor", next="next"), answer) is None


def test_a_cursor_that_comes_back_ends_the_list():
    assert after(pager(kind="cursor", next="next"), {"next": "t"}, page={"size": 1, "cursor": "t"}) is None


@pytest.mark.parametrize(("more", "goes_on"), [(True, True), (1, True), (False, False), (None, False), (0, False)])
def test_a_flag_may_end_a_cursor(more, goes_on):
    made = pager(kind="cursor", next="next", more="more")
    assert (after(made, {"next": "t", "more": more}) is not None) is goes_on
    assert after(made, {"next": "t"}) is None


def test_a_cursor_may_stand_in_a_header():
    made = pager(kind="cursor", header="X-Next")
    assert after(made, None, reply=json_reply(x_next="t")) == {"size": 100, "cursor": "t"}
    assert after(made, None) is None


@pytest.mark.parametrize("keys", [{}, {"next": "a", "header": "b"}])
def test_a_cursor_stands_in_one_place(keys):
    with pytest.raises(ValidationError, match="next or header"):
        pager(kind="cursor", **keys)


# Numbers and offsets


def test_page_numbers_count_up_to_the_total():
    made = pager(kind="page", size=2, total="pages")
    assert made.first() == {"size": 2, "number": 1}
    assert after(made, {"pages": 2}, [1]) == {"size": 2, "number": 2}
    assert after(made, {"pages": 2}, [1], page={"size": 2, "number": 2}) is None


def test_page_numbers_may_start_at_zero():
    made = pager(kind="page", size=2, total="pages", start=0)
    assert after(made, {"pages": 2}, [1]) == {"size": 2, "number": 1}
    assert after(made, {"pages": 2}, [1], page={"size": 2, "number": 1}) is None


def test_without_a_total_a_page_that_is_not_full_is_the_last():
    made = pager(kind="page", size=2)
    assert after(made, {}, [1, 2]) == {"size": 2, "number": 2}
    assert after(made, {}, [1]) is None
    assert after(made, {}, []) is None


def test_an_empty_page_ends_the_list_whatever_the_total_says():
    assert after(pager(kind="page", total="pages"), {"pages": 99}, []) is None
    assert after(pager(kind="offset", total="n"), {"n": 99}, []) is None


def test_offsets_count_the_items_that_came():
    made = pager(kind="offset", size=2, total="n")
    assert made.first() == {"size": 2, "offset": 0}
    assert after(made, {"n": 3}, [1, 2]) == {"size": 2, "offset": 2}
    assert after(made, {"n": 3}, [3], page={"size": 2, "offset": 2}) is None


def test_an_offset_ends_at_a_flag_or_a_page_that_is_not_full():
    flagged = pager(kind="offset", size=2, more="more")
    assert after(flagged, {"more": True}, [1]) == {"size": 2, "offset": 1}
    assert after(flagged, {"more": False}, [1, 2]) is None
    plain = pager(kind="offset", size=2)
    assert after(plain, {}, [1, 2]) == {"size": 2, "offset": 2}
    assert after(plain, {}, [1]) is None


# URLs


def test_the_next_url_is_taken_from_the_answer_once():
    made = pager(kind="next_url", next="next")
    assert after(made, {"next": "https://a/2"}) == {"size": 100, "url": "https://a/2"}
    assert after(made, {"next": "https://a/2"}, page={"size": 1, "url": "https://a/2"}) is None
    assert after(made, {"next": 5}) is None
    assert after(made, {"next": ""}) is None


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ('<https://a/2>; rel="next"', "https://a/2"),
        ("<https://a/2>; rel=next", "https://a/2"),
        ("<https://a/2>;rel=next;title=x", "https://a/2"),
        ('<https://a/0>; rel="prev", <https://a/2>; rel="next"', "https://a/2"),
        ('<https://a/2>; title="x"; REL="last Next"', "https://a/2"),
        ('<https://a/2>; rel="next last"', "https://a/2"),
        ('<https://a/0>; rel="prev"; title="the next"', None),
        ("<https://a/0>; rel=prev; title=go next", None),
        ('<https://a/0>; rel="nextish"', None),
        ("<https://a/0>; rel=nextish", None),
        ('<https://a/0>; title="rel=next"', None),
        ("https://a/2; rel=next", None),
        ("<https://a/2>", None),
        ("", None),
    ],
)
def test_the_link_header_names_the_next_page(link, url):
    found = after(pager(kind="link"), None, reply=json_reply(link=link))
    assert (found and found["url"]) == url


def test_a_link_to_the_page_itself_ends_the_list():
    reply = json_reply(link='<https://a/2>; rel="next"')
    assert after(pager(kind="link"), None, reply=reply, page={"size": 1, "url": "https://a/2"}) is None
    assert after(pager(kind="link"), None) is None


@pytest.mark.parametrize(
    "link",
    ["<" * 100_000, "<u>" + "; rel=a " * 20_000, "<u>; rel=" + " " * 100_000, '<u>; rel="' + "a " * 8_000, "<" + "a" * 3_999 + ">" * 3],
)
def test_a_hostile_link_header_costs_little_time(link):
    with little_time():
        assert after(pager(kind="link"), None, reply=json_reply(link=link)) is None


# Last id


def test_the_next_page_starts_after_the_last_item():
    made = pager(kind="last_id", key="id", size=2)
    assert after(made, {}, [{"id": 1}, {"id": 2}]) == {"size": 2, "after": 2}
    assert after(made, {}, [{"id": 1}]) is None
    assert after(made, {}, []) is None
    assert after(made, {}, [{}, {}]) is None
    assert after(made, {}, [{"id": 1}, {"id": {"a": 1}}]) is None
    assert after(made, {}, [{"id": 1}, {"id": 2}], page={"size": 2, "after": 2}) is None


def test_a_flag_says_whether_there_is_more_after_the_last_item():
    made = pager(kind="last_id", key="id", more="has_more")
    assert after(made, {"has_more": True}, [{"id": 1}]) == {"size": 100, "after": 1}
    assert after(made, {"has_more": False}, [{"id": 1}]) is None
    assert after(made, {}, [{"id": 1}]) is None


# What the partner lets anyone read, and what it tells


def test_a_cursor_may_be_a_parameter_of_a_url():
    made = pager(kind="cursor", next="next", param="page[after]")
    assert after(made, {"next": "https://a/x?page%5Bafter%5D=t%202&b=1"}) == {"size": 100, "cursor": "t 2"}
    assert after(made, {"next": "?page[after]=t2"}) == {"size": 100, "cursor": "t2"}


@pytest.mark.parametrize("url", [None, 5, "https://a/x", "https://[a/x?page[after]=1", "https://a/?page[after]=" + "1" * 20_000])
def test_a_url_without_the_parameter_ends_a_cursor(url):
    assert after(pager(kind="cursor", next="next", param="page[after]"), {"next": url}) is None


def test_a_cursor_may_begin_with_a_token():
    made = pager(kind="cursor", next="next", start="*")
    assert made.first() == {"size": 100, "cursor": "*"}
    assert after(made, {"next": "t2"}) == {"size": 100, "cursor": "t2"}
    assert after(made, {"next": "*"}) is None


@pytest.mark.parametrize(
    ("flag", "goes_on"), [(True, False), (1, False), ("true", False), (False, True), (None, True), ("no", True), ([], True)]
)
def test_a_flag_may_end_any_list(flag, goes_on):
    made = pager(kind="cursor", next="next", end=["page.last"])
    assert (after(made, {"next": "t", "page": {"last": flag}}) is not None) is goes_on


def test_nothing_is_asked_for_beyond_the_most_pages():
    made = pager(kind="page", size=1, maxPages=2)
    second = after(made, {}, [1])
    assert second == {"size": 1, "number": 2, "read": 1}
    assert after(made, {}, [1], page=second) is None


def test_nothing_is_asked_for_beyond_the_most_items():
    made = pager(kind="cursor", next="next", size=2, maxItems=4)
    second = after(made, {"next": "t2"}, [1, 2])
    assert second == {"size": 2, "cursor": "t2", "seen": 2}
    assert after(made, {"next": "t3"}, [3], page=second) == {"size": 2, "cursor": "t3", "seen": 3}
    assert after(made, {"next": "t3"}, [3, 4], page=second) is None


@pytest.mark.parametrize(("total", "goes_on"), [(3, True), ("3", True), (2, False), ("2", False), (None, True), ("x", True), (True, True)])
def test_pages_may_be_told_by_the_number_of_items(total, goes_on):
    made = pager(kind="page", size=2, totalItems="total")
    assert (after(made, {"total": total}, [1, 2]) is not None) is goes_on


def test_a_flag_may_end_numbered_pages():
    made = pager(kind="page", size=2, more="more")
    assert after(made, {"more": True}, [1]) == {"size": 2, "number": 2}
    assert after(made, {"more": False}, [1, 2]) is None


@pytest.mark.parametrize("keys", [{"kind": "page"}, {"kind": "offset"}, {"kind": "last_id", "key": "id"}])
def test_pages_that_are_not_full_may_go_on_until_an_empty_one(keys):
    made = pager(size=5, untilEmpty=True, **keys)
    assert after(made, {}, [{"id": 1}]) is not None
    assert after(made, {}, []) is None


def test_offsets_may_count_from_one_and_by_whole_pages():
    made = pager(kind="offset", size=10, start=1, step="size", total="total")
    assert made.first() == {"size": 10, "offset": 1}
    assert after(made, {"total": "20"}, [1]) == {"size": 10, "offset": 11}
    assert after(made, {"total": 20}, [1], page={"size": 10, "offset": 11}) is None


def test_a_flag_may_end_next_urls():
    made = pager(kind="next_url", next="next", more="more")
    assert after(made, {"next": "https://a/2", "more": True}) is not None
    assert after(made, {"next": "https://a/2", "more": False}) is None


def test_the_id_of_the_first_item_may_count():
    assert after(pager(kind="last_id", key="id", take="first", size=2), {}, [{"id": 1}, {"id": 2}]) == {"size": 2, "after": 1}


def test_a_link_may_need_an_attribute_and_have_another_name():
    made = pager(kind="link", header="X-Links", rel="older", attribute="results")
    text = '<https://a/2>; rel="older"; results="{}"; cursor="0:1:0"'
    assert after(made, None, reply=json_reply(x_links=text.format("true"))) == {"size": 100, "url": "https://a/2"}
    assert after(made, None, reply=json_reply(x_links=text.format("false"))) is None


def test_a_link_header_may_stand_several_times():
    reply = json_reply()
    headers = (("Link", '<https://a/0>; rel="prev"'), ("link", '<https://a/2>; rel="next"'))
    assert after(pager(kind="link"), None, reply=replace(reply, headers=headers)) == {"size": 100, "url": "https://a/2"}


def test_a_partner_that_sends_in_circles_is_not_followed():
    walk = Walk(pager(kind="cursor", next="next", size=1))
    page, tokens = {"size": 1}, []
    for token in ("a", "b", "a", "c"):
        page = walk.following(page, {"next": token}, json_reply(), [])
        if page is None:
            break
        tokens.append(page["cursor"])
    assert tokens == ["a", "b"]


def test_a_list_without_pages_has_no_next_one():
    assert Walk(None).following(None, {}, json_reply(), []) is None


# All

EACH = [
    {"kind": "cursor", "next": "next", "more": "more"},
    {"kind": "page", "total": "total"},
    {"kind": "offset", "total": "total", "more": "more"},
    {"kind": "next_url", "next": "next"},
    {"kind": "link"},
    {"kind": "last_id", "key": "id", "more": "more"},
]


def test_every_kind_is_tried_here():
    assert {each["kind"] for each in EACH} == KINDS.keys()


@given(st.sampled_from(EACH), JSON, st.lists(JSON, max_size=3), st.text(alphabet='<>;="rel next,', max_size=60))
def test_no_answer_makes_a_pager_fail(keys, answer, items, link):
    made = pager(**keys, size=2)
    found = made.following(made.first(), answer, json_reply(link=link), items)
    assert found is None or (found["size"] == 2 and len(found) == 2)
    if found is not None:
        assert all(isinstance(value, str | int | float) for value in found.values())


@pytest.mark.parametrize("at", [5, None, {"a": 1}, [None], "a..b"])
def test_a_pager_with_a_path_that_is_none_is_refused(at):
    with pytest.raises(ValidationError):
        pager(kind="next_url", next=at)


def test_a_page_size_has_bounds():
    for size in (0, 10_001):
        with pytest.raises(ValidationError):
            pager(kind="link", size=size)
