"""An operation from its input to its result, over any network: what a run, a case, a dry run and a trigger poll have in common."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec

from polyport.engine.caller import Caller
from polyport.engine.calls import ListItems, list_choices, list_custom_fields, read_list
from polyport.engine.custom import gather
from polyport.engine.hidden import hidden_names
from polyport.engine.outcome import failure_of_unreadable
from polyport.engine.parse import in_window, read_items
from polyport.engine.render import CallProgram, compile_call
from polyport.engine.results import read_item
from polyport.engine.schema import Choices, CustomPlace, Schema, build_schema, custom_places
from polyport.engine.steps import Sent, Watch, send_steps
from polyport.engine.streams import streamed_fields
from polyport.engine.trace import CallFailed, Trace, sentence
from polyport.engine.validate import Validated, Validator, compile_fields, compile_validator
from polyport.errors import Fault, ValidationFailed
from polyport.kinds.fields import ValueFault, coerce_datetime, unix_number
from polyport.kinds.filters import FILTERS
from polyport.kinds.pages import Walk
from polyport.manifest.model import Action, ListSpec, Partner, Trigger
from polyport.manifest.variables import CustomFields
from polyport.paths import MISSING, Path, get
from polyport.template import RenderFault, Template, compile_value

SEARCHES_MOST: Final = 10
COMPILED_MOST: Final = 256
ITEMS_LIMIT: Final = 1_000
ITEMS_DEFAULT: Final = 100
_PAGE_KEYS: Final = frozenset({"size", "cursor", "number", "offset", "after", "url", "read", "seen"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A compiled operation.

    ``validator`` serves connections without custom fields and lists; ``compiled`` keeps those of schemas with custom fields, by the identity of the
    definitions they were compiled from.
    """

    partner: Partner
    operation: Action | Trigger
    calls: tuple[CallProgram, ...]
    compute: Template | None
    schema: Schema
    validator: Validator
    selectors: Validator
    wants_random: bool
    wants_now: bool
    repeatable: bool = False
    wants_key: bool = False
    gives_files: bool = False
    streamed: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    value: Template | None = None
    customs: tuple[CustomPlace, ...] = ()
    definitions: tuple[ListSpec, ...] = ()
    compiled: dict[tuple[int, ...], tuple[tuple[ListItems, ...], Schema, Validator]] = field(default_factory=dict, repr=False)


def compile_operation(partner: Partner, operation: Action | Trigger) -> Program:
    """Compile an operation; done once, kept as long as the partner's folder is the same."""
    schema = build_schema(operation, lists=partner.lists)
    compute = operation.compute if isinstance(operation, Action) else None
    calls = tuple(compile_call(call, partner.file.headers) for call in operation.steps)
    computed = compile_value(compute, FILTERS) if compute is not None else None
    customs = custom_places(operation)
    value = compile_value(operation.result.value, FILTERS) if operation.result.value is not None else None
    names = (
        {name for call in calls for name in call.names}
        | (computed.names if computed is not None else frozenset())
        | (value.names if value is not None else frozenset())
    )
    return Program(
        partner=partner,
        operation=operation,
        calls=calls,
        compute=computed,
        repeatable=operation.repeatable,
        wants_random=any(name[0] == "random" for name in names),
        wants_now=_wants_now(operation, names, calls),
        wants_key=any(call.wants_key for call in calls),
        streamed=streamed_fields(calls, compute, operation.result.value),
        hidden=hidden_names(schema),
        gives_files=value is not None or any(call.call.decode == "file" for call in calls),
        value=value,
        schema=schema,
        validator=compile_validator(schema),
        selectors=compile_fields(operation.selectors, key_patterns=schema.key_patterns),
        customs=customs,
        definitions=tuple(partner.lists[name] for name in dict.fromkeys(custom.spec.list for custom in customs)),
    )


def _wants_now(operation: Action | Trigger, names: Collection[Path], calls: Sequence[CallProgram]) -> bool:
    """Whether anything may read the time: of an action without a probe that is told by its templates and conditions."""
    asked = {call.call.when.at for call in calls if call.call.when is not None}
    return not isinstance(operation, Action) or operation.reconcile is not None or any(name[:1] == ("now",) for name in {*names, *asked})


class ListSource(Protocol):
    """Where lists of a connection come from: the partner, or what was read of it before."""

    async def get(self, spec: ListSpec, values: Mapping[str, Any], *, query: str | None = None, fresh: bool = False) -> ListItems:
        """The items of a list, or those the partner finds for ``query``. ``fresh`` asks for a copy no older than a few seconds."""


class DirectLists:
    """Reads every list from the partner, each once."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._read: dict[str, ListItems] = {}

    async def get(self, spec: ListSpec, values: Mapping[str, Any], *, query: str | None = None, fresh: bool = False) -> ListItems:
        """The items of a list."""
        if query is not None:
            return await read_list(self._caller, spec, values, query)
        key = json.dumps([spec.name, {name: values.get(name) for name in spec.depends_on}], sort_keys=True, default=str)
        if key not in self._read or fresh:
            self._read[key] = await read_list(self._caller, spec, values)
        return self._read[key]


class Understood(msgspec.Struct, frozen=True, kw_only=True):
    """An input that was checked against the schema of its connection."""

    schema: Schema
    checked: Validated


async def select(program: Program, given: Mapping[int, Any], lists: ListSource) -> Validated:
    """Check the selectors, given by position from 1 on, in their order: the list of each may depend on the earlier ones."""
    selectors = program.operation.selectors
    if not selectors:  # ``read_positions`` has refused every position there is not
        return Validated(values={}, custom={}, faults=[], wanted=set(), texts={}, files=[])
    data = {selector.name: given[index] for index, selector in enumerate(selectors, start=1) if given.get(index) is not None}
    checked = program.selectors.check(data, "credentialData")
    choices: dict[str, Choices] = {}
    unread: list[Fault] = []
    for selector in selectors:
        if selector.list is None or selector.list not in checked.wanted:
            continue
        spec, texts = program.partner.lists[selector.list], checked.texts[selector.list]
        absent = [name for name in spec.depends_on if checked.values.get(name) is None]
        if absent:
            message = f'This choice depends on "{absent[0]}", which is not given or not known.'
            unread.append(Fault(path=f"credentialData.{selector.name}", code="unknown_option", message=message))
            continue
        for fresh in (False, True):
            choices[spec.name] = await _choices(spec, lists, checked.values, texts, fresh=fresh)
            checked = compile_fields(selectors, choices, program.schema.key_patterns).check(data, "credentialData")
            if selector.name in checked.values:
                break
    return msgspec.structs.replace(checked, faults=[_at_its_position(program, fault) for fault in [*checked.faults, *unread]])


def _at_its_position(program: Program, fault: Fault) -> Fault:
    """A fault of a selector, with the path that its caller wrote."""
    name = fault.path.removeprefix("credentialData.")
    position = next((index for index, selector in enumerate(program.operation.selectors, start=1) if selector.name == name), 0)
    return replace(fault, path=f"credentialData.{position}.value")


async def understand(program: Program, data: Any, lists: ListSource, selected: Mapping[str, Any] | None = None) -> Understood:
    """Check an input. Reads custom fields, and only those lists that are needed to tell labels from keys."""
    schema, validator = await _with_custom(program, lists, selected or {}, fresh=False)
    checked = validator.check(data)
    if checked.faults and program.customs and any(fault.code == "unknown_field" for fault in checked.faults):
        schema, validator = await _with_custom(program, lists, selected or {}, fresh=True)
        checked = validator.check(data)
    choices: dict[str, Choices] = {}
    values: dict[str, Any] = {}
    while checked.wanted and checked.wanted - choices.keys():
        values = {**checked.values, **(selected or {})}
        for name in _ready(program, checked.wanted - choices.keys()):
            choices[name] = await _choices(program.partner.lists[name], lists, values, checked.texts[name], fresh=False)
        schema = replace(schema, choices=dict(choices))
        checked = compile_validator(schema).check(data)
    if choices and any(fault.code == "unknown_option" for fault in checked.faults):
        values = {**checked.values, **(selected or {})}
        kept = [program.partner.lists[name] for name in choices if program.partner.lists[name].search == "local"]
        choices |= {spec.name: await _choices(spec, lists, values, (), fresh=True) for spec in kept}
        schema = replace(schema, choices=choices)
        checked = compile_validator(schema).check(data)
    return Understood(schema=schema, checked=checked)


def _ready(program: Program, wanted: set[str]) -> list[str]:
    """Those of the lists that depend on no field which itself waits for one of them; all of them if they depend on each other."""
    waiting = {variable.name for variable in program.operation.fields if variable.list in wanted}
    return sorted(name for name in wanted if not waiting & set(program.partner.lists[name].depends_on)) or sorted(wanted)


async def _with_custom(program: Program, lists: ListSource, selected: Mapping[str, Any], *, fresh: bool) -> tuple[Schema, Validator]:
    if not program.customs:
        return program.schema, program.validator
    items = tuple([await lists.get(spec, selected, fresh=fresh) for spec in program.definitions])
    key = tuple(map(id, items))  # each entry keeps its items, so that no others can have their ids
    held = program.compiled.get(key)
    if held is not None:
        return held[1], held[2]
    schema = with_definitions(program, {spec.name: found for spec, found in zip(program.definitions, items, strict=True)})
    validator = compile_validator(schema)
    while len(program.compiled) >= COMPILED_MOST:
        program.compiled.pop(next(iter(program.compiled)))
    program.compiled[key] = (items, schema, validator)
    return schema, validator


def with_definitions(program: Program, found: Mapping[str, ListItems]) -> Schema:
    """The schema with the custom fields of those lists that were read."""
    fields = {
        custom.place: list_custom_fields(
            program.partner, custom.spec.list, found[custom.spec.list].items, custom.spec.required, custom.suffix
        )
        for custom in program.customs
        if custom.spec.list in found
    }
    own = fields.pop((), ())
    return replace(program.schema, custom=own, row_custom=fields, compiled={})


async def _choices(spec: ListSpec, lists: ListSource, values: Mapping[str, Any], texts: Sequence[str], *, fresh: bool) -> Choices:
    """A list that the partner keeps, whole; of one that is searched there, what it finds for each text."""
    if spec.search == "local":
        return list_choices(spec, await lists.get(spec, values, fresh=fresh))
    found: dict[Any, str] = {}
    for text in dict.fromkeys(texts[:SEARCHES_MOST]):
        if len(text) >= spec.min_query:
            found.update(list_choices(spec, await lists.get(spec, values, query=text)).items)
    return Choices(items=tuple(found.items()), complete=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a caller asks of a trigger: a window in unix seconds, where to go on, how many items."""

    start: Decimal | None = None
    end: Decimal | None = None
    cursor: str | None = None
    limit: int = ITEMS_DEFAULT


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of an operation: the result, the partner's raw answer, and every exchange."""

    result: dict[str, Any]
    raw: Any = None
    traces: list[Trace] = field(default_factory=list)


def build_scope(
    program: Program, caller: Caller, understood: Understood, selected: Mapping[str, Any] | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """The names that the templates of an operation read. ``run_id``: what the partner knows repeats by comes from it; without one, no two runs are alike."""
    scope: dict[str, Any] = {**(selected or {}), **understood.checked.values, "connection": caller.shown, "steps": {}}
    if program.wants_now:
        scope["now"] = caller.clock().isoformat().replace("+00:00", "Z")
    if program.wants_random:
        scope["random"] = {"uuid": caller.fresh_id(), "seed": caller.fresh_id() + caller.fresh_id()}
    if program.wants_key:
        scope["run"] = {"id": run_id or caller.fresh_id()}
    custom = program.operation.custom_fields
    given = _custom_given(custom, understood.checked) if custom is not None else {}
    if custom is not None and given:
        scope["custom"] = gather(custom, given, understood.schema.custom)
    return scope


def _custom_given(custom: CustomFields, checked: Validated) -> dict[str, Any]:
    """The custom fields that were given, and the fields that join them, by the partner's keys."""
    values = checked.values
    joined = {key: custom.cleared if values[name] is None else values[name] for name, key in custom.include.items() if name in values}
    return {**checked.custom, **joined} if joined else checked.custom


def compute(program: Program, schema: Schema, scope: Mapping[str, Any]) -> Outcome:
    """The result of a tool: nothing is sent. Raises ``ValidationFailed`` when a filter does not take a value."""
    template = program.compute
    try:
        value = template.render(scope) if template is not None else MISSING
    except RenderFault as error:
        text = str(error)
        message = f"{text[:1].upper()}{text[1:]}."
        raise ValidationFailed.of(Fault(path="runnerData", code="not_computable", message=message)) from None
    item = get(value, program.operation.result.at)
    return Outcome(result=read_item(schema, item if item is not MISSING else {}), raw=value if value is not MISSING else None)


async def act(caller: Caller, program: Program, understood: Understood, scope: dict[str, Any], watch: Watch) -> Outcome:
    """Run an action's calls in order. Raises ``CallFailed`` or ``ValidationFailed``."""
    outcome = Outcome(result={})
    sent = await _send(caller, program, understood.schema, scope, watch, outcome)
    if sent is not None:
        value = sent.value if program.value is None else _result_value(program.value, {**scope, "answer": sent.value})
        item = get(value, program.operation.result.at)
        outcome.result = read_item(understood.schema, item) if item is not MISSING else {}
        outcome.raw = sent.value
    return outcome


def _result_value(template: Template, scope: Mapping[str, Any]) -> Any:
    """The value of a result's template; nothing where an answer does not fit it, because what was sent has been done."""
    try:
        return template.render(scope)
    except RenderFault:
        return MISSING


def _page_value(template: Template, scope: Mapping[str, Any], sent: Sent) -> Any:
    """The value of a page of items. Where it cannot be made the reading fails: items that are passed over in silence would be lost."""
    try:
        return template.render(scope)
    except RenderFault as error:
        if sent.alone is None:
            raise ValidationFailed.of(Fault(path="runnerData", code="not_computable", message=sentence(error))) from None
        failure = failure_of_unreadable(sent.alone.reply.status, sentence(error))
        raise CallFailed(failure, sent.alone.trace) from None


def _send(
    caller: Caller, program: Program, schema: Schema, scope: dict[str, Any], watch: Watch, outcome: Outcome
) -> Coroutine[Any, Any, Sent | None]:
    """Send the calls that are due; each exchange is kept in the outcome and shown to ``watch``."""

    def keep(trace: Trace) -> None:
        outcome.traces.append(trace)
        watch(trace)

    return send_steps(caller, program.calls, program.operation.errors, schema, scope, keep)


async def read_trigger(
    caller: Caller,
    program: Program,
    understood: Understood,
    scope: dict[str, Any],
    reading: Reading,
    watch: Watch,
) -> Outcome:
    """Read a trigger's items, page by page, until the limit, the window's edge or the end. Raises ``CallFailed``."""
    trigger = program.operation
    if not isinstance(trigger, Trigger):
        raise TypeError("only a trigger is read")
    apply_window(scope, reading)
    walk = Walk(trigger.pager)
    page, skip = position_of(trigger, reading)
    outcome, items, raw = Outcome(result={}), list[Any](), list[Any]()
    cursor: str | None = None
    for _page in range(trigger.page_limit):
        scope["page"] = page
        sent = await _send(caller, program, understood.schema, scope, watch, outcome)
        if sent is None:
            raise ValidationFailed.of(
                Fault(path="runnerData", code="nothing_to_send", message="With this input the trigger has nothing to read.")
            )
        value = sent.value if program.value is None else _page_value(program.value, {**scope, "answer": sent.value}, sent)
        listed = read_items(value, trigger.items)
        fresh, used, past = _take(trigger, listed, skip, reading, reading.limit - len(items))
        items.extend(read_item(understood.schema, item) for item in fresh)
        raw.extend(fresh)
        if past:
            cursor = None
            break
        if used < len(listed):
            cursor = _encode({"page": page, "skip": used})
            break
        following = walk.following(page, sent.alone.value, sent.alone.reply, listed) if sent.alone is not None else None
        cursor = _encode({"page": following, "skip": 0}) if following is not None else None
        if following is None or len(items) >= reading.limit:
            break
        page, skip = following, 0
    outcome.result = {"items": items, "nextCursor": cursor, "hasMore": cursor is not None}
    outcome.raw = raw
    return outcome


def _take(trigger: Trigger, listed: Sequence[Any], skip: int, reading: Reading, room: int) -> tuple[list[Any], int, bool]:
    """The items of a page that count, how many of the page were used up, and whether the window's edge was passed."""
    taken: list[Any] = []
    used, past = skip, False
    for item in listed[skip:]:
        if len(taken) >= room:
            break
        used += 1
        if in_window(trigger, item, reading.start, reading.end):
            if all(match.holds(item) for match in trigger.where):
                taken.append(item)
        elif (trigger.order == "newest_first" and reading.start is not None and in_window(trigger, item, None, reading.start)) or (
            trigger.order == "oldest_first" and reading.end is not None and in_window(trigger, item, reading.end, None)
        ):
            past = True
    return taken, used, past


def apply_window(scope: dict[str, Any], reading: Reading) -> None:
    """Put the caller's window and limit where templates read them."""
    scope["limit"] = reading.limit
    scope["window"] = {name: value for name, value in (("from", reading.start), ("to", reading.end)) if value is not None}


def position_of(trigger: Trigger, reading: Reading) -> tuple[dict[str, Any], int]:
    """The first page to read, and how many of its items were given already. Raises ``ValidationFailed`` for a cursor that is none of ours."""
    page = trigger.pager.first() if trigger.pager is not None else {}
    if "size" in page:
        page["size"] = min(page["size"], reading.limit)
    if reading.cursor is None:
        return page, 0
    try:
        held = json.loads(base64.urlsafe_b64decode(reading.cursor.encode("ascii", "strict")))
    except (ValueError, RecursionError):
        held = None
    if not _is_position(held, page):
        raise ValidationFailed.of(Fault(path="cursor", code="invalid_cursor", message="This is no cursor that this trigger gave."))
    return {**held["page"]}, held["skip"]


def _is_position(held: Any, first: Mapping[str, Any]) -> bool:
    """Whether a decoded cursor can be one of ours: it only ever fills the pager's own placeholders, numbers where the ``first`` page has them."""
    if not isinstance(held, dict) or held.keys() != {"page", "skip"}:
        return False
    found, skip = held["page"], held["skip"]
    if not isinstance(found, dict) or not first.keys() <= found.keys() <= _PAGE_KEYS or isinstance(skip, bool) or not isinstance(skip, int):
        return False
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in found.values()):
        return False
    numbers = [name for name, value in first.items() if isinstance(value, int)]
    if not all(isinstance(found.get(name, 0), int) and 0 <= found.get(name, 0) <= 2**53 for name in (*numbers, "read", "seen")):
        return False
    return 0 <= skip <= 100_000 and 1 <= found.get("size", 1) <= 10_000


def _encode(position: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":"), default=str).encode()).decode()


def read_reading(window: Any, cursor: Any, limit: Any) -> Reading:
    """A caller's window, cursor and limit. Raises ``ValidationFailed`` with every fault."""
    faults: list[Fault] = []
    start, end = None, None
    if window is not None:
        if not isinstance(window, dict):
            faults.append(Fault(path="window", code="wrong_type", message='An object {"from", "to"} is needed here.'))
        else:
            faults.extend(
                Fault(path=f"window.{key}", code="unknown_field", message="A window has from and to.")
                for key in window.keys() - {"from", "to"}
            )
            start, end = (_moment(window.get(key), f"window.{key}", faults) for key in ("from", "to"))
            if start is not None and end is not None and start >= end:
                faults.append(Fault(path="window.to", code="too_small", message="The window ends before it begins."))
    if cursor is not None and not isinstance(cursor, str):
        faults.append(Fault(path="cursor", code="wrong_type", message="A cursor is a text."))
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= ITEMS_LIMIT):
        faults.append(Fault(path="limit", code="out_of_range", message=f"A limit is a whole number from 1 to {ITEMS_LIMIT}."))
    if faults:
        raise ValidationFailed.of(*faults)
    return Reading(start=start, end=end, cursor=cursor, limit=limit or ITEMS_DEFAULT)


def _moment(value: Any, path: str, faults: list[Fault]) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(unix_number(coerce_datetime(value)))
    except ValueFault as error:
        faults.append(Fault(path=path, code=error.code, message=error.message))
        return None
