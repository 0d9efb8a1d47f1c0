"""The field schema of an operation as a schema that tool-calling dialects accept. Pure.

``json-schema`` (draft 2020-12) says all that can be said: unions, titles of choices, defaults, examples. The tool dialects take less; what they have no
keyword for stands in descriptions. Whatever fits a schema is accepted by the validator, up to what no schema can say: whether a day or a telephone
number exists, bounds of a decimal sent as text, how deep free JSON nests, what a list holds by the time of the run. Where a dialect has no keyword for a
length, a format or a value that may not be empty, its descriptions say what they can and the validator says the rest.

Null: it clears a field here. In OpenAI's strict mode a model has to give every property and gives null for what it leaves out, so whoever runs such a
call drops every null first, also inside rows; that tool's description tells the model that null means "not set". Everywhere else null clears.

Names: properties have their public names, as ``runnerData`` wants them. A name that a dialect refuses is a ``ValueError``, never another name: nobody
would translate it back. Gemini has no free-form value: an optional one is left out and named in the description, a required one is a ``ValueError``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from polyport.engine.formats import compile_checks
from polyport.engine.schema import OPTIONS_SHOWN, CustomField, Place, Schema
from polyport.engine.validate import ROWS_LIMIT
from polyport.kinds.fields import TYPES, ValueFault, coerce_string, iso_text
from polyport.manifest.variables import CustomFields, InputField, InputSection
from polyport.template import RenderFault, to_text

Json = dict[str, Any]
Choice = tuple[Any, str]

DIALECTS: Final = ("json-schema", "openai", "anthropic", "gemini")
NAME_LIMIT: Final = 64
DESCRIPTION_LIMIT: Final = 1_024  # of an OpenAI function
LABELS_TOLD: Final = 50
EXAMPLE_LIMIT: Final = 200

# What OpenAI's strict mode takes; a level is an object or an array, which is the careful way to count.
STRICT_PROPERTIES: Final = 5_000
STRICT_LEVELS: Final = 10
STRICT_ENUM_VALUES: Final = 1_000
STRICT_CHARACTERS: Final = 120_000
STRICT_LARGE_ENUM: Final = (250, 15_000)

_SHARED_KEYWORDS: Final = frozenset({"type", "description", "pattern", "minimum", "maximum", "minItems", "maxItems"})
_STRICT_KEYWORDS: Final = _SHARED_KEYWORDS | {"enum", "anyOf", "items", "properties", "additionalProperties", "format"}
_GEMINI_KEYWORDS: Final = _SHARED_KEYWORDS | {"required", "minLength", "maxLength"}
_OPENAI_FORMATS: Final = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_PROPERTY_NAMES: Final = {"anthropic": re.compile(r"[A-Za-z0-9_.-]{1,64}"), "gemini": re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")}

_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")
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


def tool_schema(schema: Schema, dialect: str, slug: str = "") -> Json:
    """The schema in a dialect: of the bare ``runnerData`` for ``json-schema``, a whole tool definition for the others; ``slug`` is the partner's.

    Raises ``ValueError`` with a sentence for a dialect that there is not, and for an operation that the dialect cannot say.
    """
    operation = schema.operation
    if dialect == "json-schema":
        head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": operation.title}
        return head | _given({"description": operation.description or None}) | _object(schema, wide=True)
    if dialect not in DIALECTS:
        raise ValueError(f"the dialects are {', '.join(DIALECTS)}")
    parameters = _object(schema, wide=False)
    _check_names(parameters, dialect)
    name, about = tool_name(slug, operation.name), _words(operation.title, operation.description)
    rule = "Leave out what you do not set: null clears a field." if parameters["properties"] else None
    if dialect == "anthropic":
        return {"name": name, "description": _words(about, rule), "input_schema": parameters}
    if dialect == "gemini":
        return _gemini_tool(name, _words(about, rule), parameters)
    strict = _fits_strict(parameters)
    if strict and parameters["properties"]:
        rule = "Give null for what you do not set."
    shown = about if len(_words(about, rule)) <= DESCRIPTION_LIMIT else about[: DESCRIPTION_LIMIT - len(rule or "") - 3].rstrip() + "…"
    function = {"name": name, "description": _words(shown, rule), "strict": strict, "parameters": _openai(parameters, strict=strict)}
    return {"type": "function", "function": function}


def tool_name(slug: str, name: str) -> str:
    """``<slug>_<operation name>``, made of letters, digits, ``_`` and ``-``, at most 64; what had to be changed ends in a hash that keeps it apart."""
    whole = f"{slug}_{name}" if slug else name
    fitting = _NOT_NAME.sub("_", whole)
    if fitting == whole and len(whole) <= NAME_LIMIT:
        return whole
    return f"{fitting[: NAME_LIMIT - 9]}_{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


# From fields to JSON Schema: ``wide`` is the dialect ``json-schema``, the other form is what all tool dialects are made from.


def _object(schema: Schema, *, wide: bool) -> Json:
    operation = schema.operation
    fields = [(schema.public(variable.name), variable) for variable in operation.fields]
    fields += _custom(operation.custom_fields, schema.custom)
    return _level(schema, fields, operation.sections, (), wide=wide)


def _custom(spec: CustomFields | None, entries: Sequence[CustomField]) -> list[tuple[str, InputField]]:
    return [(entry.field.name, entry.field) for entry in entries if spec is not None and spec.writable and entry.writable]


def _level(schema: Schema, fields: Sequence[tuple[str, InputField]], sections: Sequence[InputSection], place: Place, *, wide: bool) -> Json:
    properties = {public: _property(schema, variable, wide=wide) for public, variable in fields}
    required = [public for public, variable in fields if variable.required and variable.default is None]
    for section in sections:
        least = max(section.min_rows, 1 if section.required else 0)
        inner = (*place, section.name)
        variables = [(schema.public(variable.name, inner), variable) for variable in section.fields]
        variables += _custom(section.custom_fields, schema.row_custom.get(inner, ()))
        rows: Json = {"type": "array", "items": _level(schema, variables, section.sections, inner, wide=wide)}
        rows |= _given({"minItems": least or None, "maxItems": _most(section.max_rows, wide=wide)})
        if least:
            required.append(section.name)
        else:
            rows = _nullable(rows)
        properties[section.name] = _headed(rows, section.label, section.hint, wide=wide)
    return {"type": "object", "properties": properties} | ({"required": required} if required else {}) | {"additionalProperties": False}


def _property(schema: Schema, variable: InputField, *, wide: bool) -> Json:
    choices, closed = _choices(schema, variable)
    keys = [key for key, _label in choices] if closed else []
    part = one = _of_keys(choices, wide=wide) if keys else _of_type(variable, wide=wide)
    if variable.is_array:
        part = {"type": "array", "items": one} | _given(
            {"minItems": 1 if variable.required else None, "maxItems": _most(variable.max_items, wide=wide)}
        )
    elif variable.required and not one and wide:
        part = {"not": {"enum": [None, "", []]}}
    if not variable.required:
        part = _nullable(part)
    default, sample = (
        (None, None) if variable.secret else (_said(variable, keys, one, value) for value in (variable.default, variable.sample))
    )
    if variable.list is not None and not keys:
        sample = None  # a key of another account: a model would take it for one of this
    notes = [variable.hint, None if keys else _NOTES.get(variable.base_type), _told(choices, closed=closed), _pattern_note(variable)]
    if variable.scale is not None:
        notes.append(f"At most {variable.scale} decimal places")
    if variable.depends_on:
        notes.append("Depends on " + ", ".join(schema.names.get(((), name), name) for name in variable.depends_on))
    if wide:
        part |= _given({"default": default, "examples": None if sample is None else [sample], "writeOnly": variable.secret or None})
    else:
        notes += [_quoted("Default", default), _quoted("Example", sample)]
    return _headed(part, variable.label, *notes, wide=wide)


def _headed(part: Json, label: str, *notes: str | None, wide: bool) -> Json:
    if wide:
        return {"title": label} | _given({"description": _words(*notes) or None}) | part
    return {"description": _words(label, *notes)} | part


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
    return part | _given({"minimum": variable.min, "maximum": variable.max})


def _text(variable: InputField, *, wide: bool) -> Json:
    filled = variable.required and (not variable.is_array or variable.separator is not None)
    most = variable.max_length if variable.format != "email" else min(variable.max_length or 254, 254)
    return {"type": "string"} | _given(
        {
            "minLength": max(variable.min_length or 0, int(filled)) or None,
            "maxLength": most,
            "pattern": f"^(?:{variable.pattern})$" if variable.pattern is not None and _PORTABLE.fullmatch(variable.pattern) else None,
            "format": variable.format if variable.format in {"email", "uri", "uuid", "hostname"} else None,
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


def _nullable(part: Json) -> Json:
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
            usable.setdefault(_plain(key), (key, label))
    kinds = {type(key) for key, _label in usable.values()}
    if len(kinds) == 1 and kinds <= {str, int, bool}:
        return list(usable.values()), closed
    return [(text, label) for text, (_key, label) in usable.items()], closed


def _usable(variable: InputField, key: Any) -> bool:
    if key == "" and variable.required:
        return False
    check = compile_checks(variable)
    try:
        _plain(key)
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
    given = (
        [part.strip() for part in value.split(",")] if isinstance(value, str) and variable.base_type not in {"object", "file"} else value
    )
    listed = [_said_one(variable, keys, one, item) for item in given] if isinstance(given, list) else [None]
    return None if None in listed or len(listed) > min(variable.max_items or ROWS_LIMIT, ROWS_LIMIT) else listed


def _said_one(variable: InputField, keys: Sequence[Any], one: Json, value: Any) -> Any:
    if keys:
        return next((key for key in keys if not isinstance(value, dict | list | None) and _plain(key) == _plain(value)), None)
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


def _plain(key: Any) -> str:
    return to_text(key).strip()


def _quoted(word: str, value: Any) -> str | None:
    text = msgspec.json.encode(value).decode()
    return None if value is None or len(text) > EXAMPLE_LIMIT else f"{word}: {text}"


def _given(values: Json) -> Json:
    return {key: value for key, value in values.items() if value is not None}


def _words(*texts: str | None) -> str:
    stripped = [text.strip() for text in texts if text]
    return " ".join(text if text.endswith((".", ":", "?", "!", "…")) else f"{text}." for text in stripped if text)


# From JSON Schema to the dialects.


def _inner(part: Json) -> Iterator[Json]:
    yield from part.get("properties", {}).values()
    yield from part.get("anyOf", ())
    if "items" in part:
        yield part["items"]


def _walk(part: Json) -> Iterator[Json]:
    yield part
    for inner in _inner(part):
        yield from _walk(inner)


def _check_names(parameters: Json, dialect: str) -> None:
    allowed = _PROPERTY_NAMES.get(dialect)
    for part in _walk(parameters):
        for name in part.get("properties", ()):
            if allowed is not None and not allowed.fullmatch(name):
                raise ValueError(f'the field "{name[:100]}" cannot be named in the dialect {dialect}, which takes {allowed.pattern}')


def _fits_strict(parameters: Json) -> bool:
    """Whether OpenAI's strict mode can say it: no free-form value, and within its limits."""
    properties = values = characters = 0
    for part in _walk(parameters):
        if "type" not in part and "anyOf" not in part:
            return False
        names, enum = part.get("properties", {}), part.get("enum", ())
        texts = sum(len(key) for key in enum if isinstance(key, str))
        properties, values, characters = properties + len(names), values + len(enum), characters + texts + sum(map(len, names))
        if len(enum) > STRICT_LARGE_ENUM[0] and texts > STRICT_LARGE_ENUM[1]:
            return False
    sizes_fit = properties <= STRICT_PROPERTIES and values <= STRICT_ENUM_VALUES and characters <= STRICT_CHARACTERS
    return sizes_fit and _levels(parameters) <= STRICT_LEVELS


def _levels(part: Json) -> int:
    return int("properties" in part or "items" in part) + max(map(_levels, _inner(part)), default=0)


def _openai(part: Json, *, strict: bool) -> Json:
    """Without the formats for which OpenAI refuses a whole request. For strict mode: everything required, what may be left out nullable."""
    changed = {key: value for key, value in part.items() if not strict or key in _STRICT_KEYWORDS}
    notes = []
    if "format" in part and part["format"] not in _OPENAI_FORMATS:
        notes.append(f"Format: {changed.pop('format')}")
    if strict:
        bounds = (("At least", part.get("minLength", 0)), ("At most", part.get("maxLength", 0)))
        notes += [f"{word} {length} characters" for word, length in bounds if length > 1]
    if notes:
        changed["description"] = _words(part.get("description"), *notes)
    if "items" in part:
        changed["items"] = _openai(part["items"], strict=strict)
    if "anyOf" in part:
        changed["anyOf"] = [_openai(shape, strict=strict) for shape in part["anyOf"]]
    if "properties" in part:
        inner = {name: _openai(value, strict=strict) for name, value in part["properties"].items()}
        if strict:
            needed = part.get("required", ())
            inner = {name: value if name in needed or _takes_null(value) else _nullable(value) for name, value in inner.items()}
            changed["required"] = list(inner)
        changed["properties"] = inner
    return changed


def _takes_null(part: Json) -> bool:
    return "null" in part.get("type", ()) or {"type": "null"} in part.get("anyOf", ())


def _gemini_tool(name: str, description: str, parameters: Json) -> Json:
    left_out: list[str] = []
    said = _gemini(parameters, "", left_out)
    if left_out:
        description = _words(description, "Not offered here: " + ", ".join(left_out))
    return {"name": name, "description": description} | ({} if said is None else {"parameters": said})


def _gemini(part: Json, at: str, left_out: list[str]) -> Json | None:
    """In the OpenAPI subset of Gemini, or ``None`` for what it cannot say: free-form values, and objects and lists with nothing else in them."""
    if "anyOf" in part:
        part = _one_object(part)
    words = part.get("type", ())
    changed = {key: value for key, value in part.items() if key in _GEMINI_KEYWORDS}
    if isinstance(words, list):
        changed |= {"type": next(word for word in words if word != "null"), "nullable": True}
    if "enum" in part:
        changed |= {"type": "string", "format": "enum", "enum": [_plain(key) for key in part["enum"] if key is not None]}
    elif part.get("format") == "date-time":
        changed["format"] = "date-time"
    elif "format" in part:
        changed["description"] = _words(part.get("description"), f"Format: {part['format']}")
    if "items" in part:
        items = _gemini(part["items"], at, left_out)
        return None if items is None else changed | {"items": items}
    if "properties" not in part:
        return changed if "type" in changed else None
    properties = {}
    for name, inner in part["properties"].items():
        found = _gemini(inner, f"{at}{name}.", left_out)
        if found is not None:
            properties[name] = found
        elif name in part.get("required", ()):
            raise ValueError(f'the field "{at}{name}" is required and takes any JSON, for which the dialect gemini has no word')
        else:
            left_out.append(f"{at}{name}")
    return changed | {"properties": properties} if properties else None


def _one_object(part: Json) -> Json:
    """The shapes of a file as one object, for there are no unions: its description says that exactly one source is given."""
    shapes = [shape for shape in part["anyOf"] if "properties" in shape]
    properties = {name: value for shape in shapes for name, value in shape["properties"].items()}
    kind = ["object", "null"] if len(shapes) < len(part["anyOf"]) else "object"
    return {"type": kind, "description": part["description"], "properties": properties}
