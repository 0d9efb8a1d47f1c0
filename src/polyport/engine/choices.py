"""From what a caller sends for a field with choices to the key: by key, by a label that is unique. Compiled once; pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import re2

from polyport.engine.schema import Choices
from polyport.kinds.fields import ValueFault
from polyport.template import RenderFault, to_text


class Unresolved(Exception):
    """A value may be a label of a list that has not been read."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.name = name
        self.text = text


def lookup(choices: Choices, coerce: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function from a key or a unique label to the key, coerced. It raises ``ValueFault``."""
    keys, labels = _indexes(choices)
    known: dict[str, Any] = {}  # what keys are coerced to: of a fixed list, once each

    def find(value: Any) -> Any:
        text = value.strip() if value.__class__ is str else _choice_text(value)
        if text in known:
            return known[text]
        if text in keys:
            found = known[text] = coerce(keys[text])
            return found
        same = labels.get(text.casefold(), [])
        if len(same) == 1:
            return coerce(same[0])
        if same:
            raise ValueFault("ambiguous_option", "Several choices have this label: send the key instead.")
        listed = ", ".join(f'"{key}" ({label})' for key, label in choices.items[:10])
        more = f" and {len(choices.items) - 10} more" if len(choices.items) > 10 else ""
        raise ValueFault("unknown_option", f"This is none of the choices: {listed}{more}.")

    return find


def list_lookup(
    name: str, choices: Choices | None, coerce: Callable[[Any], Any], key_pattern: str | None, base_type: str
) -> Callable[[Any], Any]:
    """As ``lookup``, for the dynamic list ``name``. It raises ``Unresolved`` where only the list could tell and was not read."""
    pattern = re2.compile(key_pattern) if key_pattern is not None else None
    keys, labels = _indexes(choices) if choices is not None else ({}, {})

    def find(value: Any) -> Any:
        if isinstance(value, dict | list | bool):
            return coerce(value)
        text = _choice_text(value)
        if pattern is not None and pattern.fullmatch(text):
            return coerce(value)
        if text in keys:
            return coerce(keys[text])
        if pattern is None and base_type != "string":
            try:
                return coerce(value)
            except ValueFault:
                if choices is None:
                    raise Unresolved(name, text) from None
        if choices is None:
            raise Unresolved(name, text)
        same = labels.get(text.casefold(), [])
        if len(same) == 1:
            return coerce(same[0])
        if same:
            raise ValueFault("ambiguous_option", "Several choices have this label: send the key instead.")
        if choices.complete:
            raise ValueFault("unknown_option", "The connection has no such choice; ask POST .../options for the list.")
        return coerce(value)

    return find


def _indexes(choices: Choices) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    keys: dict[str, Any] = {}
    labels: dict[str, list[Any]] = {}
    for key, label in choices.items:
        keys.setdefault(_choice_text(key), key)
        same = labels.setdefault(label.strip().casefold(), [])
        if key not in same:
            same.append(key)
    return keys, labels


def _choice_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    try:
        return to_text(value).strip()
    except RenderFault:
        raise ValueFault("wrong_type", "One of the choices is needed here, as a text or a number.") from None
