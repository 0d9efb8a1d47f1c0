"""Makes valid inputs of an operation from its schema: Hypothesis strategies for what a caller may send under ``runnerData``.

Values are valid and unkind: texts hold what breaks out of URLs, headers, forms, JSON and XML if somebody lets it. Needs the development packages.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import partial
from itertools import product
from typing import Any, Final

import msgspec
import re2
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from polyport.engine.demands import compile_demands
from polyport.engine.schema import Choices, CustomField, Place, Schema
from polyport.engine.validate import Validator, compile_fields, compile_validator
from polyport.errors import Fault
from polyport.manifest.model import Operation
from polyport.manifest.variables import InputField, InputSection
from polyport.paths import Step, get, parse_path

Values = st.SearchStrategy[Any]

PLAIN: Final = st.sampled_from(["a", "Ada", "box 7", "x-1", "42", "ok"])
UNKIND: Final = (
    "a/b", "../..", "..", "%2e%2e%2f", "a?b=c&d=e#f", "a&b=c", "a=b;c", "a\r\nX-Evil: 1", '"}],"x":{"y":[', "</a><b x='1'>&amp;]]>", "--polyport-0--\r\n",
    "{{connection.token}}", '{{"{{"}}', "${jndi:x}", "' OR 1=1 --", "\x00\x1b[31m", "\u202eabc", "\u00e9\U0001f600\u6f22", "a\tb", "a,b|c d", "@evil.example", "//evil.example/",
    "https://evil.example/", "[0]", "a[b]", "+", "%", "\\", "`", "\u2028", " a ", "null", "-0", "1e400", "=cmd()", "*", "~",
)  # fmt: skip
TEXTS: Final = st.one_of(
    st.sampled_from(UNKIND),
    PLAIN,
    st.lists(st.one_of(st.sampled_from(UNKIND), PLAIN), min_size=2, max_size=3).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
_OBJECTS: Final = st.dictionaries(TEXTS, JSON, max_size=3)
_FOUND: Final = re.compile(r"\(\?s:\.\*\)\(\?:(.*)\)\(\?s:\.\*\)", re.DOTALL)  # what only has to be found somewhere in the text
_ROUNDS: Final = 10
_DEEP: Final = 2
CHOICES_MOST: Final = 8
_PHONES: Final = ("+442079460000", "+12025550143", "+49 30 901820", "00442079460000", "+81312345678")
_HOSTS: Final = st.sampled_from(["example.com", "a.example.org", "xn--bcher-kva.example"])
_FORMATS: Final[Mapping[str, Values]] = {
    "email": st.builds("{}@{}".format, st.sampled_from(["ada", "a.b+c", "o'brien", "x&y=z", "%2f", "{{x}}", "\u00e9"]), _HOSTS),
    "uri": st.builds("https://{}/{}".format, _HOSTS, st.sampled_from(["", "a?b=c&d=%20#e", "../x", "\u00e9", "a;b", "'\""])),
    "uuid": st.uuids().map(str),
    "hostname": _HOSTS,
    "regex": st.sampled_from(["^a+$", "[a-z]{1,3}", "(?:x|y)*", r"\d+\.\d", "(?<=a)b"]),
    "json": JSON.map(lambda value: msgspec.json.encode(value).decode()),
}
_PRINTABLE: Final = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
_PLAIN_OBJECTS: Final = st.dictionaries(st.sampled_from(["a", "Ada", "x-1"]), PLAIN, min_size=1, max_size=2)
_PLAIN_LISTS: Final = st.lists(PLAIN, min_size=1, max_size=2)
_PLAIN_FORMATS: Final[Mapping[str, Values]] = {
    **_FORMATS,
    "email": st.sampled_from(["ada@example.com", "a.b+c@a.example.org"]),
    "uri": st.sampled_from(["https://example.com/", "https://a.example.org/b?c=d&e=%20"]),
    "json": _PLAIN_OBJECTS.map(lambda value: msgspec.json.encode(value).decode()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """What kind of values is made. ``texts`` is where free texts come from.

    ``samples``: raw JSON is taken from the samples of its fields. ``plain``: values that hardly any service minds, with samples among them.
    """

    texts: Values = TEXTS
    samples: bool = False
    plain: bool = False

    @property
    def formats(self) -> Mapping[str, Values]:
        """Texts in the formats that fields can have."""
        return _PLAIN_FORMATS if self.plain else _FORMATS

    @property
    def letters(self) -> Values | None:
        """What texts that match a pattern are made of; nothing: whatever the pattern allows."""
        return _PRINTABLE if self.plain else None


def inputs(schema: Schema, *, texts: Values = TEXTS, samples: bool = False, nulls: bool = True, plain: bool = False) -> Values:
    """Valid inputs of an operation.

    ``schema`` says which choices and custom fields there are; for a list that was not read, whatever fits the field is sent. ``texts`` is where free
    texts come from. ``samples``: raw JSON is taken from the samples of its fields, so that what a service wants of its inside holds.
    ``nulls``: what may be left out may be null too. ``plain``: values that hardly any service minds, with the samples of fields among them.
    """
    maker = _Maker(schema, Taste(texts=PLAIN if plain else texts, samples=samples, plain=plain), nulls=nulls)
    operation = schema.operation
    writes = operation.custom_fields is not None and operation.custom_fields.writable
    made = maker.level(operation, (), schema.custom if writes else ())
    return made.map(partial(_settled, compile_validator(schema)))


def _settled(validator: Validator, data: dict[str, Any]) -> dict[str, Any]:
    """The input without what does not apply to its own choices, and without rows whose key another one has."""
    for _round in range(_ROUNDS):
        faults = [fault for fault in validator.check(data).faults if fault.code in {"not_applicable", "duplicate_key"}]
        if not faults:
            break
        for place in sorted((_place(fault) for fault in faults), reverse=True, key=lambda steps: [str(step).rjust(8) for step in steps]):
            del get(data, place[:-1])[place[-1]]
    return data


def _place(fault: Fault) -> tuple[Step, ...]:
    """Where to take something out: the member, or the row that its key stands in."""
    steps = parse_path(fault.path)[1:]
    return steps[:-1] if fault.code == "duplicate_key" else steps


def open_lists(schema: Schema, names: Sequence[str]) -> Schema:
    """The schema with lists of which only a part was read, so that any key passes: for inputs that are made without a partner."""
    return replace(schema, choices={**{name: Choices(items=(), complete=False) for name in names}, **schema.choices}, compiled={})


def fields(variables: Sequence[InputField], *, texts: Values = TEXTS, plain: bool = False) -> Values:
    """Valid values for fields that belong to no operation: selectors, those of a connection."""
    return _members([(variable.name, variable, value_of(variable, texts=texts, plain=plain)) for variable in variables])


def value_of(
    variable: InputField,
    *,
    texts: Values = TEXTS,
    choices: Choices | None = None,
    key_pattern: str | None = None,
    samples: bool = False,
    plain: bool = False,
) -> Values:
    """Valid values of one field, never null."""
    return _value_of(variable, Taste(texts=texts, samples=samples, plain=plain), choices, key_pattern)


def _value_of(variable: InputField, taste: Taste, choices: Choices | None, key_pattern: str | None) -> Values:
    one = _chosen(variable, choices, key_pattern, taste)
    if one is None:
        one = _typed(variable, taste)
    if variable.is_array:
        least = max(variable.min_items or 0, 1 if variable.required else 0)
        most = max(least, min(variable.max_items or 3, 3))
        one = st.lists(one, min_size=least, max_size=most, unique_by=str if variable.unique_items else None)
    if taste.plain and variable.sample is not None and variable.base_type != "object" and _fits(variable, key_pattern):
        return st.just(variable.sample) | one
    return one


def _fits(variable: InputField, key_pattern: str | None) -> bool:
    """Whether a field's sample is a value that it takes: of a list of choices any that the list takes for a key without being read."""
    if variable.list is not None and key_pattern is not None:
        told = variable.sample if isinstance(variable.sample, list) else [variable.sample]
        if not all(re2.fullmatch(key_pattern, str(one)) for one in told):
            return False
    alone = variable.model_copy(update={"when": None, "list": None})
    return not compile_fields([alone]).check({variable.name: variable.sample}).faults


class _Maker:
    def __init__(self, schema: Schema, taste: Taste, *, nulls: bool) -> None:
        self._schema = schema
        self._taste = taste
        self._nulls = nulls
        self._around: dict[str, tuple[InputSection, Place]] = {}
        self._deep = 0

    def level(self, told: Operation | InputSection, place: Place, custom: Sequence[CustomField] = ()) -> Values:
        """Valid objects of one level: the operation itself, or a row."""
        demands = [demand.sets for demand in compile_demands(self._schema, told, place)]
        chosen = [frozenset(name for names in sets for name in names) for sets in product(*demands)][:CHOICES_MOST]
        return st.one_of([self._level(told, place, custom, needed) for needed in chosen])

    def _level(self, told: Operation | InputSection, place: Place, custom: Sequence[CustomField], chosen: frozenset[str]) -> Values:
        """Such objects with something under these names."""
        sections = told.sections
        members = [
            (
                public,
                variable.model_copy(update={"required": variable.required or public in chosen}),
                self._value(variable, needed=public in chosen),
            )
            for variable in told.fields
            for public in (self._schema.public(variable.name, place),)
        ]
        members += [(entry.field.name, entry.field, self._value(entry.field)) for entry in custom if entry.writable]
        rows = {
            section.name: self._rows(section, (*place, section.name), needed=section.name in chosen)
            for section in sections
            if self._deep < _DEEP or section.name in chosen
        }
        needed = {section.name for section in sections if section.required} | (chosen & rows.keys())
        return _members(members, rows, needed, nulls=self._nulls)

    def _value(self, variable: InputField, *, needed: bool = False) -> Values:
        variable = variable.model_copy(update={"required": True}) if needed else variable
        named = variable.list
        choices = self._schema.choices.get(named) if named is not None else None
        pattern = self._schema.key_patterns.get(named) if named is not None else None
        return _value_of(variable, self._taste, choices, pattern)

    def _rows(self, section: InputSection, place: Place, *, needed: bool = False) -> Values:
        like, inner = self._around.get(section.like or "", (section, place))
        outer, deep = dict(self._around), self._deep
        self._around[section.name], self._deep = (like, inner), deep + (section.like is not None)
        writes = like.custom_fields is not None and like.custom_fields.writable
        row = self.level(like, inner, self._schema.row_custom.get(inner, ()) if writes else ())
        self._around, self._deep = outer, deep
        least = max(section.rows_least, int(needed))
        return st.lists(row, min_size=least, max_size=max(least, min(section.rows_most or 2, 2)))


def _members(
    members: Sequence[tuple[str, InputField, Values]],
    rows: Mapping[str, Values] | None = None,
    needed: set[str] | None = None,
    *,
    nulls: bool = True,
) -> Values:
    """Objects: what is required is there, the rest maybe; a field that may be left out may be null too."""
    null = st.none() if nulls else st.nothing()
    optional = {name: null | value for name, variable, value in members if not variable.required}
    required = {name: value for name, variable, value in members if variable.required}
    for name, value in (rows or {}).items():
        (required if name in (needed or set()) else optional)[name] = value
    return st.fixed_dictionaries(required, optional=optional)


def _chosen(variable: InputField, choices: Choices | None, key_pattern: str | None, taste: Taste) -> Values | None:
    """Keys, where the field has choices."""
    if variable.options is not None:
        return st.sampled_from([option.key for option in variable.options])
    if variable.list is None:
        return None
    if choices is not None and choices.items:
        return st.sampled_from([key for key, _label in choices.items])
    if key_pattern is None or variable.base_type != "string":
        return None
    if variable.pattern is None and variable.format not in _FORMATS:
        return matching(key_pattern, variable.min_length or 0, variable.max_length, taste.letters)
    compiled = re2.compile(key_pattern)
    return _text(variable, replace(taste, texts=PLAIN)).filter(lambda text: compiled.fullmatch(text) is not None)


def matching(pattern: str, least: int = 0, most: int | None = None, letters: Values | None = None) -> Values:
    """Texts that match a pattern whole (RE2's syntax, as far as Python's ``re`` reads it) and have a length within bounds, made of these ``letters``."""
    compiled = re2.compile(pattern)
    core = _FOUND.fullmatch(pattern)
    source = re.compile(core[1] if core is not None else pattern, re.ASCII)

    def fits(text: str) -> bool:
        return least <= len(text) <= (most or 10_000) and compiled.fullmatch(text) is not None

    if letters is not None:
        try:
            return st.from_regex(source, fullmatch=True, alphabet=letters).filter(fits)
        except InvalidArgument:
            pass  # the pattern wants letters that are not among these
    return st.from_regex(source, fullmatch=True).filter(fits)


def _typed(variable: InputField, taste: Taste) -> Values:
    made = _TYPED.get(variable.base_type)
    if made is not None:
        return _PLAIN_TYPED.get(variable.base_type, made) if taste.plain else made
    if variable.base_type == "string":
        return _text(variable, taste)
    if variable.base_type in {"integer", "decimal"}:
        return _number(variable)
    if (taste.samples or taste.plain) and variable.sample is not None:
        return st.just(variable.sample[0] if variable.is_array and isinstance(variable.sample, list) else variable.sample)
    if variable.holds is not None:
        objects, lists = (_PLAIN_OBJECTS, _PLAIN_LISTS) if taste.plain else (_OBJECTS, st.lists(JSON, min_size=1, max_size=3))
        return objects if variable.holds == "object" else lists
    if taste.plain:
        return PLAIN | _PLAIN_OBJECTS
    if taste.samples and not variable.required:
        return st.nothing()
    return JSON.filter(lambda value: value not in (None, "", [])) if variable.required and not variable.is_array else JSON


def _text(variable: InputField, taste: Taste) -> Values:
    least, most = variable.min_length or (1 if variable.required else 0), variable.max_length
    if variable.pattern is not None and variable.format == "uuid":
        wanted = re2.compile(variable.pattern)
        return taste.formats["uuid"].filter(lambda text: bool(wanted.fullmatch(text)))
    if variable.pattern is not None:
        return matching(variable.pattern, least, most, taste.letters)
    made = taste.formats.get(variable.format or "", taste.texts)
    if variable.format not in taste.formats:
        made = made.map(lambda text: text.ljust(least, "x")[:most])
    return made.filter(lambda text: len(text) <= (most or 100_000))


def _number(variable: InputField) -> Values:
    least, most = variable.min, variable.max
    if variable.multiple_of is not None:
        step = Decimal(str(variable.multiple_of))
        first = (Decimal(str(least)) / step).to_integral_value(ROUND_CEILING) if least is not None else None
        last = (Decimal(str(most)) / step).to_integral_value(ROUND_FLOOR) if most is not None else None
        steps = st.integers(
            int(first) if first is not None else int(last or 0) - 1_000, int(last) if last is not None else int(first or 0) + 1_000
        )
        multiples: Values = steps.map(lambda count: count * step)
        if variable.base_type == "integer":
            multiples = multiples.filter(lambda value: value == value.to_integral_value()).map(int)
        return st.one_of(multiples, multiples.map(str))
    if variable.base_type == "integer":
        low = None if least is None else int(least)
        high = None if most is None else int(most)
        whole = st.integers(low if low is not None else (high or 0) - 2**40, high if high is not None else (low or 0) + 2**40)
        return st.one_of(whole, whole.map(str))
    bounds = [Decimal(str(bound)) if bound is not None else None for bound in (least, most)]
    exact = st.decimals(
        bounds[0] if bounds[0] is not None else -(10**9),
        bounds[1] if bounds[1] is not None else 10**9,
        places=2 if variable.scale is None else min(2, variable.scale),
    )
    return st.one_of(exact, exact.map(str))


def _file(name: str, kind: str, content: bytes) -> dict[str, str]:
    return {"name": name, "contentType": kind, "base64": base64.b64encode(content).decode()}


_TYPED: Final[Mapping[str, Values]] = {
    "boolean": st.sampled_from([True, False, "true", "no", 1]),
    "nullable_boolean": st.sampled_from([True, False]),
    "datetime": st.one_of(st.integers(0, 4_000_000_000), st.sampled_from(["2026-11-24T09:30:00Z", "2026-11-24T09:30:00.5+01:00"])),
    "date": st.dates().map(lambda day: day.isoformat()),
    "phone": st.sampled_from(_PHONES),
    "file": st.builds(
        _file,
        st.sampled_from(["a.txt", 'a"b.png', "../x", "\u00e9.pdf", "a;b=c"]),
        st.sampled_from(["text/plain", "image/png"]),
        st.sampled_from([b"", b"text", b"\x00\xff--polyport-", b"\r\n--b--\r\n"]),
    ),
}
_PLAIN_TYPED: Final[Mapping[str, Values]] = {
    "boolean": st.booleans(),
    "phone": st.just("+442079460000"),
    "file": st.builds(_file, st.just("a.txt"), st.just("text/plain"), st.just(b"text")),
}
