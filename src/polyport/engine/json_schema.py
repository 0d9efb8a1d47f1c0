"""The inputs of an operation as JSON Schema: the dialect ``json-schema`` (``wide``), and the plainer form that all tool dialects are made from. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from polyport.engine.demands import compile_demands
from polyport.engine.formats import compile_checks
from polyport.engine.schema import OPTIONS_SHOWN, CustomField, Place, Schema
from polyport.engine.validate import ROWS_LIMIT
from polyport.engine.variants import condition_field, describe, holds, wanted
from polyport.kinds.fields import TYPES, ValueFault, coerce_string, iso_text
from polyport.manifest.base import Match
from polyport.manifest.model import Operation
from polyport.manifest.variables import CustomFields, InputField, InputSection
from polyport.template import RenderFault, to_text

Json = dict[str, Any]
Choice = tuple[Any, str]
_Around = Mapping[str, tuple[Place, InputSection, int]]

LABELS_TOLD: Final = 50
LIKE_LEVELS: Final = 2  # how deep rows that are like those around them are shown
EXAMPLE_LIMIT: Final = 200

# The part of RE2 that means the same in the regular expressions of JSON Schema: no flags, no named groups, no Unicode classes, no \s.
_PORTABLE: Final = re.compile(
    r"(?:[^\\\[\]{}()]|\\[dDwWSnrtfv^$\\.*+?()\[\]{}|/]|\(\?:|\((?!\?)|\)|\{\d+(?:,\d*)?\}|\[\^?(?:[^\]\[\\]|\\[dwnrtfv^$\\.*+?()\[\]{}|/-])+\])*"
)
_DECIMAL: Final = r"^[+-]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,2})?$"
_MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})$"
_MEDIA: Final = {"html": "text/html", "json": "application/json"}

_FILE_NAMES: Final = {"name": {"type": "string", "maxLength": 255}, "contentType": {"type": "string", "maxLength": 255}}
_FILE_SOURCES: Final[Mapping[str, Json]] = {
    "url": {"type": "string", "description": "An address the file is read from."},
    "fileId": {"type": "string", "description": "The id of an uploaded file."},
    "base64": {
        "type": "string",
        "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        "description": "The content in base64.",
    },
}
_TYPES: Final[Mapping[str, Json]] = {
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "boolean": {"type": "boolean"},
    "nullable_boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time", "pattern": _MOMENT},
    "date": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "object": {},
}
_WIDE_TYPES: Final[Mapping[str, Json]] = {
    "decimal": {"type": ["number", "string"], "pattern": _DECIMAL},
    "datetime": {
        "type": ["number", "string"],
        "format": "date-time",
        "pattern": _MOMENT,
        "minimum": -62135596800,
        "maximum": 253402300799,
    },
}
_NOTES: Final = {
    "datetime": "ISO 8601 with a zone, such as 2026-11-24T09:30:00Z.",
    "date": "A day, such as 2026-11-24.",
    "object": "Any JSON.",
    "file": 'A file: exactly one of "url", "fileId" and "base64".',
}


def input_schema(schema: Schema, *, wide: bool) -> Json:
    """The schema of the bare ``runnerData``."""
    operation = schema.operation
    fields = [(schema.public(variable.name), variable) for variable in operation.fields]
    fields += _custom(operation.custom_fields, schema.custom)
    return _level(schema, fields, operation, (), {}, wide=wide)


def _row(schema: Schema, section: InputSection, place: Place, around: _Around, *, wide: bool) -> Json | None:
    """One row of a section. Rows like those around them are shown so many levels deep; ``None`` is for what lies deeper."""
    if section.like is None:
        inner, told, left = (*place, section.name), section, LIKE_LEVELS
    else:
        inner, told, left = around[section.like]
        if left == 0:
            return None
        left -= 1
    variables = [(schema.public(variable.name, inner), variable) for variable in told.fields]
    variables += _custom(told.custom_fields, schema.row_custom.get(inner, ()))
    return _level(schema, variables, told, inner, {**around, told.name: (inner, told, left)}, wide=wide)


def _custom(spec: CustomFields | None, entries: Sequence[CustomField]) -> list[tuple[str, InputField]]:
    return [(entry.field.name, entry.field) for entry in entries if spec is not None and spec.writable and entry.writable]


def _level(
    schema: Schema, fields: Sequence[tuple[str, InputField]], level: Operation | InputSection, place: Place, around: _Around, *, wide: bool
) -> Json:
    properties = {public: _property(schema, variable, place, wide=wide) for public, variable in fields}
    needed = [public for public, variable in fields if variable.required and variable.default is None]
    whens = {public: variable.when for public, variable in fields if variable.when is not None}
    for section in level.sections:
        items = _row(schema, section, place, around, wide=wide)
        if items is None:
            continue
        least = section.rows_least
        rows: Json = {"type": "array", "items": items}
        rows |= given({"minItems": least or None, "maxItems": _most(section.rows_most, wide=wide)})
        if section.required:
            needed.append(section.name)
        else:
            rows = nullable(rows)
        if section.when is not None:
            whens[section.name] = section.when
        properties[section.name] = _headed(rows, section.label, section.hint, _only_when(schema, section.when, place), wide=wide)
    required = [name for name in needed if name not in whens]
    whole = {"type": "object", "properties": properties} | ({"required": required} if required else {}) | {"additionalProperties": False}
    own = {variable.name: (public, variable) for public, variable in fields}
    rules = (
        [_rule(name, match, own, needed=name in needed) for name, match in whens.items() if condition_field(match) in own] if wide else []
    )
    for demand in compile_demands(schema, level, place):
        if wide:
            rules.append({"anyOf": [_all_of(names) for names in demand.sets]})
            continue
        for name in {
            name for names in demand.sets for name in names
        } & properties.keys():  # in words, where there is no other way to say it
            properties[name] = properties[name] | {"description": words(properties[name]["description"], demand.words)}
    return whole | ({"allOf": rules} if rules else {})


def _all_of(names: Sequence[str]) -> Json:
    """All of these members, with something in them."""
    return {"required": list(names), "properties": {name: {"not": {"enum": [None, "", []]}} for name in names}}


def _rule(name: str, match: Match, own: Mapping[str, tuple[str, InputField]], *, needed: bool) -> Json:
    """What a variant asks of the object around it: where it applies it may be needed, where it does not it may not be there."""
    public, variable = own[condition_field(match)]
    listed = wanted(match)
    part: Json = {"not": {"type": "null"}} if listed is None else {"enum": list(listed)}
    by_default = variable.default is not None and holds(match, variable.default) is not match.negate
    condition: Json = {"properties": {public: part}} | ({} if by_default else {"required": [public]})
    applies, absent = ({"required": [name]} if needed else {}), {"properties": {name: False}}
    return {"if": condition} | ({"then": absent, "else": applies} if match.negate else {"then": applies, "else": absent})


def _only_when(schema: Schema, match: Match | None, place: Place) -> str | None:
    if match is None:
        return None
    name = condition_field(match)
    return f"Only when {describe(match, schema.names.get((place, name)) or schema.public(name))}"


def _property(schema: Schema, variable: InputField, place: Place, *, wide: bool) -> Json:
    choices, closed = _choices(schema, variable)
    keys = [key for key, _label in choices] if closed else []
    part = one = _of_keys(choices, wide=wide) if keys else _of_type(variable, wide=wide)
    if variable.is_array:
        part = {"type": "array", "items": one} | given(
            {
                "minItems": max(variable.min_items or 0, 1 if variable.required else 0) or None,
                "maxItems": _most(variable.max_items, wide=wide),
                "uniqueItems": variable.unique_items or None,
            }
        )
    elif variable.required and not one and wide:
        part = {"not": {"enum": [None, "", []]}}
    if not variable.required:
        part = nullable(part)
    default, sample = (
        (None, None) if variable.secret else (_said(variable, keys, one, value) for value in (variable.default, variable.sample))
    )
    if variable.list is not None and not keys:
        sample = None  # a key of another account: a model would take it for one of this
    notes = [variable.hint, None if keys else _NOTES.get(variable.base_type), _told(choices, closed=closed), _pattern_note(variable)]
    if variable.scale is not None:
        notes.append(f"At most {variable.scale} decimal places")
    notes.append(_only_when(schema, variable.when, place))
    if variable.depends_on:
        notes.append("Depends on " + ", ".join(schema.names.get(((), name), name) for name in variable.depends_on))
    if wide:
        part |= given({"default": default, "examples": None if sample is None else [sample], "writeOnly": variable.secret or None})
    else:
        notes += [_quoted("Default", default), _quoted("Example", sample)]
    return _headed(part, variable.label, *notes, wide=wide)


def _headed(part: Json, label: str, *notes: str | None, wide: bool) -> Json:
    if wide:
        return {"title": label} | given({"description": words(*notes) or None}) | part
    return {"description": words(label, *notes)} | part


def _of_type(variable: InputField, *, wide: bool) -> Json:
    base = variable.base_type
    if base == "file":
        shapes = [_file(source, wide=wide) for source in _FILE_SOURCES]
        return {"oneOf" if wide else "anyOf": shapes}
    if base == "phone":
        return {"type": "string", "maxLength": 64, "pattern": r"^(?:\+|00)[0-9][0-9 ().-]{4,}$" if _needs_e164(variable) else r"\S"}
    if base == "string":
        return _text(variable, wide=wide)
    part = dict((wide and _WIDE_TYPES.get(base)) or _TYPES[base])
    if wide and variable.holds is not None:
        part = {"type": "object"} if variable.holds == "object" else {"type": "array"}
    return part | given({"minimum": variable.min, "maximum": variable.max, "multipleOf": variable.multiple_of})


def _text(variable: InputField, *, wide: bool) -> Json:
    filled = variable.required and (not variable.is_array or variable.separator is not None)
    most = variable.max_length if variable.format != "email" else min(variable.max_length or 254, 254)
    return {"type": "string"} | given(
        {
            "minLength": max(variable.min_length or 0, int(filled)) or None,
            "maxLength": most,
            "pattern": f"^(?:{variable.pattern})$" if variable.pattern is not None and _PORTABLE.fullmatch(variable.pattern) else None,
            "format": variable.format if variable.format in {"email", "uri", "uuid", "hostname", "regex"} else None,
            "contentMediaType": _MEDIA.get(variable.format or "") if wide else None,
        }
    )


def _file(source: str, *, wide: bool) -> Json:
    content = dict(_FILE_SOURCES[source])
    if wide and source == "base64":
        content["contentEncoding"] = "base64"
    properties = {source: content} | {name: dict(part) for name, part in _FILE_NAMES.items()}
    return {"type": "object", "properties": properties, "required": [source], "additionalProperties": False}


def _of_keys(choices: Sequence[Choice], *, wide: bool) -> Json:
    word = {str: "string", bool: "boolean", int: "integer"}[type(choices[0][0])]
    part: Json = {"type": word, "enum": [key for key, _label in choices]}
    if wide:
        part["oneOf"] = [{"const": key, "title": label} for key, label in choices]
    return part


def nullable(part: Json) -> Json:
    """The schema that takes null too."""
    changed = dict(part)
    if "type" in part:
        told = part["type"]
        changed["type"] = [*(told if isinstance(told, list) else [told]), "null"]
    if "enum" in part:
        changed["enum"] = [*part["enum"], None]
    for union in part.keys() & {"oneOf", "anyOf"}:
        changed[union] = [*part[union], {"const": None, "title": "Nothing"} if "enum" in part else {"type": "null"}]
    return changed


def _choices(schema: Schema, variable: InputField) -> tuple[list[Choice], bool]:
    """The choices that are known, and whether there are no others: options, or a list that was read whole and is short enough to show.

    Only keys that the field takes, once each; all of one JSON type, as texts where they are not.
    """
    if variable.options is not None:
        items, closed = [(option.key, option.label) for option in variable.options], True
    else:
        found = schema.choices.get(variable.list or "")
        items = list(found.items[:OPTIONS_SHOWN]) if found is not None else []
        closed = found is not None and found.complete and len(found.items) <= OPTIONS_SHOWN
    usable: dict[str, Choice] = {}
    for key, label in items:
        if _usable(variable, key):
            usable.setdefault(plain(key), (key, label))
    kinds = {type(key) for key, _label in usable.values()}
    if len(kinds) == 1 and kinds <= {str, int, bool}:
        return list(usable.values()), closed
    return [(text, label) for text, (_key, label) in usable.items()], closed


def _usable(variable: InputField, key: Any) -> bool:
    if key == "" and variable.required:
        return False
    check = compile_checks(variable)
    try:
        plain(key)
        found = coerce_string(key) if variable.base_type == "phone" else TYPES[variable.base_type].coerce(key)
        if check is not None:
            check(found)
    except (ValueFault, RenderFault):
        return False
    return True


def _said(variable: InputField, keys: Sequence[Any], one: Json, value: Any) -> Any:
    """A default or a sample as JSON that the field's own schema accepts, or ``None``."""
    if value is None or (variable.required and value in ("", [])):
        return None
    if not variable.is_array:
        return _said_one(variable, keys, one, value)
    told = [part.strip() for part in value.split(",")] if isinstance(value, str) and variable.base_type not in {"object", "file"} else value
    listed = [_said_one(variable, keys, one, item) for item in told] if isinstance(told, list) else [None]
    return None if None in listed or len(listed) > min(variable.max_items or ROWS_LIMIT, ROWS_LIMIT) else listed


def _said_one(variable: InputField, keys: Sequence[Any], one: Json, value: Any) -> Any:
    if keys:
        return next((key for key in keys if not isinstance(value, dict | list | None) and plain(key) == plain(value)), None)
    kind, check = TYPES[variable.base_type], compile_checks(variable)
    try:
        found = coerce_string(value).strip() if kind.name == "phone" else kind.coerce(value)
        if check is not None:
            check(found)
    except ValueFault:
        return None
    if isinstance(found, datetime):
        found = iso_text(found)
    elif isinstance(found, date):
        found = found.isoformat()
    elif isinstance(found, Decimal):
        found = value.strip() if isinstance(value, str) else float(found)
    elif kind.name == "file":
        found = {key: inner for key, inner in value.items() if inner is not None}
    return found if not isinstance(found, str) or _fits(found, one, ours=kind.name != "string") else None


def _fits(text: str, part: Json, *, ours: bool) -> bool:
    """Whether a text keeps to its schema. A manifest's own pattern was looked at by RE2 before: only ``ours`` are safe to run here."""
    long_enough = part.get("minLength", 0) <= len(text) <= part.get("maxLength", len(text))
    return long_enough and (not ours or re.search(part.get("pattern", ""), text) is not None)


def _told(choices: Sequence[Choice], *, closed: bool) -> str | None:
    """The keys with what they mean, for models that see no titles."""
    if not choices:
        return None
    shown = "; ".join(f"{key} = {label[:80]}" for key, label in choices[:LABELS_TOLD])
    if not closed:
        return f"Among the choices: {shown}; and others, by key or by their exact label"
    return f"One of: {shown}" + ("; and more" if len(choices) > LABELS_TOLD else "")


def _pattern_note(variable: InputField) -> str | None:
    if variable.pattern is None or _PORTABLE.fullmatch(variable.pattern):
        return None
    return f"Has to match this RE2 pattern: {variable.pattern}"


def _needs_e164(variable: InputField) -> bool:
    return variable.wire in {None, "e164"} and variable.region is None


def _most(given: int | None, *, wide: bool) -> int | None:
    return min(given or ROWS_LIMIT, ROWS_LIMIT) if wide or given is not None else None


def plain(key: Any) -> str:
    """A key as text."""
    return to_text(key).strip()


def _quoted(word: str, value: Any) -> str | None:
    text = msgspec.json.encode(value).decode()
    return None if value is None or len(text) > EXAMPLE_LIMIT else f"{word}: {text}"


def given(values: Json) -> Json:
    """Without the members that are ``None``."""
    return {key: value for key, value in values.items() if value is not None}


def words(*texts: str | None) -> str:
    """Sentences from texts, those that there are."""
    stripped = [text.strip() for text in texts if text]
    return " ".join(text if text.endswith((".", ":", "?", "!", "…")) else f"{text}." for text in stripped if text)
