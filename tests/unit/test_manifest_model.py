"""The connector language: what a file may say, and the sentence when it may not."""

import pytest
from pydantic import ValidationError

from polyport.kinds.fields import TYPES
from polyport.manifest import model
from polyport.manifest.base import Node
from polyport.manifest.evidence import Spec, SpecDifference, Verified
from polyport.manifest.model import Call, PartnerFile, Trigger
from polyport.manifest.refusals import ErrorRule, RetryAfter
from polyport.manifest.variables import CustomFieldShape, InputField, InputSection, OutputField
from samples import action, custom, field, list_spec, partner, trigger


def refused(kind, told):
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(told, by_alias=True, by_name=False)
    return "\n".join(error["msg"] for error in caught.value.errors())


def test_every_part_is_frozen_and_refuses_unknown_keys():
    parts = [part for part in vars(model).values() if isinstance(part, type) and issubclass(part, Node)]
    assert len(parts) > 20
    for part in parts:
        assert part.model_config["frozen"] is True
        assert part.model_config["extra"] == "forbid"


def test_keys_are_camel_case_in_files():
    assert action(readOnly=True).read_only
    assert "Extra inputs" in refused(model.Action, {"id": 1, "name": "a", "title": "A", "idempotent": True, "read_only": True})


@pytest.mark.parametrize("kind", [name + array for name in TYPES for array in ("", "[]")])
def test_a_field_has_the_wire_code_of_its_type(kind):
    told = field("a", kind)
    code = TYPES[kind.removesuffix("[]")].code + (100 if kind.endswith("[]") else 0)
    assert InputField.model_validate(told).code == code
    assert OutputField.model_validate(told).code == code


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"type": "text"}, '"text" is not a field type; there are: string'),
        ({"type": "string[][]"}, "is not a field type"),
        ({"name": "1a"}, "pattern"),
        ({"wire": "unix"}, '"unix" is not a wire format of string; there are: text'),
        ({"options": [{"key": 1, "label": "A"}], "list": "b"}, "options or a list, not both"),
        ({"options": [{"key": 1, "label": "A"}, {"key": "1", "label": "B"}]}, "the same key"),
        ({"min": 1}, "min, max and multipleOf bound a number; a string has none"),
        ({"type": "phone", "pattern": "a"}, "for texts; a phone has none"),
        ({"type": "integer", "maxLength": 3}, "for texts; a integer has none"),
        ({"type": "date", "format": "email"}, "for texts"),
        ({"maxItems": 3}, "maxItems are for lists"),
        ({"minItems": 3}, "maxItems are for lists"),
        ({"uniqueItems": True}, "uniqueItems is for lists of single values"),
        ({"type": "object[]", "uniqueItems": True}, "uniqueItems is for lists of single values"),
        ({"holds": "object"}, "of the type object takes"),
        ({"separator": ","}, "a separator is for lists"),
        ({"type": "file[]", "separator": ","}, "a separator is for lists"),
        ({"pattern": "(?=a)"}, "linear-time"),
        ({"pattern": "(a)\\1"}, "linear-time"),
        ({"at": "a[0]"}, "made of keys alone"),
        ({"at": "a[*]"}, "made of keys alone"),
        ({"at": ""}, "made of keys alone"),
        ({"at": 5}, "a path is a text"),
        ({"label": ""}, "at least 1 character"),
    ],
)
def test_a_field_that_contradicts_itself_is_refused(keys, words):
    assert words in refused(InputField, field("a") | keys)


def test_a_section_stands_at_keys_alone_too():
    assert "made of keys alone" in refused(InputSection, {"name": "a", "label": "A", "at": "b[0]"})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "either a path or a url"), ({"path": "/a", "url": "https://x"}, "either a path or a url"), ({"path": "a"}, "a path starts with /"),
        ({"path": "/", "method": "get"}, "pattern"), ({"path": "/", "timeout": 0}, "greater than 0"), ({"path": "/", "query": "a=1"}, "valid dictionary"),
        ({"path": "/", "encoding": "soap"}, "Input should be"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_one_is_refused(told, words):
    assert words in refused(Call, told)


@pytest.mark.parametrize("told", [{}, {"header": "a", "at": "b"}])
def test_a_wait_stands_in_one_place(told):
    assert "one of header, at and fixed" in refused(RetryAfter, told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, "at least one of status, body and header"),
        ({"status": ["4x"]}, "pattern"),
        ({"status": ["abc"]}, "pattern"),
        ({"status": [42]}, "greater"),
        ({"status": [400], "fieldPattern": "(a)"}, 'needs a "field" or "faults"'),
        ({"status": [400], "field": "a", "fieldPattern": "a"}, "has a group around the name"),
        ({"status": [400], "field": "a", "fieldPattern": "(?=a)"}, "linear-time"),
    ],
)
def test_an_error_rule_has_a_condition_that_can_hold(told, words):
    assert words in refused(ErrorRule, {"kind": "failed"} | told)


def test_wire_formats_of_custom_fields_are_ones_of_their_types():
    told = {"key": "a", "label": "b", "type": "c", "types": {"d": "datetime"}}
    assert CustomFieldShape.model_validate(told | {"wires": {"d": "unix_ms"}})
    assert '"soon" (for "d") is not a wire format' in refused(CustomFieldShape, told | {"wires": {"d": "soon"}})


@pytest.mark.parametrize("gone", ["call", "key"])
def test_an_api_trigger_has_a_call_and_a_key(gone):
    told = {"id": 1, "name": "a", "title": "A", "call": {"path": "/"}, "key": "id"}
    del told[gone]
    assert "has a call and a key" in refused(Trigger, told)


def test_a_webhook_trigger_says_how_deliveries_are_read_and_nothing_else_does():
    told = {"id": 1, "name": "a", "title": "A", "type": "webhook"}
    assert Trigger.model_validate(told | {"hook": {"manual": "Paste it."}}).kind == "webhookTrigger"
    assert 'says under "hook"' in refused(Trigger, told)
    assert 'has its calls under "hook"' in refused(Trigger, told | {"hook": {}, "call": {"path": "/"}})
    assert "no other trigger has one" in refused(Trigger, told | {"type": "api", "call": {"path": "/"}, "key": "id", "hook": {}})


def test_operations_know_what_they_are():
    assert (action().kind, action(compute="x").kind, trigger().kind) == ("action", "tool", "apiTrigger")
    assert trigger().repeatable
    assert [step.path for step in action(calls=[{"path": "/a"}, {"path": "/b"}]).steps] == ["/a", "/b"]
    assert action(compute="x").steps == ()
    made = partner(action(), trigger())
    assert [operation.name for operation in made.operations] == ["do_it", "new_things"]


@pytest.mark.parametrize(
    ("keys", "repeatable"),
    [
        ({}, False), ({"idempotent": True}, True), ({"readOnly": True}, True), ({"call": {"path": "/"}}, True), ({"compute": "x"}, True),
        ({"calls": [{"path": "/"}, {"path": "/", "method": "POST"}]}, False), ({"call": {"path": "/", "method": "{{m}}"}}, False), ({"call": {"path": "/", "method": "PUT"}}, False),
    ],
)  # fmt: skip
def test_an_action_is_repeatable_only_where_it_says_so_or_reads(keys, repeatable):
    assert action(**keys).repeatable is repeatable


def test_every_action_says_whether_it_is_idempotent():
    assert "Field required" in refused(model.Action, {"id": 1, "name": "a", "title": "A"})


def test_a_date_of_verification_is_a_day():
    assert Verified.model_validate({"how": "live", "on": "2026-11-24"}).on.year == 2026
    assert refused(Verified, {"how": "cases", "on": "soon"})
    assert refused(Verified, {"how": "trust me", "on": "2026-11-24"})


def test_builders_of_these_tests_make_real_parts():
    assert list_spec().key == ("id",)
    assert custom("a").field.name.startswith("cf__")


def test_what_is_said_of_the_services_own_description():
    assert Spec.model_validate({"corpus": "depot/api.yaml"}).corpus == ("depot/api.yaml",)
    assert refused(Spec, {"corpus": []})
    assert "would excuse everything" in refused(SpecDifference, {"why": "old"})


def test_a_difference_covers_its_places_and_what_stands_beneath_them():
    known = SpecDifference(call="POST /boxes", at=("body.rows", "query.limit"), why="old")
    assert known.covers("POST /boxes", "body.rows")
    assert known.covers("POST /boxes", "body.rows[].size")
    assert not known.covers("POST /boxes", "body.rowsize")
    assert not known.covers("GET /boxes", "query.limit")
    assert SpecDifference(at=("header.token",), why="signed").covers("GET /boxes", "header.token")
    assert SpecDifference(call="GET /new", why="newer").covers("GET /new", "")


def test_a_part_in_braces_of_a_differences_call_stands_for_any():
    known = SpecDifference(call="GET /boxes/{id}", why="newer")
    assert known.covers("GET /boxes/7", "")
    assert known.covers("GET /boxes/{id}", "")
    assert not any(known.covers(call, "") for call in ("GET /boxes", "GET /boxes/7/rows", "POST /boxes/7", "GET /crates/7"))


def test_only_who_names_a_description_is_verified_by_it():
    told = {"id": 1, "slug": "depot", "title": "Depot", "owners": ["x"], "verified": {"how": "spec", "on": "2026-11-25"}}
    assert "needs a spec" in refused(PartnerFile, told)
    assert PartnerFile.model_validate(told | {"spec": {"corpus": "depot.json"}}).spec is not None
