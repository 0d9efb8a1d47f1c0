"""What is taken for a regular expression of ECMAScript. Node.js 20 takes all of these and none of those, but for flags of groups (ES2025)."""

from __future__ import annotations

import pytest

from polyport.engine.ecma import is_pattern


@pytest.mark.parametrize(
    "text",
    [
        "", "abc", "^a+$", "a|", "|", "[a-z]{1,3}?", "(?:x|y)*", "(a)(?=b)(?!c)", "(?<=a)(?<!b)c", "(?<year>\\d{4})-\\k<year>", "(?=a)*",
        "[]", "[^]", "[^]]", "[]a]", "[a-]", "[-a]", "[\\]]", "[a-\\d]", "[\\d-a]", "[\\--a]", "a{", "a{,3}", "{", "a{2,}", "a{2}", "]", "}",
        "\\/", "\\.", "\\u{1F600}", "\\cA", "[\\b]", "é+", "(?<été>a)", "a\\\nb", "(?i:a)", "(?-i:a)", "x{0,0}", "[\\t-\\n]",
    ],
)  # fmt: skip
def test_a_pattern(text: str):
    assert is_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        "(", ")", "a)", "(a", "(?", "(?a)", "(?P<a>b)", "(?<>a)", "(?<1a>b)", "(?<a>b)(?<a>c)", "*", "+a", "?", "a**", "a+*", "a??*", "|*", "^*",
        "(*a)", "(?<=a)*", "(?<!a)+", "\\b+", "{2}", "a{2}{3}", "a{3,2}", "[", "[a", "[\\]", "[z-a]", "[\\.-\\-]", "\\", "a\\", "[a\\",
        "(?:", "(?<a", "a|?",
    ],
)  # fmt: skip
def test_what_is_no_pattern(text: str):
    assert not is_pattern(text)


@pytest.mark.parametrize("text", ["(" * 200_000, "[" * 200_000, "a{" * 100_000, "(?<" * 100_000, "\\" * 200_001, "(?:a|" * 100_000])
def test_a_long_text_is_read_once(text: str):
    assert is_pattern(text) is (text[0] == "a")
