"""From what a caller sent to what templates read: every value coerced and in its wire format, every fault found at once.

``compile_validator`` turns a schema into closures once; ``Validator.check`` then runs them. Nothing here does I/O: what needs a list that was not read
comes back under ``wanted``, what needs a file to be fetched under ``files``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import msgspec

from polyport.engine.choices import Unresolved, list_lookup, lookup
from polyport.engine.demands import Demand, compile_demands
from polyport.engine.file_places import FilePlace, follow_files, note_files
from polyport.engine.formats import compile_checks, put_together
from polyport.engine.rows import Close, WriteRow, row_writer, rows_closer
from polyport.engine.schema import ROWS_DEPTH, Choices, CustomField, Place, Schema
from polyport.engine.variants import Condition, ordered
from polyport.errors import Fault
from polyport.kinds.fields import FileValue, ValueFault
from polyport.kinds.wires import compile_form
from polyport.manifest.base import Match
from polyport.manifest.variables import CustomFields, InputField, InputSection, OutputSection
from polyport.paths import MISSING, Step, format_path, put
from polyport.template import RenderFault, Template, to_text

ROWS_LIMIT: Final = 10_000
FAULTS_LIMIT: Final = 200

_EMPTY: Final[tuple[Any, ...]] = (None, "", [])
Where = tuple[Step, ...]
_FILES: Final = (FileValue, list)
Convert = Callable[[Any, Where, "_Check"], Any]


class Validated(msgspec.Struct, kw_only=True):
    """What came of an input: ``values`` by field name for the templates, ``custom`` by the partner's own keys.

    ``wanted`` are the lists without which a value could not be understood, ``texts`` what to look for in them. ``files`` are the places of files whose content is elsewhere.
    """

    values: dict[str, Any]
    custom: dict[str, Any]
    faults: list[Fault]
    wanted: set[str]
    texts: dict[str, list[str]]
    files: list[FilePlace]


class _Check(msgspec.Struct):
    """The mutable state of one check."""

    faults: list[Fault] = []
    wanted: set[str] = set()
    texts: dict[str, list[str]] = {}
    files: list[FilePlace] = []
    top: dict[str, Any] = {}
    given: Mapping[str, Any] = {}

    def fault(self, where: Where, code: str, message: str) -> None:
        if len(self.faults) < FAULTS_LIMIT:
            self.faults.append(Fault(path=format_path(where), code=code, message=message))


@dataclass(frozen=True, slots=True)
class _Slot:
    """One compiled field of a level. ``one`` converts the value of a field that has a single one; ``holds_files`` says that it may be a file."""

    public: str
    at: tuple[str, ...]
    required: bool
    convert: Convert
    default: Any
    key: str | None
    cleared: Any = None
    when: Condition | None = None
    one: Callable[[Any], Any] | None = None
    holds_files: bool = False

    def read(self, given: Any, where: Where, state: _Check) -> Any:
        """The value of this field, or ``_ABSENT`` when it had faults."""
        if not self.required:
            return None if given is None else self.convert(given, (*where, self.public), state)
        found = len(state.faults)
        value = None if given in (None, "", []) else self.convert(given, (*where, self.public), state)
        if value is None or (value in ([], "") and len(state.faults) == found):
            state.fault((*where, self.public), "required", "This field is needed and may not be empty.")
            return _ABSENT
        return value


@dataclass(frozen=True, slots=True)
class _Rows:
    """One compiled section of a level. ``key`` is the public name of a map's key."""

    public: str
    at: tuple[str, ...]
    section: InputSection
    level: _Level
    key: str
    has_custom: bool
    write: WriteRow | None
    close: Close | None
    least: int
    most: int
    when: Condition | None = None

    def read(self, listed: list[Any], place: Where, state: _Check) -> Any:
        """The rows as they stand on the wire."""
        found: list[Any] = []
        for index, given in enumerate(listed):
            if not isinstance(given, dict):
                state.fault((*place, index), "wrong_type", "A row is an object.")
                continue
            own, files = dict[str, Any]() if self.has_custom else None, len(state.files)
            row = self.level.check(given, (*place, index), state, own)
            found.append(row if self.write is None else self.write(row, own or {}))
            if own is not None and len(state.files) > files:
                follow_files(state.files, files, own, found[-1])
        if self.close is None or len(found) < len(listed):
            return found
        return self.close(found, lambda index, code, message: state.fault((*place, index, self.key), code, message))


@dataclass(frozen=True, slots=True)
class _Level:
    """One compiled level: the operation itself, or the rows of a section."""

    slots: tuple[_Slot, ...]
    rows: list[_Rows]
    known: frozenset[str]
    outputs: frozenset[str]
    variants: tuple[_Slot, ...] = ()
    demands: tuple[Demand, ...] = ()

    def check(self, data: Mapping[str, Any], where: Where, state: _Check, custom: dict[str, Any] | None = None) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if len(where) == 1:
            state.top, state.given = values, data
        self._read(self.slots, data, where, state, values, custom)
        for slot in self.variants:
            if self._applies(slot, data, where, state, values):
                self._read((slot,), data, where, state, values, custom)
        for rows in self.rows:
            if rows.when is None or self._applies(rows, data, where, state, values):
                self._check_rows(rows, data, where, state, values)
        if len(data) and not data.keys() <= self.known:
            self._report_unknown(data, where, state)
        for demand in self.demands:
            if not demand.is_met(data):
                state.fault(where, "required", demand.words)
        return values

    def _applies(self, part: _Slot | _Rows, data: Mapping[str, Any], where: Where, state: _Check, values: Mapping[str, Any]) -> bool:
        """Whether a part is to be looked at. One that does not apply may not be sent; where nobody can tell, only what was sent is looked at."""
        condition = cast("Condition", part.when)
        verdict = condition.judge(state.top, state.given) if condition.top else condition.judge(values, data)
        sent = part.public in data
        if verdict is False and sent:
            state.fault((*where, part.public), "not_applicable", f"This applies only when {condition.words}.")
        return verdict is True or (verdict is None and sent)

    def _read(
        self,
        slots: Sequence[_Slot],
        data: Mapping[str, Any],
        where: Where,
        state: _Check,
        values: dict[str, Any],
        custom: dict[str, Any] | None,
    ) -> None:
        for slot in slots:
            given = data.get(slot.public, slot.default)
            if given is _ABSENT:
                if slot.required:
                    state.fault((*where, slot.public), "required", "This field is needed.")
                continue
            value: Any = _ABSENT
            if slot.one is not None and given is not None and not (slot.required and given in _EMPTY):
                try:
                    value = slot.one(given)
                except (ValueFault, Unresolved):
                    value = _ABSENT
            if value is _ABSENT or (slot.required and value in _EMPTY):  # whatever is not as it should be is read again, and told
                value = slot.read(given, where, state)
            if value is _ABSENT:
                continue
            if slot.key is not None and custom is not None:
                custom[slot.key] = slot.cleared if value is None else value
            elif len(slot.at) == 1:
                values[slot.at[0]] = value
            else:
                put(values, slot.at, value)
            if slot.holds_files and isinstance(value, _FILES):
                holder, at = (values, slot.at) if slot.key is None else (cast("dict[str, Any]", custom), (slot.key,))
                note_files(value, holder, at, (*where, slot.public), state.files)

    def _check_rows(self, rows: _Rows, data: Mapping[str, Any], where: Where, state: _Check, values: dict[str, Any]) -> None:
        place = (*where, rows.public)
        given = data.get(rows.public, _ABSENT)
        if given is _ABSENT or given is None:
            if rows.section.required:
                state.fault(place, "required", "At least one row is needed here.")
            elif given is None:
                put(values, rows.at, None)
            return
        listed = [given] if isinstance(given, dict) else given
        if not isinstance(listed, list):
            state.fault(place, "wrong_type", "A list of rows (objects) is needed here.")
            return
        if len(listed) > rows.most:
            message = f"At most {rows.most} rows are taken here." if rows.most > 1 else "One row at most is taken here."
            state.fault(place, "too_many", message)
            return
        if len(listed) < rows.least:
            state.fault(place, "too_few", f"At least {rows.least} rows are needed here.")
            return
        if len(where) > 2 * ROWS_DEPTH:
            state.fault(place, "too_deep", f"Rows nest at most {ROWS_DEPTH} levels.")
            return
        read = rows.read(listed, place, state)
        if read is not MISSING:
            if len(rows.at) == 1:
                values[rows.at[0]] = read
            else:
                put(values, rows.at, read)

    def _report_unknown(self, data: Mapping[str, Any], where: Where, state: _Check) -> None:
        for key in data:
            if key in self.known:
                continue
            if key in self.outputs:
                state.fault((*where, key), "not_editable", "This is an output of the operation: it cannot be sent.")
            else:
                state.fault((*where, key), "unknown_field", "The operation has no such field for this connection.")


@dataclass(frozen=True, slots=True)
class Validator:
    """A compiled schema."""

    level: _Level

    def check(self, data: Any, root: str = "runnerData") -> Validated:
        """Check one input; never raises for what stands in it."""
        state, custom = _Check(), dict[str, Any]()
        values: dict[str, Any] = {}
        if isinstance(data, dict):
            values = self.level.check(data, (root,), state, custom)
        else:
            state.fault((root,), "wrong_type", "An object with the fields of the operation is needed here.")
        return Validated(values=values, custom=custom, faults=state.faults, wanted=state.wanted, texts=state.texts, files=state.files)


def compile_validator(schema: Schema) -> Validator:
    """Compile the inputs of a schema."""
    operation = schema.operation
    slots = [_slot(schema, variable, (), at=(variable.name,), fields=operation.fields) for variable in ordered(operation.fields)]
    outputs = {schema.public(variable.name) for variable in operation.result.fields} | {s.name for s in operation.result.sections}
    custom_slots, custom_outputs = _custom_slots(schema, operation.custom_fields, schema.custom)
    slots, outputs = slots + custom_slots, outputs | custom_outputs
    twins = {section.name: section for section in operation.result.sections}
    rows = [_rows(schema, section, (), twins.get(section.name), operation.fields) for section in operation.sections]
    known = frozenset({slot.public for slot in slots} | {row.public for row in rows})
    demands = compile_demands(schema, operation, ())
    return Validator(_level(slots, rows, known, frozenset(outputs - known), demands))


def _level(
    slots: Sequence[_Slot], rows: list[_Rows], known: frozenset[str], outputs: frozenset[str], demands: tuple[Demand, ...]
) -> _Level:
    plain = tuple(slot for slot in slots if slot.when is None)
    return _Level(plain, rows, known, outputs, tuple(slot for slot in slots if slot.when is not None), demands)


def compile_fields(
    fields: Sequence[InputField], choices: Mapping[str, Choices] | None = None, key_patterns: Mapping[str, str] | None = None
) -> Validator:
    """Compile fields that belong to no operation: those of a connection, or selectors. ``key_patterns`` of lists tell keys without reading them."""
    slots = tuple(_compiled(variable, variable.name, (variable.name,), choices or {}, key_patterns or {}) for variable in fields)
    return Validator(_Level(slots, [], frozenset(slot.public for slot in slots), frozenset()))


class _Absent:
    """The type of ``_ABSENT``: a key that was not sent, or a value that had faults."""

    __slots__ = ()


_ABSENT: Final = _Absent()


def _rows(
    schema: Schema,
    section: InputSection,
    place: Place,
    twin: OutputSection | None,
    fields: Sequence[InputField],
    around: Mapping[str, _Rows] | None = None,
) -> _Rows:
    around, condition = around or {}, _condition(schema, section.when, place, fields)
    at = _keys(section.at, section.name) if place else (section.name,)
    if section.like is not None:
        origin = around[section.like]
        shapes = {origin.section.shape, section.shape}
        close = rows_closer(section) if shapes <= {"objects", "object"} else origin.close
        least, most = _bounds(section)
        return replace(origin, public=section.name, at=at, section=section, close=close, least=least, most=most, when=condition)
    inner = (*place, section.name)
    twins = {output.name: output for output in twin.sections} if twin is not None else {}
    entries = schema.row_custom.get(inner, ())
    custom_slots, custom_outputs = _custom_slots(schema, section.custom_fields, entries)
    own = [
        _slot(schema, variable, inner, at=_keys(variable.at, variable.name), fields=section.fields) for variable in ordered(section.fields)
    ]
    slots = (*own, *custom_slots)
    known = frozenset({slot.public for slot in slots} | {deeper.name for deeper in section.sections})
    outputs = {schema.public(variable.name, inner) for variable in twin.fields} | twins.keys() if twin is not None else set()
    demands, (least, most) = compile_demands(schema, section, inner), _bounds(section)
    level = _level(slots, [], known, frozenset((outputs | custom_outputs) - known), demands)
    rows = _Rows(
        public=section.name,
        at=at,
        section=section,
        level=level,
        key=schema.public(section.fields[0].name, inner) if section.shape == "map" else "",
        has_custom=section.custom_fields is not None,
        write=row_writer(section, entries),
        close=rows_closer(section),
        least=least,
        most=most,
        when=condition,
    )
    within = {**around, section.name: rows}
    level.rows.extend(_rows(schema, deeper, inner, twins.get(deeper.name), section.fields, within) for deeper in section.sections)
    return rows


def _bounds(section: InputSection) -> tuple[int, int]:
    """How many rows a section takes, at least and at most."""
    return section.rows_least, min(section.rows_most or ROWS_LIMIT, ROWS_LIMIT)


def _custom_slots(schema: Schema, spec: CustomFields | None, entries: Sequence[CustomField]) -> tuple[list[_Slot], set[str]]:
    """The custom fields of a level that may be sent, and the names of those that may not."""
    slots, outputs = [], set[str]()
    for entry in entries:
        if spec is None or not spec.writable or not entry.writable:
            outputs.add(entry.field.name)
            continue
        slot = _compiled(entry.field, entry.field.name, (entry.field.name,), schema.choices, schema.key_patterns)
        cleared = spec.cleared if entry.cleared is MISSING else entry.cleared
        convert = slot.convert if entry.write is None else _wrapped(slot.convert, entry.write, entry.key)
        slots.append(replace(slot, key=entry.key, cleared=cleared, convert=convert, one=slot.one if entry.write is None else None))
    return slots, outputs


def _wrapped(inner: Convert, template: Template, key: str) -> Convert:
    """A converter whose values are wrapped as the partner wants them."""

    def convert(value: Any, where: Where, state: _Check) -> Any:
        found = inner(value, where, state)
        if found is _ABSENT or found is None:
            return found
        try:
            wrapped = template.render({"value": found, "key": key})
        except RenderFault as error:
            state.fault(where, "wrong_format", f"The partner cannot be sent this value: {error}.")
            return _ABSENT
        return _ABSENT if wrapped is MISSING else wrapped

    return convert


def _keys(at: tuple[Step, ...] | None, name: str) -> tuple[str, ...]:
    return tuple(str(step) for step in at) if at else (name,)


def _slot(schema: Schema, variable: InputField, place: Place, *, at: tuple[str, ...], fields: Sequence[InputField]) -> _Slot:
    slot = _compiled(variable, schema.public(variable.name, place), at, schema.choices, schema.key_patterns)
    return slot if variable.when is None else replace(slot, when=_condition(schema, variable.when, place, fields))


def _condition(schema: Schema, match: Match | None, place: Place, fields: Sequence[InputField]) -> Condition | None:
    """A condition on a field of the level, else on one of the operation."""
    if match is None:
        return None
    name = str(match.at[0])
    own = next((variable for variable in fields if variable.name == name), None)
    if own is None or not place:
        return Condition(match=match, name=name, public=schema.public(name), at=(name,), top=True)
    return Condition(match=match, name=name, public=schema.public(name, place), at=_keys(own.at, name), top=False)


def _compiled(
    variable: InputField, public: str, at: tuple[str, ...], choices: Mapping[str, Choices], key_patterns: Mapping[str, str]
) -> _Slot:
    one = _converter(variable, choices, key_patterns)
    return _Slot(
        public=public,
        at=at,
        required=variable.required,
        convert=_array(variable, one) if variable.is_array else _single(one),
        default=variable.default if variable.default is not None else _ABSENT,
        key=None,
        one=None if variable.is_array else one,
        holds_files=variable.base_type == "file",
    )


def _single(one: Callable[[Any], Any]) -> Convert:
    def convert(value: Any, where: Where, state: _Check) -> Any:
        try:
            return one(value)
        except ValueFault as error:
            state.fault(where, error.code, error.message)
        except Unresolved as unresolved:
            state.wanted.add(unresolved.name)
            state.texts.setdefault(unresolved.name, []).append(unresolved.text)
        return _ABSENT

    return convert


def _array(variable: InputField, one: Callable[[Any], Any]) -> Convert:
    most, least = min(variable.max_items or ROWS_LIMIT, ROWS_LIMIT), variable.min_items or 0
    single = _single(one)

    def joined(values: list[Any], where: Where, state: _Check) -> Any:
        try:
            return (variable.separator or "").join(to_text(value) for value in values)
        except RenderFault:
            state.fault(where, "wrong_type", "Only texts, numbers and booleans can be joined to one text.")
            return _ABSENT

    def convert(value: Any, where: Where, state: _Check) -> Any:
        if isinstance(value, str) and variable.base_type not in {"object", "file"}:
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list):
            state.fault(where, "wrong_type", "A list is needed here, or a text with commas between the values.")
            return _ABSENT
        if len(value) > most:
            state.fault(where, "too_many", f"At most {most} values are taken here.")
            return _ABSENT
        if len(value) < least:
            state.fault(where, "too_few", f"At least {least} values are needed here.")
            return _ABSENT
        found = [single(item, (*where, index), state) for index, item in enumerate(value)]
        kept = [item for item in found if item is not _ABSENT]
        if variable.unique_items and len(set(kept)) < len(kept):
            for index in (index for index, item in enumerate(found) if item is not _ABSENT and item in found[:index]):
                state.fault((*where, index), "duplicate_value", "This value stands there twice: each stands once.")
        return kept if variable.separator is None else joined(kept, where, state)

    return convert


def _converter(variable: InputField, choices: Mapping[str, Choices], key_patterns: Mapping[str, str]) -> Callable[[Any], Any]:
    """Coerce, look up, check, write: the steps a field needs, and no others."""
    steps = compile_form(variable.form)
    coerce, write = steps.coerce, steps.write
    check = compile_checks(variable)
    if variable.options is not None:
        listed = Choices(items=tuple((option.key, option.label) for option in variable.options))
        find = lookup(listed, coerce)
    elif variable.list is not None:
        find = list_lookup(variable.list, choices.get(variable.list), coerce, key_patterns.get(variable.list), variable.base_type)
    else:
        find = None

    return put_together(coerce if find is None else find, check, write)
