"""Inputs that are secrets: their names at any depth, their values in any shape."""

import pytest

from polyport.engine.caller import hiding, open_caller
from polyport.engine.hidden import hidden_names, hidden_values, without_hidden
from samples import action, field, partner, schema_of

NAMES = frozenset({"pin", "code"})


def test_the_names_of_secret_fields_are_found_at_any_depth():
    rows = {
        "name": "rows",
        "label": "Rows",
        "fields": [field("code", secret=True), field("plain")],
        "sections": [{"name": "parts", "label": "Parts", "fields": [field("seal", secret=True)]}],
    }
    assert hidden_names(schema_of(field("pin", secret=True), field("name"), sections=[rows])) == {"pin", "code", "seal"}


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"pin": "1234", "name": "Ada"}, {"1234"}),
        ({"pin": 1234}, {"1234"}),
        ({"pin": ["a-1", "a-2"]}, {"a-1", "a-2"}),
        ({"pin": {"deep": [{"er": "x-9"}]}}, {"x-9"}),
        ({"rows": [{"code": "c-1", "plain": "no"}, {"code": None}]}, {"c-1"}),
        ({"pin": "", "code": True}, set()),
        ("nothing", set()),
        (None, set()),
    ],
)
def test_the_values_under_these_names_are_found(data, values):
    assert hidden_values(NAMES, data) == values


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"pin": "1234", "name": "Ada"}, {"pin": "-", "name": "Ada"}),
        ({"pin": {"deep": ["x-9"]}}, {"pin": "-"}),
        ({"rows": [{"code": "c-1", "plain": 7}, {"code": None}, "text"]}, {"rows": [{"code": "-", "plain": 7}, {"code": None}, "text"]}),
        ({"pin": "", "code": True}, {"pin": "", "code": "-"}),
        (None, None),
    ],
)
def test_an_input_is_shown_with_a_stand_in_for_what_is_given_under_these_names(data, shown):
    assert without_hidden(NAMES, data, "-") == shown


def test_without_secret_fields_nothing_is_looked_for():
    assert hidden_values(frozenset(), {"pin": "1234"}) == frozenset()


def test_a_caller_masks_the_secrets_of_an_input_beside_its_own():
    caller = open_caller(partner(action()), None, {"key": "its-own-key"}, None, replaced=None, timeout=1, clock=None)
    hidden = hiding(caller, frozenset({"given-with-the-run"}))
    assert hidden.redactor.text("its-own-key given-with-the-run") == "[secret] [secret]"
    assert hiding(hidden, frozenset({"its-own-key"})) is hidden
