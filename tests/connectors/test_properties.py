"""Every operation of every bundled partner, with inputs and answers that nobody wrote down: requests are well-formed and stay where they belong, and
nothing but the errors of ``errors.py`` comes out.

``POLYPORT_EXAMPLES`` is how many examples each operation gets (few by default: there are many operations).
"""

import asyncio
import json
import os
import re
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from xml.parsers import expat

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bundled
from polyport.engine.calls import CallFailed, ListItems, list_choices, read_list, verify
from polyport.engine.files import told_file
from polyport.engine.operation import (
    Outcome,
    Understood,
    act,
    build_scope,
    compile_operation,
    compute,
    read_reading,
    read_trigger,
    with_definitions,
)
from polyport.engine.schema import Choices
from polyport.engine.validate import compile_fields, compile_validator
from polyport.errors import PolyportError, ValidationFailed
from polyport.manifest.model import Trigger
from polyport.net.message import Reply
from polyport.paths import put
from polyport.testing.cases import open_case_caller
from polyport.testing.inputs import JSON, PLAIN, TEXTS, UNKIND, fields, inputs, open_lists
from polyport.testing.spec import compare

PARTNERS = {slug: (partner, bundled.cases(slug)) for slug, partner in bundled.partners().items()}
OPERATIONS = [
    pytest.param(slug, operation, id=f"{slug}/{operation.name}")
    for slug, (partner, _cases) in PARTNERS.items()
    for operation in partner.operations
    if operation.steps or operation.kind == "tool"
]
CALLING = [parameter for parameter in OPERATIONS if parameter.values[1].steps]
LISTS = [
    pytest.param(slug, spec, id=f"{slug}/{name}") for slug, (partner, _cases) in PARTNERS.items() for name, spec in partner.lists.items()
]
EXAMPLES = int(os.environ.get("POLYPORT_EXAMPLES", "3"))
few = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="POLYPORT_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example],
)

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 206, 299, 301, 304, 400, 401, 403, 404, 409, 412, 422, 429, 500, 503, 599])
KINDS = st.sampled_from(
    ["application/json", "text/html", "text/xml", "text/csv", "application/octet-stream", "", "a/b; charset=utf-16", ";;"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "link", "x-ratelimit-reset", "x-ratelimit-remaining", "etag", "content-disposition", "location", "set-cookie"]),
    st.sampled_from(["1", "-1", "soon", "1e999", "Thu, 01 Jan 1970 00:00:00 GMT", "<https://evil.example/>; rel=next", "<;;>, <", "9" * 400, "\xff"]),
    max_size=2,
)  # fmt: skip
BODIES = st.one_of(
    JSON.map(msgspec.json.encode),
    st.binary(max_size=40),
    st.sampled_from([
        b"", b" ", b"<html><body>Bad gateway</body></html>", b"<?xml version='1.0'?><a><b>1</b></a>", b"<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", b"<a" * 50,
        b"[" * 5000, b'{"a":' * 300 + b"1" + b"}" * 300, b"1e99999", b'{"a":1,"a":2}', b"NaN", b'"\\ud800"', b"\xff\xfe", b"a,b\r\n1,2", b"a=1&b=2", b"9" * 5000,
    ]),
)  # fmt: skip


@dataclass
class Answering:
    """A network that notes what is sent and answers with what is drawn."""

    draw: object
    recorded: tuple = ()
    sent: list = field(default_factory=list)

    async def send(self, request):
        self.sent.append(request)
        if len(self.sent) > 12:
            return Reply(status=500)
        return self.draw(answers(self.recorded))


@st.composite
def answers(draw, recorded):
    """An answer: any bytes, or one of the partner's recorded answers with some of its parts changed."""
    status, kind, headers = draw(STATUSES), draw(KINDS), draw(HEADERS)
    body = draw(BODIES)
    if recorded and draw(st.integers(0, 2)):
        value = draw(st.sampled_from(recorded))
        for _change in range(draw(st.integers(0, 3))):
            value = changed(value, draw)
        kind, body = "application/json", msgspec.json.encode(value)
    return Reply(status=status, headers=(("content-type", kind), *headers.items()), body=body)


def changed(value, draw):
    """The value with one part of it, at any depth, replaced by any JSON or taken out."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 5)) == 0:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(value[key], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(value) - 1))
        return [changed(inner, draw) if position == index else inner for position, inner in enumerate(value)]
    return draw(JSON)


def recorded_answers(slug, target):
    cases = PARTNERS[slug][1].cases
    return [
        exchange.reply.json_body
        for found in cases
        if found.target == target
        for exchange in found.case.exchanges
        if exchange.reply.json_body is not None
    ]


def hosts_of(slug):
    """Where the partner's cases go: its own hosts."""
    return {urlsplit(exchange.request.url).hostname for found in PARTNERS[slug][1].cases for exchange in found.case.exchanges}


def definitions_of(spec):
    """Definitions of custom fields, one for each of the partner's words for types, with a key that is unkind to whoever copies it."""
    shape = spec.custom_fields
    if shape is None:
        return ListItems(items=[], complete=True)
    if shape.key == ():
        return ListItems(items=["Name", 'a"b', "c/d"], complete=True)
    items = []
    for index, word in enumerate((*shape.types, "of a type that is new")):
        item = {}
        texts = (
            (shape.key, f'key_{index}"]&x='),
            (shape.label, f"Label {index}"),
            (shape.type, word.partition(".")[0]),
            (shape.variant, word.partition(".")[2]),
        )
        for path, text in texts:
            if path is not None:
                put(item, path, text)
        items.append(item)
    return ListItems(items=items, complete=True)


COMPILED = {}


def compiled(slug, operation):
    """The operation with its custom fields and open lists, compiled once."""
    key = (slug, operation.kind, operation.name)
    if key not in COMPILED:
        partner, _cases = PARTNERS[slug]
        program = compile_operation(partner, operation)
        schema = with_definitions(
            program, {custom.spec.list: definitions_of(partner.lists[custom.spec.list]) for custom in program.customs}
        )
        schema = open_lists(schema, list(partner.lists))
        COMPILED[key] = (
            program,
            schema,
            compile_validator(schema),
            inputs(schema),
            inputs(schema, texts=PLAIN),
            fields(operation.selectors),
        )
    return COMPILED[key]


def understood(slug, operation, data):
    program, schema, validator, *_rest = compiled(slug, operation)
    checked = validator.check(data)
    assert [(fault.path, fault.code) for fault in checked.faults] == [], data
    return program, Understood(schema=schema, checked=checked)


def selection(operation, draw):
    """Values of the selectors, as ``select`` gives them."""
    chosen = {name: value for name, value in draw(fields(operation.selectors)).items() if value is not None}
    open_choices = {selector.list: Choices(items=(), complete=False) for selector in operation.selectors if selector.list is not None}
    checked = compile_fields(operation.selectors, open_choices).check(chosen)
    assert checked.faults == []
    return checked.values


def caller_of(slug, network):
    partner, cases = PARTNERS[slug]
    connection = cases.connection or next((found.case.connection for found in cases.cases if found.case.connection is not None), None)
    return open_case_caller(partner, connection, network, "2026-11-24T12:00:00Z")


async def run(slug, operation, data, selected, network):
    """Run an operation: what came of it, or the error. Anything that is no error of ours goes through."""
    program, known = understood(slug, operation, data)
    caller = caller_of(slug, network)
    scope = build_scope(program, caller, known, selected)
    try:
        if program.compute is not None:
            return compute(program, known.schema, scope)
        if isinstance(operation, Trigger):
            return await read_trigger(caller, program, known, scope, read_reading(None, None, 5), lambda _trace: None)
        return await act(caller, program, known, scope, lambda _trace: None)
    except CallFailed as failed:
        return failed.failure.error
    except ValidationFailed as refused:
        return refused


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


def assert_well_formed(slug, operation, request, data):
    parts = urlsplit(request.url)
    assert request.url.isascii()
    assert request.url.isprintable()
    assert not set(request.url) & set(' "<>\\^`{|}')
    assert parts.fragment == ""
    assert parts.username is None
    if any(call.url == "{{url}}" for call in operation.steps):
        assert parts.hostname == urlsplit(data["url"].strip()).hostname
    else:
        assert parts.hostname in hosts_of(slug)
        assert not {".", "..", "%2e", "%2e%2e"} & set(parts.path.lower().split("/"))
    for name, value in request.headers:
        assert TOKEN.fullmatch(name)
        assert value.isascii()
        assert value.replace("\t", "").isprintable()
    if request.body:
        skeleton_of_body(request)


def skeleton_of_body(request):
    """The shape of a body: what stays when only values change. Fails for a body that is not what its content type says."""
    kind = (request.header("Content-Type") or "").partition(";")[0]
    if kind.endswith("json"):
        return skeleton(json.loads(request.body))
    if kind == "application/x-www-form-urlencoded":
        return [name for name, _value in parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)]
    if kind == "multipart/form-data":
        head = f"Content-Type: {request.header('Content-Type')}\r\n\r\n".encode()
        message = BytesParser().parsebytes(head + request.body)
        return [part.get_param("name", header="content-disposition") for part in message.get_payload()]
    if kind.endswith("xml"):
        found = []
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda name, attributes: found.append((name, sorted(attributes)))
        parser.Parse(request.body, True)
        return found
    return None


def skeleton(value):
    if isinstance(value, dict):
        return {name: skeleton(inner) for name, inner in value.items()}
    return [skeleton(inner) for inner in value] if isinstance(value, list) else None


def names_things(operation):
    """Whether the caller names members of the request: what the generic HTTP partner and rows of metadata are for. Their number is then what has to stay."""
    return (
        "to_object" in repr(operation.steps)
        or "shape='map'" in repr(operation.sections)
        or any(isinstance(call.query, str) or isinstance(call.headers, str) for call in operation.steps)
    )


def segments_before(operation):
    """How many segments of the path come before a value that is itself several segments (``| segments``); no number where there is none."""
    found = [call.path.partition("| segments")[0].count("/") for call in operation.steps if "| segments" in (call.path or "")]
    return found[0] if found else None


def skeleton_of(request, *, named, before=None):
    parts = urlsplit(request.url)
    if named:
        body = skeleton_of_body(request) if request.body else None
        return request.method, parts.hostname, parts.path, parts.query.count("&"), len(request.headers), body and len(body)
    return (
        request.method,
        parts.hostname,
        parts.path.count("/") if before is None else parts.path.split("/")[:before],
        [name for name, _value in parse_qsl(parts.query, keep_blank_values=True)],
        [name for name, _value in request.headers],
        skeleton_of_body(request) if request.body else None,
    )


@pytest.mark.parametrize(("slug", "operation"), OPERATIONS)
def test_valid_inputs_make_well_formed_requests_on_the_partners_own_host(slug, operation, loop):
    _program, _schema, _validator, kind, *_rest = compiled(slug, operation)
    reached = []

    @few
    @given(st.data())
    def check(drawn):
        data = drawn.draw(kind)
        network = Answering(drawn.draw, tuple(recorded_answers(slug, operation.name)))
        loop.run(run(slug, operation, data, selection(operation, drawn.draw), network))
        for request in network.sent:
            assert_well_formed(slug, operation, request, data)
        reached.extend(network.sent)

    check()
    assert reached or not operation.steps, "no valid input made a request"


@pytest.mark.parametrize(("slug", "operation"), CALLING)
def test_answers_of_any_kind_raise_nothing_but_our_errors(slug, operation, loop):
    _program, _schema, _validator, _kind, plain, _selectors = compiled(slug, operation)
    recorded = tuple(recorded_answers(slug, operation.name))

    @settings(few, max_examples=EXAMPLES * 2)
    @given(st.data())
    def check(drawn):
        data = drawn.draw(plain)
        outcome = loop.run(run(slug, operation, data, selection(operation, drawn.draw), Answering(drawn.draw, recorded)))
        if not isinstance(outcome, PolyportError):
            assert isinstance(outcome, Outcome)
            msgspec.json.encode(outcome.result, enc_hook=lambda file: told_file(file, None))

    check()


@pytest.mark.parametrize(("slug", "spec"), LISTS)
def test_lists_take_answers_of_any_kind(slug, spec, loop):
    recorded = tuple(recorded_answers(slug, f"lists/{spec.name}"))

    @settings(few, max_examples=EXAMPLES * 2)
    @given(st.data())
    def check(drawn):
        values = {name: drawn.draw(TEXTS) for name in spec.depends_on}
        network = Answering(drawn.draw, recorded)
        try:
            found = loop.run(read_list(caller_of(slug, network), spec, values, drawn.draw(TEXTS)))
        except PolyportError:
            return
        assert all(isinstance(label, str) for _key, label in list_choices(spec, found).items)
        with_fields(slug, spec, found)

    check()


def with_fields(slug, spec, found):
    """The schemas of all operations that take their custom fields from this list."""
    partner, _cases = PARTNERS[slug]
    for operation in partner.operations:
        if any(custom.spec.list == spec.name for custom in compile_operation(partner, operation).customs):
            compile_validator(with_definitions(compile_operation(partner, operation), {spec.name: found}))
            return


@pytest.mark.parametrize("slug", [slug for slug, (partner, _cases) in PARTNERS.items() if partner.file.connection is not None])
def test_verify_calls_take_answers_of_any_kind(slug, loop):
    recorded = tuple(recorded_answers(slug, "verify"))

    @settings(few, max_examples=EXAMPLES * 3)
    @given(st.data())
    def check(drawn):
        try:
            account = loop.run(verify(caller_of(slug, Answering(drawn.draw, recorded))))
        except PolyportError:
            return
        assert account is None or isinstance(account, str)

    check()


def swapped(value, twin):
    """The value with each of its plain texts replaced, by place: what stands in the same slot, only unkind."""
    if isinstance(value, dict):
        return {name: swapped(inner, twin) for name, inner in value.items()}
    if isinstance(value, list):
        return [swapped(inner, twin) for inner in value]
    return twin if value == "MARK" else value


@pytest.mark.parametrize(("slug", "operation"), CALLING)
def test_a_value_stays_in_its_slot(slug, operation, loop):
    """The same input with a plain and with an unkind text in the same places gives requests of the same shape."""
    _program, schema, validator, *_rest = compiled(slug, operation)
    marked = inputs(schema, texts=st.just("MARK"))
    # Commas and blanks shape lists, lines shape documents: that is what they are for.
    lines = len if " adf" in repr(operation.steps) else lambda _lines: 1
    twins = [text for text in UNKIND if text.strip() and "," not in text and "{{" not in text and lines(text.splitlines()) == 1]

    @settings(few, max_examples=EXAMPLES)
    @given(marked, st.sampled_from(twins), st.data())
    def check(data, twin, drawn):
        unkind = swapped(data, twin)
        if validator.check(unkind).faults:
            return  # too long, or of no such format
        networks = Refusing(), Refusing()
        selected = selection(operation, drawn.draw)
        for network, given_data in zip(networks, (data, unkind), strict=True):
            loop.run(run(slug, operation, given_data, selected, network))
        first, second = (network.sent for network in networks)
        if first and second:
            named, before = names_things(operation), segments_before(operation)
            assert skeleton_of(first[0], named=named, before=before) == skeleton_of(second[0], named=named, before=before)

    check()


@dataclass
class Refusing:
    """A network that refuses whatever comes."""

    sent: list = field(default_factory=list)

    async def send(self, request):
        self.sent.append(request)
        return Reply(status=400)


DESCRIBED = [parameter for parameter in CALLING if PARTNERS[parameter.values[0]][0].file.spec is not None]


@pytest.mark.skipif(
    "POLYPORT_CORPUS" not in os.environ, reason="POLYPORT_CORPUS is not set: nothing was held against a service's own description"
)
@pytest.mark.parametrize(("slug", "operation"), DESCRIBED)
def test_inputs_that_nobody_wrote_down_use_names_and_types_that_the_service_describes(slug, operation, loop):
    """Whether a made-up text is a currency is not for a generator to know: names and the types of JSON are looked at."""
    _program, schema, *_rest = compiled(slug, operation)
    kind = inputs(schema, texts=PLAIN, samples=True, nulls=False)
    requests = []

    @few
    @given(st.data())
    def check(drawn):
        network = Refusing()
        loop.run(run(slug, operation, drawn.draw(kind), selection(operation, drawn.draw), network))
        requests.extend(network.sent)

    check()
    left = compare(PARTNERS[slug][0].file.spec, requests, Path(os.environ["POLYPORT_CORPUS"])).left
    strays = [
        str(one)
        for one in left
        if "knows no such" in one.message or ("a value of the type" in one.message and "is string" not in one.message)
    ]
    assert not strays, "\n".join(strays)
