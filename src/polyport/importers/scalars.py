"""One value of a schema as a field: its type, how it is written, what bounds it, what it may be."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import re2

from polyport.engine.formats import compile_checks
from polyport.importers.documents import clean_text
from polyport.importers.names import title
from polyport.importers.views import SCALARS, View
from polyport.kinds.fields import ValueFault
from polyport.manifest.variables import InputField

TYPES: Final = {"string": "string", "integer": "integer", "number": "decimal", "boolean": "boolean", "any": "object", "object": "object"}
_FORMATS: Final = {"email": "email", "uri": "uri", "url": "uri", "uuid": "uuid", "hostname": "hostname", "regex": "regex"}
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
# Formats that the language has no word for: what texts in them look like.
_PATTERNS: Final = {
    "ipv4": rf"(?:{_OCTET}\.){{3}}{_OCTET}",
    "ipv6": r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})?(?:%[0-9A-Za-z]+)?",
    "uri-template": r"(?:[^\s\"'<>\\^`{}|]|\{[^{}\s]+\})*",
    "time": r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-6][0-9](?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?",
    "duration": r"P(?:[0-9]+(?:[.,][0-9]+)?[YMWD])*(?:T(?:[0-9]+(?:[.,][0-9]+)?[HMS])+)?",
    "google-duration": r"-?[0-9]+(?:\.[0-9]{1,9})?s",
    "json-pointer": r"(?:/(?:[^~/]|~[01])*)*",
    "int32": r"-?[0-9]+",
    "int64": r"-?[0-9]+",
    "uint32": r"[0-9]+",
    "uint64": r"[0-9]+",
}
_PATTERNS["ip"] = f"{_PATTERNS['ipv4']}|{_PATTERNS['ipv6']}"
_NUMBER_MOST: Final = 2**53
_PATTERN_LONGEST: Final = 10_000
_LEAST_STEP: Final = 1e-9  # what is beside a bound that is not allowed itself
_LITERAL: Final = re.compile(r"/(\^.*|.*\$)/([a-z]{0,6})", re.DOTALL)
_WHOLE: Final = re.compile(r"\^(?:[^|]*|\(\?:[^()]*\))(?<!\\)\$", re.DOTALL)
_FLAGS: Final = re.compile(r"\(\?([ims]{1,3})\)(.*)", re.DOTALL)
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
Field = dict[str, Any]


def is_file(view: View) -> bool:
    """Whether a value is the content of a file."""
    media = view.text("contentMediaType")
    return view.kind == "string" and (
        view.text("format") == "binary" or ("contentEncoding" not in view.told and media == "application/octet-stream")
    )


def input_field(view: View, name: str, label: str, *, required: bool, uploads: bool = False) -> Field:
    """A field for one value. ``uploads``: a text in the format ``binary`` is a file here."""
    found: Field = {"name": name, "type": type_of(view, uploads=uploads), "label": label}
    if required:
        found["required"] = True
    if hint := hint_of(view):
        found["hint"] = hint
    if view.kind == "object" and found["type"] == "object":
        found["holds"] = "object"
    found |= _form_of(view, found["type"])
    if found["type"] == "string" and view.choices is None:
        found |= _bounds_of_text(view)
    elif found["type"] in {"integer", "decimal"} and view.choices is None:
        found |= _bounds_of_number(view)
    if view.choices is not None and (options := options_of(view, found["type"])):
        found["options"] = options
    if not required and (told := _default_of(view, found)):
        found["hint"] = _joined(found.get("hint"), f"Default: {told}")
    if view.text("format") == "password" or (
        view.told.get("writeOnly") is True and re.search(r"password|secret|token", name, re.IGNORECASE)
    ):
        found["secret"] = True
    for sample in examples_of(view.told):
        if is_sample(sample, found):
            found["sample"] = sample
            break
    return found


def _default_of(view: View, found: Field) -> str:
    """What the service takes where nothing is given, as a person reads it."""
    default = view.told.get("default")
    if isinstance(default, bool):
        return str(default).lower() if found["type"] in {"boolean", "nullable_boolean"} else ""
    if isinstance(default, int | float) and found["type"] in {"integer", "decimal"} and math.isfinite(default):
        return str(default)
    if not isinstance(default, str) or found["type"] not in {"string", "date", "datetime"}:
        return ""
    label = next((str(one["label"]) for one in found.get("options", ()) if one["key"] == default), default)
    return clean_text(label, 60)


def examples_of(told: Mapping[str, Any]) -> Iterator[Any]:
    """The values that a schema gives as examples."""
    if "example" in told:
        yield told["example"]
    listed = told.get("examples")
    yield from listed[:5] if isinstance(listed, list) else ()


def is_sample(value: Any, field: Field) -> bool:
    """Whether a value can be shown as one that the field takes."""
    if field.get("secret") or not _is_of(value, field["type"]) or (isinstance(value, str) and not 0 < len(value) <= 200):
        return False
    return "options" not in field or any(option["key"] == value for option in field["options"])


def list_field(items: View, around: View, name: str, label: str, *, required: bool) -> Field:
    """A field for a list of values."""
    one = input_field(items, name, label, required=False)
    found: Field = {key: value for key, value in one.items() if key not in {"sample", "secret"}}
    found["type"] = f"{one['type']}[]"
    if required:
        found["required"] = True
    if hint := hint_of(around) or one.get("hint"):
        found["hint"] = hint
    least, most = around.whole("minItems"), around.whole("maxItems")
    if least:
        found["minItems"] = min(least, 100)
    if most:
        found["maxItems"] = most
    if around.told.get("uniqueItems") is True and one["type"] not in {"object", "file"}:
        found["uniqueItems"] = True
    return found


def type_of(view: View, *, uploads: bool = False) -> str:
    """The field type of a value."""
    if view.kind == "string" and uploads and is_file(view):
        return "file"
    if view.kind == "string" and view.choices is None:
        return {"date-time": "datetime", "google-datetime": "datetime", "date": "date"}.get(view.text("format"), "string")
    if view.kind == "boolean" and view.nullable:
        return "nullable_boolean"
    if view.kind == "number" and view.choices is not None and all(isinstance(one, int) for one in view.choices):
        return "integer"
    return TYPES.get(view.kind, "object")


def hint_of(view: View) -> str:
    """What a person should know of a value."""
    return clean_text(view.text("description"), 400)


def options_of(view: View, kind: str) -> list[dict[str, Any]]:
    """The choices of a value."""
    keep: Mapping[str, type | tuple[type, ...]] = {"string": str, "integer": int, "boolean": bool, "nullable_boolean": bool}
    wanted = keep.get(kind)
    if wanted is None:
        return []
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    told_labels = view.told.get("x-labels")
    labels: Mapping[str, Any] = told_labels if isinstance(told_labels, dict) else {}
    for told in view.choices or ():
        choice = told
        if kind == "string" and isinstance(told, int | float):  # YAML reads words such as true and 1.0 as something else than a text
            choice = str(told).lower() if isinstance(told, bool) else str(told)
        is_bool = isinstance(choice, bool)
        if not isinstance(choice, wanted) or is_bool is not (wanted is bool) or str(choice) in seen or choice == "":
            continue
        seen.add(str(choice))
        found.append({"key": choice, "label": _label(clean_text(labels.get(str(choice)), 100) or choice)})
    return found


def _label(choice: Any) -> str:
    if not isinstance(choice, str) or re.fullmatch(
        r"[A-Z0-9]{1,3}|POST|HEAD|PATCH|DELETE|OPTIONS", choice
    ):  # a code: of a country, a currency, a method
        return str(choice)
    return title(choice) if re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", choice) else choice


def _form_of(view: View, kind: str) -> Field:
    """How the value is written, where that is not the usual way."""
    if kind == "string" and view.text("format") in _FORMATS and view.choices is None:
        form = {"format": _FORMATS[view.text("format")]}
        return form if _keeps_to(view, form) else {}
    if kind == "string" and (view.whole("maxLength") or 0) > 500:
        return {"format": "multiline"}
    return {}


def _bounds_of_text(view: View) -> Field:
    found: Field = {}
    least, most = view.whole("minLength"), view.whole("maxLength")
    if least:
        found["minLength"] = least
    if most and (least or 0) <= most:
        found["maxLength"] = most
    if (pattern := usable_pattern(view.text("pattern"))) is not None:
        found["pattern"] = pattern
    elif (form := _PATTERNS.get(view.text("format"))) is not None and _keeps_to(view, {"pattern": form}):
        found["pattern"] = form
    elif view.told.get("x-digits") is True:
        found["pattern"] = "-?[0-9]+"
    return found


def _keeps_to(view: View, form: Field) -> bool:
    """Whether a format is meant: many documents say one that their own examples are not in."""
    check = compile_checks(InputField.model_validate({"name": "value", "type": "string", "label": "Value", **form}))
    for example in (*examples_of(view.told), view.told.get("default")):
        if isinstance(example, str) and example and check is not None:
            try:
                check(example)
            except ValueFault:
                return False
    return True


def _bounds_of_number(view: View) -> Field:
    found: Field = {}
    for bound, words in (("min", ("minimum", "exclusiveMinimum")), ("max", ("maximum", "exclusiveMaximum"))):
        value = view.told.get(words[0])
        strict = view.told.get(words[1])
        if isinstance(strict, int | float) and not isinstance(strict, bool):
            value, strict = strict, True
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _NUMBER_MOST:  # NaN is neither
            continue
        if strict is True and view.kind == "integer" and value == int(value):
            value = int(value) + (1 if bound == "min" else -1)
        elif strict is True:
            value += _LEAST_STEP if bound == "min" else -_LEAST_STEP
        found[bound] = int(value) if value == int(value) else value
    if "min" in found and "max" in found and found["min"] > found["max"]:
        found = {}
    return found | _step_of_number(view)


def _step_of_number(view: View) -> Field:
    """The steps of a number. Some documents say one that their own examples are not in."""
    step = view.told.get("multipleOf")
    if (
        isinstance(step, bool)
        or not isinstance(step, int | float)
        or not 0 < step <= _NUMBER_MOST
        or (step == 1 and view.kind == "integer")
    ):
        return {}
    told = [one for one in (*examples_of(view.told), view.told.get("default")) if type(one) in {int, float} and math.isfinite(one)]
    if any((Fraction(str(one)) / Fraction(str(step))).denominator != 1 for one in told):
        return {}
    return {"multipleOf": int(step) if step == int(step) else step}


def _flagged(written: re.Match[str]) -> str:
    return f"(?i:{written[1]})" if "i" in written[2] else written[1]


def usable_pattern(pattern: str) -> str | None:
    """A pattern that has to match the whole text and takes linear time; ``None`` for one that cannot be said so."""
    if not pattern or len(pattern) > _PATTERN_LONGEST:
        return None
    written = _LITERAL.fullmatch(pattern)
    if written is not None:  # as programs write patterns, not as JSON Schema does
        pattern = f"^(?i:{written[1][1:-1]})$" if "i" in written[2] and _WHOLE.fullmatch(written[1]) else _flagged(written)
    if (flagged := _FLAGS.fullmatch(pattern)) is not None:  # flags for all that follows
        pattern = f"(?{flagged[1]}:{flagged[2]})"
    whole = pattern if _WHOLE.fullmatch(pattern) else f"(?s:.*)(?:{pattern})(?s:.*)"
    try:
        re2.compile(whole, _OPTIONS)
        re.compile(whole)
    except (re2.error, re.error, RecursionError, OverflowError):
        return None
    return whole


def _is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind in {"boolean", "nullable_boolean"}
    return (isinstance(value, str) and kind == "string") or (isinstance(value, int) and kind == "integer")


def _joined(hint: Any, more: str) -> str:
    return f"{hint.rstrip('. ')}. {more}" if isinstance(hint, str) and hint else more


def is_scalar(view: View) -> bool:
    """Whether the value is a single one."""
    return view.kind in SCALARS
