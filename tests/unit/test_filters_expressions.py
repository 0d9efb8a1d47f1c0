import pytest

from bounds import little_time
from polyport.kinds.filters import FILTERS
from polyport.kinds.filters.limits import ITEM_LIMIT, TEXT_LIMIT
from polyport.paths import MISSING
from polyport.template import RenderFault


@pytest.mark.parametrize(
    ("name", "value", "arguments", "result"),
    [
        ("matches", "a\nb", ("a.b",), False),
        ("matches", "a\nb", ("(?s)a.b",), True),
        ("matches", "a\nb", ("^b$",), False),
        ("matches", "a\nb", ("(?m)^b$",), True),
        ("matches", "ÉTÉ", ("été", True), True),
        ("matches", 2026, ("^20",), True),
        ("matches", "", ("",), True),
        ("extract", "ab", ("b",), "b"),
        ("extract", "ab", ("c",), MISSING),
        ("extract", "b", ("(a)?b", 1), MISSING),
        ("extract", "k=v", ("(?P<key>[a-z])=(?P<value>[a-z])", "value"), "v"),
        ("extract", "k=v", ("([a-z])=([a-z])", "2"), "v"),
        ("extract_all", "", ("x*",), [{"text": "", "start": 0, "groups": [], "named": {}}]),
        ("replace_pattern", "abc", ("b",), "ac"),
        ("replace_pattern", "abc", ("(x)?b", "[$1]"), "a[]c"),
        ("replace_pattern", "abc", ("", "-"), "-a-b-c-"),
        ("replace_pattern", "a", ("a", "$ $a ${"), "$ $a ${"),
        ("split_pattern", "a1b22c", ("[0-9]+",), ["a", "b", "c"]),
        ("split_pattern", "", (",",), []),
    ],
)
def test_a_filter_with_a_regular_expression_gives(name, value, arguments, result):
    assert FILTERS[name](value, *arguments) == result


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("matches", "a", ("(",)),
        ("matches", "a", ("(?=a)",)),
        ("matches", "a", (r"(a)\1",)),
        ("matches", "a", ("a{1001}",)),
        ("matches", "a", (r"(?:\pL{200}){200}",)),
        ("matches", "a", ("a" * 1_001,)),
        ("matches", "a", ("a", "yes")),
        ("matches", "\ud800", ("a",)),
        ("matches", "a", ("\ud800",)),
        ("extract", "a", ("a", 1)),
        ("extract", "a", ("a", -1)),
        ("extract", "a", ("a", "name")),
        ("extract", "a", ("a", "9" * 900)),
        ("replace_pattern", "a", ("a", "$1")),
        ("replace_pattern", "a", ("a", "${name}")),
        ("extract_all", "\n" * ITEM_LIMIT, ("(?m)^",)),
    ],
)
def test_a_pattern_or_a_group_that_there_is_not_is_refused(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        # Many matches, each of which may look at all that is left of the text.
        ("extract_all", "x" * TEXT_LIMIT, ("(?:x*y)|x",)),
        # Many states at every character.
        ("matches", "ab" * (TEXT_LIMIT // 2), ("a[ab]{900}c",)),
        # Groups in groups, each as long as the text.
        ("extract_all", "x" * 20_000, ("(" * 300 + "x*" + ")" * 300,)),
        # A replacement that repeats a long group.
        ("replace_pattern", "x" * 20_000, ("(x+)", "$1" * 1_000)),
        ("replace_pattern", "x" * 1_000, ("", "y" * 10_000)),
        ("replace_pattern", "x" * TEXT_LIMIT, ("^", "y")),
    ],
)
def test_a_hostile_pattern_is_refused_before_it_takes_time_or_memory(name, value, arguments):
    with little_time(), pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


def test_the_sentence_about_a_pattern_does_not_repeat_it():
    with pytest.raises(RenderFault) as caught:
        FILTERS["matches"]("text", "(secret")
    assert "secret" not in str(caught.value)
