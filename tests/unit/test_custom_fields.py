"""Fields that a partner's account defines: how definitions become fields, how values go out and how they come back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from polyport.engine.caller import open_caller
from polyport.engine.calls import ListItems
from polyport.engine.operation import DirectLists, Understood, build_scope, compile_operation, understand
from polyport.engine.results import read_item
from polyport.engine.schema import build_schema, custom_fields, custom_name
from polyport.engine.validate import compile_validator
from polyport.manifest.cases import Exchange
from polyport.manifest.load import load_partner
from polyport.manifest.model import Action, ListSpec, Partner, PartnerFile
from polyport.manifest.variables import CustomFieldShape
from polyport.testing.cases import CaseNetwork

pytestmark = pytest.mark.anyio

SHAPE = CustomFieldShape(
    key=("name",),
    label=("label",),
    type=("type",),
    variant=("form",),
    types={"text": "string", "text.phone": "phone", "choice": "string", "choice.many": "string[]"},
    wires={"text.phone": "e164_or_given"},
    separators={"choice": ";"},
    options=("options",),
)


def _definition(**more: Any) -> dict[str, Any]:
    return {"name": "key", "label": "Label", "type": "text", **more}


def _field(**more: Any) -> Any:
    return custom_fields(SHAPE, [_definition(**more)])[0].field


def _partner(*, shape: str = "object", cleared: str | None = "", lists: Mapping[str, ListSpec] | None = None) -> Partner:
    fields = [
        {"name": "parent", "type": "string", "label": "Parent", "list": "parents"},
        {"name": "child", "type": "string", "label": "Child", "list": "children", "dependsOn": ["parent"]},
        {"name": "note", "type": "string", "label": "Note"},
    ]
    custom = {"list": "definitions", "shape": shape, "include": {"note": "note_key"}, "cleared": cleared, "resultAt": "held"}
    action = Action.model_validate(
        {
            "id": 1,
            "name": "write",
            "title": "Write",
            "idempotent": False,
            "fields": fields,
            "customFields": custom,
            "call": {"method": "POST", "path": "/x", "body": {"held": "{{custom}}"}},
        }
    )
    call = {"path": "/lists"}
    known = {
        "definitions": ListSpec.model_validate({"name": "definitions", "title": "D", "call": call, "customFields": SHAPE.model_dump()}),
        "parents": ListSpec.model_validate({"name": "parents", "title": "P", "call": call}),
        "children": ListSpec.model_validate({"name": "children", "title": "C", "call": call, "dependsOn": ["parent"]}),
    }
    file = PartnerFile.model_validate(
        {
            "id": 7,
            "slug": "seven",
            "title": "Seven",
            "owners": ["us"],
            "base": "https://api.example.com",
            "verified": {"how": "cases", "on": "2026-11-24"},
        }
    )
    return Partner(file=file, actions=(action,), lists={**known, **(lists or {})})


class _Lists:
    """Lists in memory that note what they were asked for."""

    def __init__(self, items: Mapping[str, list[Any]], children: Mapping[str, list[Any]] | None = None) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._items, self._children = items, children or {}

    async def get(self, spec: ListSpec, values: Mapping[str, Any], *, fresh: bool = False) -> ListItems:
        self.asked.append((f"{spec.name} anew" if fresh else spec.name, values.get("parent")))
        return ListItems(
            items=self._children.get(values.get("parent", ""), []) if spec.depends_on else self._items[spec.name], complete=True
        )


async def _understood(partner: Partner, data: dict[str, Any], lists: Any) -> Understood:
    return await understand(compile_operation(partner, partner.actions[0]), data, lists)


def _scope(partner: Partner, understood: Understood) -> dict[str, Any]:
    program = compile_operation(partner, partner.actions[0])
    caller = open_caller(partner, None, {}, CaseNetwork(exchanges=()), replaced=None, timeout=1, clock=_clock)
    return build_scope(program, caller, understood)


def _clock() -> datetime:
    return datetime(2026, 11, 24, tzinfo=UTC)


def test_a_second_word_tells_types_apart() -> None:
    assert (_field(form="phone").type, _field(form="phone").wire) == ("phone", "e164_or_given")


def test_without_a_second_word_the_first_one_counts() -> None:
    assert [_field().type, _field(form="line").type, _field(form=3).type] == ["string", "string", "string"]


def test_a_definition_without_a_type_is_of_the_default_type() -> None:
    assert _field(type=None, form="phone").type == "string"


def test_only_lists_have_a_separator() -> None:
    assert (_field(type="choice", form="many").separator, _field(type="choice", form="one").separator) == (";", None)


def test_a_list_with_a_separator_is_written_as_one_text() -> None:
    schema = build_schema(_partner().actions[0], custom_fields(SHAPE, [_definition(type="choice", form="many")]))
    checked = compile_validator(schema).check({custom_name("key"): ["a", "b"]})
    assert checked.custom == {"key": "a;b"}


@pytest.mark.parametrize(("held", "read"), [("a;b", ["a", "b"]), (";a", ["a"]), ("", []), (["a"], ["a"])])
def test_a_list_that_comes_back_as_one_text_is_taken_apart(held: Any, read: list[str]) -> None:
    schema = build_schema(_partner().actions[0], custom_fields(SHAPE, [_definition(type="choice", form="many")]))
    assert read_item(schema, {"held": {"key": held}}) == {custom_name("key"): read}


async def test_a_field_of_the_operation_joins_the_custom_ones_under_the_partners_key() -> None:
    partner = _partner()
    understood = await _understood(partner, {custom_name("key"): "x", "note": "y"}, _Lists({"definitions": [_definition()]}))
    assert _scope(partner, understood)["custom"] == {"key": "x", "note_key": "y"}


async def test_fields_that_were_not_given_do_not_join() -> None:
    partner = _partner()
    understood = await _understood(partner, {}, _Lists({"definitions": [_definition()]}))
    assert "custom" not in _scope(partner, understood)


@pytest.mark.parametrize(("cleared", "written"), [("", ""), (None, None)])
async def test_null_is_written_as_the_partner_wants_it(cleared: str | None, written: str | None) -> None:
    partner = _partner(shape="pairs", cleared=cleared)
    understood = await _understood(partner, {custom_name("key"): None, "note": None}, _Lists({"definitions": [_definition()]}))
    assert _scope(partner, understood)["custom"] == [{"id": "key", "value": written}, {"id": "note_key", "value": written}]


async def test_a_list_waits_for_the_field_that_it_depends_on() -> None:
    lists = _Lists({"definitions": [], "parents": [{"id": "p1", "name": "One"}]}, {"p1": [{"id": "c1", "name": "Child"}]})
    understood = await _understood(_partner(), {"parent": "One", "child": "Child"}, lists)
    assert (understood.checked.values, understood.checked.faults) == ({"parent": "p1", "child": "c1"}, [])
    assert lists.asked == [("definitions", None), ("parents", None), ("children", "p1")]


async def test_lists_that_depend_on_each_other_are_read_all_the_same() -> None:
    circle = {
        name: ListSpec.model_validate({"name": name, "title": "T", "call": {"path": "/lists"}, "dependsOn": [other]})
        for name, other in (("parents", "child"), ("children", "parent"))
    }
    lists = _Lists({"definitions": []}, {"": [{"id": "x", "name": "Ex"}]})
    understood = await _understood(_partner(lists=circle), {"parent": "Ex", "child": "Ex"}, lists)
    assert understood.checked.values == {"parent": "x", "child": "x"}


async def test_an_unknown_choice_is_looked_up_anew_before_it_is_refused() -> None:
    lists = _Lists({"definitions": [], "parents": [{"id": "p1", "name": "One"}]})
    understood = await _understood(_partner(), {"parent": "Two"}, lists)
    assert [fault.code for fault in understood.checked.faults] == ["unknown_option"]
    assert [name for name, _parent in lists.asked] == ["definitions", "parents", "parents anew"]


async def test_definitions_are_read_from_the_partner_once() -> None:
    partner = _partner()
    exchange = Exchange.model_validate(
        {"request": {"method": "GET", "url": "https://api.example.com/lists"}, "reply": {"json": [_definition()]}}
    )
    network = CaseNetwork(exchanges=(exchange,))
    caller = open_caller(partner, None, {}, network, replaced=None, timeout=1, clock=_clock)
    understood = await _understood(partner, {custom_name("key"): "x"}, DirectLists(caller))
    assert (understood.checked.custom, network.differences, network.sent) == ({"key": "x"}, [], 1)


def test_only_fields_of_the_operation_can_join_the_custom_ones(tmp_path: Path) -> None:
    files = {
        "partner.yaml": "{id: 7, slug: seven, title: Seven, owners: [us], base: 'https://api.example.com', verified: {how: cases, on: '2026-11-24'}}",
        "actions/write.yaml": "{id: 1, name: write, title: Write, idempotent: false, customFields: {list: definitions, include: {nota: key}},"
        " fields: [{name: note, type: string, label: Note}], call: {path: /x}}",
        "lists/definitions.yaml": "{name: definitions, title: D, call: {path: /d}, customFields: {key: name, label: label, type: type}}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [problem.message for problem in load_partner(tmp_path).problems] == [
        '"nota" is not a field of this operation: it cannot join the custom ones.'
    ]
