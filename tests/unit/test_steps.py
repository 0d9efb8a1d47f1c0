"""Several calls: conditions, one call for each row, captured headers, keys that mark repeats."""

import uuid

import pytest
from msgspec.structs import replace

from polyport.engine.operation import act, build_scope
from polyport.engine.plan import plan
from polyport.engine.run import _of_all_steps
from polyport.engine.steps import SLIM_TRACE, WHOLE_TRACES, repeat_key
from polyport.engine.trace import CallFailed
from polyport.errors import PartnerError, PartnerTimeout, ValidationFailed
from polyport.kinds.fields import FileValue
from polyport.manifest.model import Call
from polyport.net.message import Reply
from ready import Ready
from samples import action, field, json_reply, trigger

pytestmark = pytest.mark.anyio

ROWS = {"name": "rows", "label": "Rows", "fields": [field("value"), field("kind")]}


def each(**keys):
    return {"method": "POST", "path": "/rows", "body": {"v": "{{each.value}}", "n": "{{index}}"}, "forEach": "{{rows}}", **keys}


def rows(*values):
    return {"rows": [{"value": value} for value in values]}


def bodies(ready):
    return [request.body for request in ready.line.requests]


async def faults(ready, data):
    with pytest.raises(ValidationFailed) as caught:
        await ready.act(data)
    return [(fault.path, fault.code, fault.message) for fault in caught.value.details.fields]


async def test_a_call_is_sent_once_for_each_row_and_gives_the_list_of_answers():
    operation = action(
        sections=[ROWS], call=each(), result={"sections": [{"name": "made", "label": "M", "at": [], "fields": [field("id")]}]}
    )
    ready = Ready(operation, {"id": "a"}, {"id": "b"})
    found = await ready.act(rows("x", "y"))
    assert bodies(ready) == [b'{"v":"x","n":0}', b'{"v":"y","n":1}']
    assert found.result == {"made": [{"id": "a"}, {"id": "b"}]}
    assert found.raw == [{"id": "a"}, {"id": "b"}]
    assert [trace.step for trace in found.traces] == ["call[0]", "call[1]"]


async def test_later_calls_read_the_list_of_answers():
    calls = [each(save="made"), {"method": "POST", "path": "/sum", "body": {"ids": "{{steps.made[*].id}}"}}]
    ready = Ready(action(sections=[ROWS], calls=calls), {"id": 1}, {"id": 2}, {})
    await ready.act(rows("x", "y"))
    assert bodies(ready)[2] == b'{"ids":[1,2]}'


async def test_rows_may_come_from_an_earlier_answer():
    calls = [{"path": "/list", "save": "found"}, {"path": "/rows/{{each.id}}", "forEach": "{{steps.found.items}}"}]
    ready = Ready(action(calls=calls), {"items": [{"id": 1}, {"id": 2}]}, {}, {})
    await ready.act()
    assert ready.line.paths == ["/list", "/rows/1", "/rows/2"]


async def test_without_rows_nothing_is_sent_and_the_list_is_empty():
    calls = [each(save="made"), {"method": "POST", "path": "/sum", "body": {"made": "{{steps.made}}"}}]
    ready = Ready(action(sections=[ROWS], calls=calls), {})
    await ready.act()
    assert bodies(ready) == [b'{"made":[]}']
    assert (await Ready(action(sections=[ROWS], call=each(), result={"fields": [field("id")]})).act()).result == {}


async def test_a_condition_on_the_row_is_asked_for_each_row():
    ready = Ready(action(sections=[ROWS], call=each(when={"at": "each.kind", "equals": "b"})), {})
    await ready.act({"rows": [{"value": "x", "kind": "a"}, {"value": "y", "kind": "b"}]})
    assert bodies(ready) == [b'{"v":"y","n":1}']


async def test_rows_that_need_an_earlier_answer_are_known_when_it_is_there():
    calls = [{"path": "/first", "save": "first"}, each(path="/of/{{steps.first.id}}/{{each.value}}")]
    ready = Ready(action(sections=[ROWS], calls=calls), {"id": 7}, {})
    await ready.act(rows("a"))
    assert ready.line.paths == ["/first", "/of/7/a"]


async def test_too_many_rows_are_refused_before_anything_is_sent():
    calls = [{"method": "POST", "path": "/first"}, each(most=2)]
    ready = Ready(action(sections=[ROWS], calls=calls))
    assert await faults(ready, rows("a", "b", "c")) == [("runnerData.rows", "too_many", "At most 2 are sent in one run; there are 3.")]
    assert ready.line.requests == []


async def test_a_row_that_cannot_be_sent_is_refused_before_the_first_one_is():
    ready = Ready(action(sections=[ROWS], call=each(path="/rows/{{each.value}}")))
    [(path, code, message)] = await faults(ready, {"rows": [{"value": "a"}, {"kind": "b"}]})
    assert (path, code) == ("runnerData", "cannot_be_sent")
    assert message == "Row 2: A value that stands in the path is missing."
    assert ready.line.requests == []


@pytest.mark.parametrize(("told", "code"), [("{{name}}", "wrong_type"), ("{{name | int}}", "cannot_be_sent")])
async def test_what_is_no_list_has_no_rows(told, code):
    ready = Ready(action(fields=[field("name")], call={"path": "/x", "forEach": told}))
    assert [(path, found) for path, found, _message in await faults(ready, {"name": "x"})] == [("runnerData.name", code)]


async def test_a_failure_in_the_middle_says_how_many_came_before_and_is_not_repeatable():
    ready = Ready(action(sections=[ROWS], call=each()), {}, json_reply('{"message": "No."}', 422))
    with pytest.raises(CallFailed) as caught:
        await ready.act(rows("a", "b", "c"))
    error = caught.value.failure.error
    assert isinstance(error, PartnerError)
    assert error.message == "The partner refused the request: No (1 of 3 rows were sent before this one.)"
    assert [trace.status for trace in ready.seen] == [200, 422]
    whole = _of_all_steps(caught.value.failure, ready.seen)
    assert whole.reached
    assert not whole.answered


async def test_a_failure_of_the_first_row_or_of_reading_is_told_as_it_is():
    for method, answers in (("POST", ()), ("GET", ({},))):
        ready = Ready(action(sections=[ROWS], call=each(method=method)), *answers, json_reply('{"message": "No."}', 422))
        with pytest.raises(CallFailed) as caught:
            await ready.act(rows("a", "b"))
        assert caught.value.failure.error.message == "The partner refused the request: No."


async def test_rows_end_with_the_time_of_the_run():
    ready = Ready(action(sections=[ROWS], call=each()), {})
    ready.caller = replace(ready.caller, until=0.0)
    with pytest.raises(PartnerTimeout, match="over after 0 of 1 rows"):
        await ready.act(rows("a"))


async def test_of_many_rows_the_later_exchanges_are_kept_short():
    count = WHOLE_TRACES + 1
    ready = Ready(action(sections=[ROWS], call=each()), *[{"x": "y" * SLIM_TRACE}] * count)
    found = await ready.act(rows(*["v" * SLIM_TRACE] * count))
    for traces in (found.traces, ready.seen):
        assert len(traces[-2].reply_body) > len(traces[-1].reply_body) == SLIM_TRACE + 2
        assert len(traces[-2].body) > len(traces[-1].body) == SLIM_TRACE + 2
    assert found.raw[-1] == {"x": "y" * SLIM_TRACE}


async def test_the_files_of_all_rows_are_bounded_together(monkeypatch):
    monkeypatch.setattr("polyport.engine.steps.FILES_LIMIT", 5)
    ready = Ready(action(sections=[ROWS], call=each(method="GET", decode="file")), *[Reply(status=200, body=b"abc")] * 2)
    with pytest.raises(CallFailed) as caught:
        await ready.act(rows("a", "b"))
    assert "more than" in caught.value.failure.error.message


async def test_a_file_is_sent_on_and_given_and_shown_as_its_size():
    calls = [
        {"path": "/report", "decode": "file", "save": "report"},
        {"method": "POST", "path": "/in", "encoding": "bytes", "body": "{{steps.report}}", "save": "sent"},
    ]
    result = {"value": {"report": "{{steps.report}}"}, "fields": [field("report", "file")]}
    reply = Reply(status=200, headers=(("Content-Type", "image/png"),), body=b"\x89PNG", url="https://x.example/a.png")
    ready = Ready(action(calls=calls, result=result), reply, {})
    found = await ready.act()
    assert found.result["report"] == FileValue(content=b"\x89PNG", name="a.png", content_type="image/png")
    assert (ready.line.requests[1].body, ready.line.requests[1].header("Content-Type")) == (b"\x89PNG", "image/png")
    assert found.traces[0].reply_body == "(4 bytes)"


# Repeats


async def keys_of(run_id, *, rows_given=("a", "b")):
    call = each(idempotencyHeader="Idempotency-Key", save="made")
    calls = [call, {"method": "POST", "path": "/sum", "body": {"key": "{{run.key}}"}, "idempotencyHeader": "X-Key"}]
    ready = Ready(action(sections=[ROWS], calls=calls), *[{}] * (len(rows_given) + 1))
    understood = await ready.understand(rows(*rows_given))
    scope = build_scope(ready.program, ready.caller, understood, None, run_id)

    await act(ready.caller, ready.program, understood, scope, ready.seen.append)
    *first, last = ready.line.requests
    assert last.body == b'{"key":"%b"}' % last.header("X-Key").encode()
    return [request.header("Idempotency-Key") for request in first] + [last.header("X-Key")]


async def test_the_key_is_the_same_in_every_attempt_and_another_for_each_call_row_and_run():
    one, again, other = await keys_of("run_1"), await keys_of("run_1"), await keys_of("run_2")
    assert one == again
    assert len({*one, *other}) == 6
    assert all(str(uuid.UUID(key, version=4)) == key for key in one)


async def test_without_a_run_no_two_keys_are_alike():
    assert not set(await keys_of(None)) & set(await keys_of(None))


def test_a_key_depends_on_run_call_and_row():
    assert repeat_key("r", 0, 0) == repeat_key("r", 0, 0)
    assert len({repeat_key(*told) for told in (("r", 0, 0), ("r", 0, 1), ("r", 1, 0), ("s", 0, 0))}) == 4


# Headers and conditions


async def test_headers_of_an_answer_are_captured_for_later_calls():
    calls = [
        {"path": "/x", "capture": {"etag": "ETag", "none": "X-None"}},
        {"method": "PUT", "path": "/x", "headers": {"If-Match": "{{captured.etag}}", "X-None": "{{captured.none}}"}},
    ]
    ready = Ready(
        action(calls=calls, result={"value": {"etag": "{{captured.etag}}"}, "fields": [field("etag")]}), json_reply(etag='"v1"'), {}
    )
    found = await ready.act()
    assert ready.line.requests[1].header("If-Match") == '"v1"'
    assert ready.line.requests[1].header("X-None") is None
    assert found.result == {"etag": '"v1"'}


async def test_a_state_that_has_moved_on_is_a_conflict():
    ready = Ready(action(), json_reply("{}", 412))
    with pytest.raises(CallFailed) as caught:
        await ready.act()
    assert caught.value.failure.error.details.suggested_fix.startswith("The partner's present state does not allow this")


async def test_nothing_new_is_an_empty_result_where_the_call_is_conditional():
    call = {"path": "/x", "conditional": True, "headers": {"If-None-Match": "{{etag}}"}}
    operation = action(fields=[field("etag")], call=call, result={"fields": [field("id")]})
    found = await Ready(operation, json_reply("", 304)).act({"etag": '"v1"'})
    assert (found.result, found.raw) == ({}, None)
    with pytest.raises(CallFailed):
        await Ready(action(call={"path": "/x"}), json_reply("", 304)).act()


async def test_a_trigger_may_fetch_each_item_and_pages_by_the_list():
    calls = [
        {"path": "/ids", "query": {"page": "{{page.number}}"}, "save": "ids"},
        {"path": "/things/{{each}}", "forEach": "{{steps.ids}}"},
    ]
    paged = trigger(call=None, calls=calls, pager={"kind": "page", "size": 2}, result={"fields": [field("id", "integer")]})
    ready = Ready(paged, [1, 2], {"id": 1}, {"id": 2}, [])
    assert (await ready.read())["items"] == [{"id": 1}, {"id": 2}]
    assert ready.line.paths == ["/ids?page=1", "/things/1", "/things/2", "/ids?page=2"]


async def test_a_trigger_of_rows_alone_has_one_page():
    ready = Ready(trigger(sections=[ROWS], call={"path": "/t/{{each.value}}", "forEach": "{{rows}}"}, pager={"kind": "page"}), {"id": 1})
    assert (await ready.read(data=rows("a")))["hasMore"] is False


# Results


async def test_a_result_may_be_made_of_fields_steps_and_the_last_answer():
    calls = [{"path": "/a", "save": "first"}, {"path": "/b"}]
    result = {"value": {"x": "{{name}}", "y": "{{steps.first.id}}", "z": "{{answer.id}}"}, "fields": [field("x"), field("y"), field("z")]}
    found = await Ready(action(fields=[field("name")], calls=calls, result=result), {"id": "1"}, {"id": "2"}).act({"name": "n"})
    assert found.result == {"x": "n", "y": "1", "z": "2"}
    assert found.raw == {"id": "2"}


async def test_a_result_that_cannot_be_made_of_an_answer_is_empty_because_the_work_is_done():
    found = await Ready(action(result={"value": {"x": '{{answer.id | date: "%Y"}}'}, "fields": [field("x")]}), {"id": {}}).act()
    assert found.result == {}


# Dry runs


async def planned(operation, data=None):
    ready = Ready(operation)
    _understood, scope = await ready.scope(data)
    shown = plan(ready.caller, ready.program, scope)
    assert ready.line.requests == []
    return shown


async def test_a_plan_shows_the_first_row_and_how_many_there_are():
    [shown] = await planned(action(sections=[ROWS], call=each()), rows("a", "b"))
    assert (shown["body"], shown["count"]) == ('{"v":"a","n":0}', 2)
    assert await planned(action(sections=[ROWS], call=each())) == []


async def test_a_plan_names_what_waits_for_an_answer_a_header_or_a_condition_on_them():
    calls = [
        {"path": "/a", "save": "first", "capture": {"etag": "ETag"}},
        {"path": "/b", "when": {"at": "steps.first.id"}},
        {"path": "/c", "headers": {"If-Match": "{{captured.etag}}"}},
        {"path": "/d", "forEach": "{{steps.first.rows}}"},
    ]
    assert [entry.get("dependsOn") for entry in await planned(action(calls=calls))] == [None, ["first"], ["first"], ["first"]]


async def test_a_plan_refuses_what_could_not_be_sent():
    with pytest.raises(ValidationFailed, match="has faults"):
        await planned(action(sections=[ROWS], call=each(path="/rows/{{each.value}}")), {"rows": [{"kind": "b"}]})


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"decode": "file", "envelope": True}, "the file alone"),
        ({"most": 5}, "bounds the rows"),
        ({"forEach": "{{x}}", "capture": {"a": "b"}}, "there are many"),
        ({"forEach": "{{x}}", "most": 1001}, "1000"),
    ],
)
def test_keys_that_do_not_go_together_are_a_fault(keys, sentence):
    with pytest.raises(ValueError, match=sentence):
        Call.model_validate({"path": "/x", **keys})
