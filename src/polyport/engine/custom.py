"""Values of custom fields on their way to the partner: gathered under the partner's keys into the shape that it wants. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.engine.schema import CustomField
from polyport.manifest.variables import CustomFields

_WHOLE: Final = re.compile(r"[1-9]\d{0,18}", re.ASCII)


def gather(spec: CustomFields, given: Mapping[str, Any], entries: Sequence[CustomField]) -> Any:
    """The values, by the partner's keys, in the shape of ``{{custom}}``."""
    if spec.shape == "object":
        return given
    if spec.shape == "pairs":
        return [_pair(spec, key, value) for key, value in given.items()]
    return in_order(given, entries)


def _pair(spec: CustomFields, key: str, value: Any) -> dict[str, Any]:
    if not spec.pair_value and isinstance(value, dict):
        return {**value, spec.pair_key: _pair_key(spec, key)}
    return {spec.pair_key: _pair_key(spec, key), spec.pair_value or "value": value}


def _pair_key(spec: CustomFields, key: str) -> str | int:
    return int(key) if spec.numeric_keys and _WHOLE.fullmatch(key) else key


def in_order(given: Mapping[str, Any], entries: Sequence[CustomField]) -> list[Any]:
    """The values in the order of the definitions, null where there is none; it ends with the last one that was given."""
    placed = {entry.position: given[entry.key] for entry in entries if entry.key in given}
    return [placed.get(position) for position in range(max(placed, default=-1) + 1)]
