"""Texts in GraphQL documents, of one line and of many, as schemas describe things and requests send them; and texts that do not end."""

from __future__ import annotations

import pytest

from polyport.testing.graphql import asked_for
from polyport.testing.spec.graphql import Tokens, Unreadable

TEXTS = [
    '""',
    '"plain"',
    r'"a \"quoted\" word"',
    r'"a backslash at the end \\"',
    '""""""',
    '"""of\nmany lines"""',
    '"""a "quoted" word, and ""two"" quotes"""',
    r'"""three quotes that do not end it: \""" and on"""',
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_one_token_whatever_stands_in_it(text):
    tokens = Tokens(f"{text} name")
    assert (tokens.take(), tokens.take(), bool(tokens)) == (text, "name", False)


@pytest.mark.parametrize("text", ['"one line\n"', '"""many lines', r'"""\"""', '"'])
def test_a_text_that_does_not_end_cannot_be_read(text):
    with pytest.raises(Unreadable):
        Tokens(text)


@pytest.mark.parametrize("text", TEXTS)
def test_fields_are_found_around_a_text(text):
    assert asked_for({"query": f"{{ first(of: {text}) {{ id }} second }}"}) == {"first", "second"}


def test_a_text_that_does_not_end_hides_what_follows_and_is_read_once():
    """Reading on from each of its quotes would take hours."""
    assert asked_for({"query": '{ first(of: """' + '\\"' * 90_000}) == {"first"}
    assert asked_for({"query": '{ first(of: "' + '\\"' * 90_000}) == {"first"}
