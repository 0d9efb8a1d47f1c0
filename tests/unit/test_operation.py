"""An operation from its input to its result."""

import base64
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.engine.operation import (
    COMPILED_MOST,
    ITEMS_DEFAULT,
    DirectLists,
    Reading,
    compute,
    read_reading,
    read_trigger,
    select,
    understand,
)
from polyport.engine.plan import plan
from polyport.engine.schema import custom_name
from polyport.engine.trace import CallFailed
from polyport.errors import ValidationFailed
from polyport.net.message import NetworkFault
from ready import Ready
from samples import action, field, list_spec, trigger

pytestmark = pytest.mark.anyio
UNIX = 1795521600


def refusal(call, *arguments):
    with pytest.raises(ValidationFailed) as caught:
        call(*arguments)
    return [(fault.path, fault.code) for fault in caught.value.details.fields]


# Actions


async def test_an_action_sends_its_call_and_reads_its_result():
    ready = Ready(
        action(
            fields=[field("name")],
            call={"method": "POST", "path": "/things", "body": {"name": "{{name}}"}},
            result={"at": "data", "fields": [field("id", "integer")]},
        ),
        {"data": {"id": 5}},
    )
    found = await ready.act({"name": "x"})
    assert found.result == {"id": 5}
    assert found.raw == {"data": {"id": 5}}
    assert ready.line.requests[0].body == b'{"name":"x"}'
    assert ready.seen == found.traces


async def test_a_result_that_is_not_where_it_should_be_is_empty():
    assert (await Ready(action(result={"at": "data", "fields": [field("id")]}), {}).act()).result == {}


async def test_later_calls_read_earlier_answers_and_are_sent_only_when_due():
    steps = [
        {"method": "POST", "path": "/a", "save": "first", "body": {}},
        {"method": "PUT", "path": "/b/{{steps.first.id}}", "when": {"at": "steps.first.more", "equals": True}, "save": "second"},
        {"path": "/c/{{steps.second.id}}", "when": {"at": "steps.second.id"}},
        {"path": "/d", "when": {"at": "name"}},
    ]
    operation = action(fields=[field("name")], calls=steps, result={"fields": [field("id", "integer")]})
    ready = Ready(operation, {"id": 1, "more": True}, {"id": 2}, {"id": 3})
    assert (await ready.act()).result == {"id": 3}
    assert ready.line.paths == ["/a", "/b/1", "/c/2"]
    short = Ready(operation, {"id": 1}, {"id": 9})
    assert (await short.act({"name": "x"})).result == {"id": 9}
    assert short.line.paths == ["/a", "/d"]


async def test_an_action_of_which_no_call_is_due_does_nothing():
    found = await Ready(action(fields=[field("name")], call={"path": "/d", "when": {"at": "name"}})).act()
    assert (found.result, found.traces) == ({}, [])


async def test_a_failed_call_is_watched_too():
    ready = Ready(action(), NetworkFault("cut", reached=True))
    with pytest.raises(CallFailed):
        await ready.act()
    assert [trace.error for trace in ready.seen] == ["cut"]


async def test_templates_read_the_clock_a_random_id_and_the_selectors():
    told = {"method": "POST", "path": "/{{sheet}}", "body": {"at": "{{now}}", "id": "{{random.uuid}}"}}
    ready = Ready(action(selectors=[field("sheet")], call=told), {})
    await ready.act(selected={"sheet": "s1"})
    body = msgspec.json.decode(ready.line.requests[0].body)
    assert ready.line.paths == ["/s1"]
    assert body["at"] == "2026-11-24T12:00:00Z"
    assert len(body["id"]) == 36


async def test_a_selector_that_is_given_as_a_key_reads_no_list_and_a_label_reads_it():
    sheets = list_spec("sheets", keyPattern="s[0-9]+")
    ready = Ready(action(selectors=[field("sheet", list="sheets")]), [{"id": "s1", "name": "First"}], lists={"sheets": sheets})
    assert (await select(ready.program, {1: "s1"}, DirectLists(ready.caller))).values == {"sheet": "s1"}
    assert ready.line.paths == []
    assert (await select(ready.program, {1: "First"}, DirectLists(ready.caller))).values == {"sheet": "s1"}


async def test_a_selector_that_is_no_choice_is_a_fault_at_its_position():
    ready = Ready(action(selectors=[field("a"), field("sheet", list="sheets")]), [], [], lists={"sheets": list_spec("sheets")})
    (fault,) = (await select(ready.program, {1: "x", 2: "none"}, DirectLists(ready.caller))).faults
    assert (fault.path, fault.code) == ("credentialData.2.value", "unknown_option")


async def test_a_selector_that_depends_on_one_that_is_no_choice_is_a_fault_at_its_position_too_and_its_list_is_not_read():
    sheets = list_spec("sheets", dependsOn=["book"], call={"path": "/{{book}}/sheets"})
    selectors = [field("book", list="books"), field("sheet", list="sheets")]
    ready = Ready(action(selectors=selectors), [], [], lists={"books": list_spec("books"), "sheets": sheets})
    found = (await select(ready.program, {1: "none", 2: "First"}, DirectLists(ready.caller))).faults
    assert [(fault.path, fault.code) for fault in found] == [
        ("credentialData.1.value", "unknown_option"),
        ("credentialData.2.value", "unknown_option"),
    ]
    assert not [path for path in ready.line.paths if path.endswith("/sheets") and path != "/sheets"]


# Tools


async def test_a_tool_computes_and_sends_nothing():
    ready = Ready(action(fields=[field("a")], compute={"out": "{{a | upper}}"}, result={"fields": [field("out")]}))
    understood, scope = await ready.scope({"a": "x"})
    assert compute(ready.program, understood.schema, scope).result == {"out": "X"}
    assert ready.line.requests == []


async def test_a_tool_that_cannot_take_a_value_says_so():
    ready = Ready(action(fields=[field("a")], compute={"out": "{{a | int}}"}, result={"fields": [field("out")]}))
    understood, scope = await ready.scope({"a": "x"})
    assert refusal(compute, ready.program, understood.schema, scope) == [("runnerData", "not_computable")]


async def test_a_tool_without_its_value_gives_nothing():
    ready = Ready(action(fields=[field("a")], compute="{{a}}", result={"at": "x", "fields": [field("out")]}))
    understood, scope = await ready.scope()
    found = compute(ready.program, understood.schema, scope)
    assert (found.result, found.raw) == ({}, None)


# Lists and custom fields

SHAPE = {"key": "key", "label": "label", "type": "type", "types": {"n": "integer"}}


async def test_custom_fields_are_read_from_the_account_and_sent_under_its_keys():
    lists = {"people": list_spec("people", customFields=SHAPE)}
    for shape, body in (("object", {"c": {"size": 3}}), ("pairs", {"c": [{"id": "size", "value": 3}]})):
        told = {"method": "POST", "path": "/things", "body": {"c": "{{custom}}"}}
        ready = Ready(action(customFields={"list": "people", "shape": shape}, call=told), [{"key": "size", "type": "n"}], {}, lists=lists)
        await ready.act({custom_name("size"): "3"})
        assert msgspec.json.decode(ready.line.requests[1].body) == body


async def test_the_keys_of_pairs_may_be_numbers_to_the_partner():
    lists = {"people": list_spec("people", customFields=SHAPE)}
    told = {"method": "POST", "path": "/things", "body": {"c": "{{custom}}"}}
    custom = {"list": "people", "shape": "pairs", "numericKeys": True, "resultAt": "c"}
    answer = {"c": [{"id": 27642, "value": 4}]}
    definitions = [{"key": 27642, "type": "n"}, {"key": "0x"}]
    ready = Ready(action(customFields=custom, call=told), definitions, answer, lists=lists)
    result = (await ready.act({custom_name("27642"): "3", custom_name("0x"): "a"})).result
    assert msgspec.json.decode(ready.line.requests[1].body) == {"c": [{"id": 27642, "value": 3}, {"id": "0x", "value": "a"}]}
    assert result == {custom_name("27642"): 4}


async def test_custom_values_may_be_the_pairs_themselves():
    shape = SHAPE | {"types": {"n": "integer", "o": "string"}}
    shape |= {"writes": {"n": {"number": "{{value}}"}}, "reads": {"n": "{{value.number}}"}, "clears": {"n": {"number": "none"}}}
    told = {"method": "POST", "path": "/things", "body": {"c": "{{custom}}"}}
    custom = {"list": "people", "shape": "pairs", "pairKey": "field", "pairValue": "", "resultAt": "c"}
    definitions = [{"key": "size", "type": "n"}, {"key": "age", "type": "n"}, {"key": "name", "type": "o"}]
    answer = {"c": [{"field": "size", "number": 4}, {"field": "name", "value": "not the pair itself"}]}
    ready = Ready(action(customFields=custom, call=told), definitions, answer, lists={"people": list_spec("people", customFields=shape)})
    result = (await ready.act({custom_name("size"): "3", custom_name("age"): None, custom_name("name"): "a"})).result
    sent = [{"number": 3, "field": "size"}, {"number": "none", "field": "age"}, {"field": "name", "value": "a"}]
    assert msgspec.json.decode(ready.line.requests[1].body) == {"c": sent}
    assert result == {custom_name("size"): 4}


async def test_without_custom_values_nothing_is_sent_for_them():
    ready = Ready(
        action(customFields={"list": "people"}, call={"method": "POST", "path": "/", "body": {"c": "{{custom}}"}}),
        [],
        {},
        lists={"people": list_spec("people", customFields=SHAPE)},
    )
    await ready.act()
    assert ready.line.requests[1].body == b"{}"


async def test_an_unknown_custom_field_asks_once_for_fresh_definitions():
    ready = Ready(action(customFields={"list": "people"}), [], [{"key": "size"}], lists={"people": list_spec("people", customFields=SHAPE)})
    found = await ready.understand({custom_name("size"): "3"})
    assert found.checked.faults == []
    assert ready.line.paths == ["/people", "/people"]


async def test_a_list_is_read_only_to_tell_a_label_from_a_key():
    operation = action(fields=[field("owner", "integer", list="owners")])
    assert (await Ready(operation, lists={"owners": list_spec()}).understand({"owner": 7})).checked.values == {"owner": 7}
    ready = Ready(operation, [{"id": 7, "name": "Ada"}], lists={"owners": list_spec()})
    assert (await ready.understand({"owner": "ada"})).checked.values == {"owner": 7}


async def test_an_unknown_label_asks_once_for_a_fresh_list():
    ready = Ready(action(fields=[field("owner", "integer", list="owners")]), [], [{"id": 7, "name": "Ada"}], lists={"owners": list_spec()})
    assert (await ready.understand({"owner": "ada"})).checked.values == {"owner": 7}
    gone = Ready(action(fields=[field("owner", "integer", list="owners")]), [], [], lists={"owners": list_spec()})
    assert [fault.code for fault in (await gone.understand({"owner": "ada"})).checked.faults] == ["unknown_option"]


async def test_a_list_that_depends_on_another_choice_is_read_after_it():
    lists = {"owners": list_spec(), "cats": list_spec("cats", dependsOn=["owner"], call={"path": "/cats/{{owner}}"})}
    operation = action(fields=[field("cat", list="cats", dependsOn=["owner"]), field("owner", "integer", list="owners")])
    ready = Ready(operation, [{"id": 7, "name": "Ada"}], [{"id": "c1", "name": "Tom"}], lists=lists)
    assert (await ready.understand({"owner": "Ada", "cat": "Tom"})).checked.values == {"owner": 7, "cat": "c1"}
    assert ready.line.paths == ["/owners", "/cats/7"]


async def test_a_list_may_depend_on_a_selector_and_is_read_once():
    lists = {"tabs": list_spec("tabs", dependsOn=["sheet"], call={"path": "/tabs/{{sheet}}"})}
    ready = Ready(
        action(selectors=[field("sheet")], fields=[field("a", list="tabs"), field("b", list="tabs")]),
        [{"id": "t", "name": "T"}],
        lists=lists,
    )
    assert (await ready.understand({"a": "T", "b": "t"}, {"sheet": "s 1"})).checked.values == {"a": "t", "b": "t"}
    assert ready.line.paths == ["/tabs/s%201"]


# Triggers

ITEM = {"fields": [field("id", "integer")]}


def numbered(**keys):
    told = {"pager": {"kind": "page", "size": 2}, "call": {"path": "/things", "query": {"page": "{{page.number}}", "size": "{{page.size}}", "from": "{{window.from}}", "limit": "{{limit}}"}}}  # fmt: skip
    return trigger(result=ITEM, **(told | keys))


def batch(*numbers):
    return [{"id": number, "at": UNIX + number} for number in numbers]


async def test_a_trigger_is_read_to_its_end():
    ready = Ready(numbered(), batch(1, 2), batch(3))
    assert await ready.read() == {"items": [{"id": 1}, {"id": 2}, {"id": 3}], "nextCursor": None, "hasMore": False}
    assert ready.line.paths == [f"/things?page={number}&size=2&limit={ITEMS_DEFAULT}" for number in (1, 2)]


async def test_a_cursor_goes_on_exactly_where_a_limit_cut_a_page():
    found, cursor, operation = [], None, numbered()
    pages = {1: batch(1, 2), 2: batch(3, 4), 3: batch(5)}
    for _call in range(6):
        ready = Ready(operation, *[pages[number] for number in (1, 2, 3)])
        if cursor is not None:
            start = json.loads(base64.urlsafe_b64decode(cursor))["page"]["number"]
            ready = Ready(operation, *[pages[number] for number in range(start, 4)])
        result = await ready.read(cursor=cursor, limit=3)
        found += [item["id"] for item in result["items"]]
        cursor = result["nextCursor"]
        assert result["hasMore"] is (cursor is not None)
        if cursor is None:
            break
    assert found == [1, 2, 3, 4, 5]


async def test_a_limit_bounds_the_size_of_a_page_and_the_items():
    ready = Ready(numbered(), batch(1))
    result = await ready.read(limit=1)
    assert ready.line.paths == ["/things?page=1&size=1&limit=1"]
    assert (len(result["items"]), result["hasMore"]) == (1, True)


async def test_a_trigger_stops_after_its_most_pages_and_can_go_on():
    result = await Ready(numbered(pageLimit=2), batch(1, 2), batch(3, 4)).read()
    assert (len(result["items"]), result["hasMore"]) == (4, True)


async def test_a_window_takes_its_items_and_stops_behind_its_edge():
    newest = numbered(time={"at": "at"}, order="newest_first")
    ready = Ready(newest, batch(9, 8), batch(7, 1))
    result = await ready.read({"from": UNIX + 7, "to": UNIX + 9})
    assert result == {"items": [{"id": 8}, {"id": 7}], "nextCursor": None, "hasMore": False}
    assert f"from={UNIX + 7}" in ready.line.paths[0]
    oldest = Ready(numbered(time={"at": "at"}, order="oldest_first"), batch(1, 2), batch(3, 9))
    assert (await oldest.read({"from": UNIX + 2, "to": UNIX + 4}))["items"] == [{"id": 2}, {"id": 3}]


async def test_items_that_miss_a_condition_of_the_trigger_are_passed_over():
    ready = Ready(numbered(where=[{"at": "id", "equals": 3}], time={"at": "at"}, order="newest_first"), batch(9, 8), batch(3, 2), batch(1))
    assert (await ready.read({"from": UNIX + 1}))["items"] == [{"id": 3}]
    assert len(ready.line.paths) == 3


async def test_without_an_order_every_page_is_looked_at():
    ready = Ready(numbered(time={"at": "at"}), batch(1, 9), batch(2))
    assert (await ready.read({"from": UNIX + 2, "to": UNIX + 5}))["items"] == [{"id": 2}]


async def test_a_trigger_may_need_several_calls_of_which_the_last_counts():
    steps = [{"path": "/a", "save": "first"}, {"path": "/b/{{steps.first.id}}", "when": {"at": "steps.first.id"}}]
    ready = Ready(trigger(calls=steps, call=None, result=ITEM), {"id": "x"}, batch(1))
    assert (await ready.read())["items"] == [{"id": 1}]
    assert ready.line.paths == ["/a", "/b/x"]


async def test_the_items_of_a_trigger_may_stand_in_what_a_template_makes_of_each_page():
    rows = trigger(
        pager={"kind": "offset", "size": 2},
        call={"path": "/rows", "query": {"from": "{{page.offset}}"}},
        items="rows",
        key="number",
        result={"value": {"rows": "{{answer.cells | numbered: page.offset}}"}, "fields": [field("number", "integer"), field("value")]},
    )
    ready = Ready(rows, {"cells": ["a", "b"]}, {"cells": ["c"]})
    assert (await ready.read())["items"] == [{"number": number, "value": text} for number, text in enumerate("abc")]
    assert ready.line.paths == ["/rows?from=0", "/rows?from=2"]


async def test_a_page_that_the_template_of_its_items_does_not_take_is_a_failure_and_not_an_empty_page():
    value = {"rows": "{{answer.cells | numbered}}"}
    ready = Ready(trigger(items="rows", result={"value": value}), {"cells": "none"})
    with pytest.raises(CallFailed) as caught:
        await ready.read()
    assert caught.value.failure.error.message == "A list is needed here."
    calls = [{"path": "/a", "forEach": "{{tags}}"}]
    each = Ready(
        trigger(
            calls=calls,
            call=None,
            fields=[field("tags", "string[]")],
            items="rows",
            result={"value": {"rows": "{{tags | first | numbered}}"}},
        ),
        {},
    )
    with pytest.raises(ValidationFailed) as refused:
        await each.read(data={"tags": ["x"]})
    assert [(fault.code, fault.message) for fault in refused.value.details.fields] == [("not_computable", "A list is needed here.")]


async def test_a_trigger_with_nothing_due_says_so():
    ready = Ready(trigger(fields=[field("a")], call={"path": "/", "when": {"at": "a"}}))
    with pytest.raises(ValidationFailed) as caught:
        await ready.read()
    assert caught.value.details.fields[0].code == "nothing_to_send"


async def test_only_a_trigger_is_read():
    ready = Ready(action())
    understood, scope = await ready.scope()
    with pytest.raises(TypeError, match="only a trigger"):
        await read_trigger(ready.caller, ready.program, understood, scope, Reading(), ready.seen.append)


def cursor_of(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "A" * 5000, cursor_of([]), cursor_of(None), cursor_of({"page": {}}), cursor_of({"page": {}, "skip": 0}), cursor_of({"page": {"size": 2, "number": "1"}, "skip": 0}),
     cursor_of({"page": {"size": 2, "number": -1}, "skip": 0}), cursor_of({"page": {"size": 2, "number": 10**30}, "skip": 0}), cursor_of({"page": {"size": 0, "number": 1}, "skip": 0}),
     cursor_of({"page": {"size": 10**6, "number": 1}, "skip": 0}), cursor_of({"page": {"size": 2, "number": 1}, "skip": -1}), cursor_of({"page": {"size": 2, "number": 1}, "skip": True}),
     cursor_of({"page": {"size": 2, "number": 1, "evil": 1}, "skip": 0}), cursor_of({"page": {"size": 2, "number": 1, "url": {"a": 1}}, "skip": 0}),
     cursor_of({"page": {"size": 2, "number": True}, "skip": 0}), cursor_of({"page": {"size": 2, "number": 1}, "skip": 10**9}),
     cursor_of({"page": {"size": "2", "number": 1}, "skip": 0}), base64.urlsafe_b64encode(b"[" * 5000).decode()],
    ids=range(21),
)  # fmt: skip
async def test_a_cursor_that_this_trigger_did_not_give_is_refused(cursor):
    ready = Ready(numbered(), batch(1))
    with pytest.raises(ValidationFailed) as caught:
        await ready.read(cursor=cursor)
    assert [(fault.path, fault.code) for fault in caught.value.details.fields] == [("cursor", "invalid_cursor")]
    assert ready.line.requests == []


async def test_a_cursor_cannot_lead_a_signed_request_to_another_host():
    ready = Ready(trigger(pager={"kind": "link"}, result=ITEM), batch(1))
    with pytest.raises(ValidationFailed):
        await ready.read(cursor=cursor_of({"page": {"size": 100, "url": "https://evil.example/"}, "skip": 0}))
    assert ready.line.requests == []


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["page", "skip", "size", "number"]), inner), max_leaves=6)  # fmt: skip


@given(JSON, JSON, JSON)
def test_no_window_cursor_or_limit_makes_reading_them_fail(window, cursor, limit):
    found, faults = None, ()
    try:
        found = read_reading(window, cursor, limit)
    except ValidationFailed as error:
        faults = error.details.fields
    assert faults or 1 <= found.limit <= 1000


# Windows


def test_a_window_is_read_in_unix_seconds():
    assert read_reading({"from": "2026-11-24T12:00:00Z", "to": UNIX + 1}, None, 5) == Reading(
        start=Decimal(UNIX), end=Decimal(UNIX + 1), limit=5
    )
    assert read_reading(None, "c", None) == Reading(cursor="c", limit=ITEMS_DEFAULT)
    assert read_reading({}, None, None) == Reading()


def test_every_fault_of_a_reading_comes_at_once():
    assert sorted(refusal(read_reading, {"from": "x", "to": True, "until": 1}, 5, 0)) == [
        ("cursor", "wrong_type"), ("limit", "out_of_range"), ("window.from", "wrong_type"), ("window.to", "wrong_type"), ("window.until", "unknown_field"),
    ]  # fmt: skip
    assert refusal(read_reading, [], None, True) == [("window", "wrong_type"), ("limit", "out_of_range")]
    assert refusal(read_reading, {"from": 5, "to": 5}, None, None) == [("window.to", "too_small")]
    assert refusal(read_reading, None, None, 1001) == [("limit", "out_of_range")]


# Dry runs


async def test_a_plan_shows_what_would_be_sent_and_what_waits_for_an_answer():
    steps = [
        {"method": "POST", "path": "/a", "save": "first", "body": {"n": "{{name}}"}},
        {"method": "PUT", "path": "/b/{{steps.first.id}}"},
        {"path": "/c", "when": {"at": "other"}},
    ]
    ready = Ready(action(fields=[field("name")], calls=steps))
    _understood, scope = await ready.scope({"name": "x"})
    first, second = plan(ready.caller, ready.program, scope)
    assert (first["step"], first["url"], first["body"]) == ("first", "https://api.example.com/v1/a", '{"n":"x"}')
    assert second == {"step": "call", "method": "PUT", "dependsOn": ["first"]}
    assert ready.line.requests == []


async def test_a_plan_of_a_trigger_shows_its_first_page():
    ready = Ready(numbered())
    _understood, scope = await ready.scope()
    (shown,) = plan(ready.caller, ready.program, scope, read_reading({"from": UNIX}, None, 1))
    assert shown["url"] == f"https://api.example.com/v1/things?page=1&size=1&from={UNIX}&limit=1"


async def test_a_list_that_is_searched_at_the_partner_is_asked_for_the_text_and_keeps_its_answer():
    lists = {"people": list_spec("people", search="remote", call={"path": "/people", "query": {"q": "{{query}}"}}), "owners": list_spec()}
    operation = action(fields=[field("person", list="people"), field("owner", list="owners")])
    ready = Ready(operation, [], [{"id": "p1", "name": "Ada"}], [{"id": "o1", "name": "Bob"}], lists=lists)
    found = await ready.understand({"person": "Ada", "owner": "Bob"})
    assert found.checked.values == {"person": "p1", "owner": "o1"}
    assert ready.line.paths == ["/owners", "/people?q=Ada", "/owners"]


async def test_a_text_that_is_too_short_to_search_for_is_not_searched():
    lists = {"people": list_spec("people", search="remote", minQuery=3, call={"path": "/people", "query": {"q": "{{query}}"}})}
    ready = Ready(action(fields=[field("person", list="people")]), lists=lists)
    assert (await ready.understand({"person": "Al"})).checked.values == {"person": "Al"}
    assert ready.line.requests == []


async def test_schemas_of_accounts_are_compiled_once_and_not_kept_for_ever():
    lists = {"people": list_spec("people", customFields=SHAPE)}
    ready = Ready(action(customFields={"list": "people"}), *[[{"key": f"k{number}"}] for number in range(COMPILED_MOST + 2)], lists=lists)
    source = DirectLists(ready.caller)
    first = await understand(ready.program, {}, source)
    assert (await understand(ready.program, {}, source)).schema is first.schema
    for _account in range(COMPILED_MOST + 1):
        await understand(ready.program, {}, DirectLists(ready.caller))
    assert len(ready.program.compiled) == COMPILED_MOST
    assert (await understand(ready.program, {}, source)).schema is not first.schema
