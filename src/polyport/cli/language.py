"""The connector language as it is read: every model that a partner's folder is made of, found from ``Partner`` and ``Case``, with its keys.

Nothing is listed by hand: a key that a model gets is a key that the reference page gets.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from pydantic import Base64Bytes, BaseModel
from pydantic.fields import FieldInfo

from polyport.manifest.cases import Case, CaseConnection
from polyport.manifest.model import Partner
from polyport.manifest.source import read_source

_FILES: Final = {
    "file": "partner.yaml",
    "actions": "actions/NAME.yaml",
    "triggers": "triggers/NAME.yaml",
    "lists": "lists/NAME.yaml",
}
_CASES: Final = (("cases/OPERATION/NAME.yaml", Case), ("cases/connection.yaml", CaseConnection))
_NAMED: Final = {
    "At": "path",
    "Place": "keys",
    "Pattern": "pattern",
    "TypeName": "[field type](field-types.md)",
    "Name": "name",
    "Slug": "slug",
    "Text": "text",
    "Source": "template",
    "Writing": "template",
    "Reading": "template",
    "AnySource": "template",
    "SecureUrl": "template of an address",
    "Whole": "one placeholder that gives an object",
}
_PLAIN: Final[dict[Any, str]] = {
    str: "text",
    Base64Bytes: "base64",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "date (`YYYY-MM-DD`)",
    Any: "anything",
    type(None): "null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOfPart:
    """One key: how it is written in the file, what it takes and its default, both in Markdown."""

    name: str
    type: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One model: its name, its docstring in Markdown, its keys, and how it is written: right, and wrong with what lint says to that."""

    name: str
    text: str
    keys: tuple[KeyOfPart, ...]
    good: tuple[str, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()


def language_models() -> list[type[BaseModel]]:
    """Every model that a partner's folder is made of, those that are whole files first."""
    hints = get_type_hints(Partner, include_extras=True)
    met: list[type[BaseModel]] = [*(next(_models(hints[name])) for name in _FILES), *(model for _file, model in _CASES)]
    for model in met:
        for hint in get_type_hints(model, include_extras=True).values():
            met.extend(found for found in _models(hint) if found not in met)
    return met


def language_parts() -> tuple[list[tuple[Part, str]], list[Part]]:
    """The models that are whole files, each with its place in the folder, and those that stand inside them, in the order they are met."""
    models, places = language_models(), [*_FILES.values(), *(file for file, _model in _CASES)]
    whole = [(_part(model), file) for model, file in zip(models, places, strict=False)]
    inside = models[len(places) :]
    told = {base for model in inside for base in model.__mro__ if f"(#{base.__name__.lower()})" in (inspect.getdoc(model) or "")}
    shared = sorted(told - set(models), key=lambda base: base.__name__)  # what several models have in common, explained once
    return whole, [_part(model) for model in (*inside, *shared)]


def _models(hint: Any) -> Iterator[type[BaseModel]]:
    """The models in a type."""
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        yield hint
    for argument in () if get_origin(hint) is Literal else get_args(hint):
        yield from _models(argument)


def examples_of(name: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """How a part is written, and how not, with what lint says then; from the file that stands beside the models, ``manifest/examples/NAME.yaml``."""
    file = files("polyport.manifest").joinpath("examples", f"{name}.yaml")
    if not file.is_file():
        return (), ()
    told = read_source(f"{name}.yaml", file.read_bytes()).data
    return tuple(told["good"]), tuple((wrong["write"], wrong["because"]) for wrong in told["bad"])


def _part(model: type[BaseModel]) -> Part:
    hints = get_type_hints(model, include_extras=True)
    names: dict[str, Any] = {}
    for base in reversed(model.__mro__):  # an inherited key is named as its own module names it
        names |= vars(sys.modules[base.__module__])
    named = [(names[name], shown) for name, shown in _NAMED.items() if name in names]
    keys = [
        KeyOfPart(name=field.alias or name, type=_shown(hints[name], named) + _bounds(field), default=_default(field))
        for name, field in model.model_fields.items()
    ]
    text = (inspect.getdoc(model) or "").replace("``", "`")
    for name, field in model.model_fields.items():
        text = text.replace(f"`{name}`", f"`{field.alias or name}`")
    good, bad = examples_of(model.__name__)
    return Part(name=model.__name__, text=text, keys=tuple(keys), good=good, bad=bad)


def _shown(hint: Any, named: list[tuple[Any, str]]) -> str:
    """A type in Markdown."""
    found = next((shown for alias, shown in named if alias == hint), None)
    if found is not None:
        return found
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        whole: dict[type[BaseModel], str] = {model: file for file, model in _CASES}
        anchor = re.sub(r"[^a-z0-9_-]", "", whole.get(hint, hint.__name__).lower())
        return f"[{hint.__name__}](#{anchor})"
    if origin is Annotated:
        return _shown(arguments[0], named)
    if origin is Literal:
        return ", ".join(f"`{msgspec.json.encode(value).decode().strip(chr(34))}`" for value in arguments)
    if origin in {Union, types.UnionType}:
        kinds = list(dict.fromkeys(_shown(argument, named) for argument in arguments if argument is not type(None)))
        return " or ".join(kinds)
    if origin in {tuple, list}:
        return f"list of {_shown(arguments[0], named)}"
    if origin is dict:
        return f"object of {_shown(arguments[1], named)}"
    raise TypeError(f"the reference page has no word for {hint}")


def _bounds(field: FieldInfo) -> str:
    """The limits of a key, such as ", at least 1, at most 20"; that a text may not be empty goes without saying."""
    counted = "elements" if get_origin(field.annotation) is tuple else "characters"
    words = {"gt": "more than {}", "ge": "at least {}", "le": "at most {}", "lt": "less than {}", "max_length": f"at most {{}} {counted}"}
    if counted == "elements":
        words["min_length"] = "at least {} elements"
    told = [
        word.format(getattr(rule, name)) for name, word in words.items() for rule in field.metadata if getattr(rule, name, None) is not None
    ]
    return f", {', '.join(told)}" if told else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if isinstance(value, BaseModel) or value in ((), {}, ""):
        return "empty"
    return f"`{msgspec.json.encode(value).decode().strip(chr(34))}`"
