"""What is different between two JSON values, told place by place: what a person has to look at, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Final

import msgspec

MOST: Final = 20
WIDTH: Final = 200
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def differences(wanted: Any, got: Any, place: str) -> list[str]:
    """Each place at which two values differ, beginning with ``place``, with both values; of very many the first twenty."""
    found = list(islice(_walk(wanted, got, place), MOST + 1))
    return [*found[:MOST], f"{place}: and more differences than these {MOST}"] if len(found) > MOST else found


def text_differences(wanted: str, got: str, place: str) -> list[str]:
    """Two texts as a diff of their lines: ``-`` was expected, ``+`` was got."""
    diff = list(difflib.unified_diff(wanted.splitlines(), got.splitlines(), lineterm="", n=1))[2:]
    lines = [line for line in diff if not line.startswith("@@")]
    shown = [_cut(line) for line in lines[: MOST * 2]] + (["..."] if len(lines) > MOST * 2 else [])
    return [f"{place} differs (- expected, + got):\n" + "\n".join(f"    {line}" for line in shown)] if lines else []


def same_json(wanted: Any, got: Any) -> bool:
    """Whether two JSON values are the same; numbers by value, booleans are no numbers."""
    return next(_walk(wanted, got, ""), None) is None


def shown(value: Any) -> str:
    """A value as JSON on one line, cut when it is long."""
    try:
        return _cut(_ENCODER.encode(value).decode())
    except (TypeError, ValueError):
        return _cut(repr(value))


def _walk(wanted: Any, got: Any, place: str) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        yield from _objects(wanted, got, place)
    elif _is_list(wanted) and _is_list(got):
        yield from _lists(wanted, got, place)
    elif not _same(wanted, got):
        yield f"{place}: expected {shown(wanted)}, got {shown(got)}"


def _objects(wanted: Mapping[str, Any], got: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, value in wanted.items():
        inner = f"{place}.{key}" if key.isidentifier() else f"{place}[{shown(key)}]"
        if key in got:
            yield from _walk(value, got[key], inner)
        else:
            close = difflib.get_close_matches(key, [name for name in got if name not in wanted], n=1)
            yield f"{inner}: expected {shown(value)}, but it is missing" + (f' (there is "{close[0]}")' if close else "")
    for key in got:
        if key not in wanted:
            yield f"{place}.{key}: not expected, got {shown(got[key])}"


def _lists(wanted: Sequence[Any], got: Sequence[Any], place: str) -> Iterator[str]:
    for index, (one, two) in enumerate(zip(wanted, got, strict=False)):
        yield from _walk(one, two, f"{place}[{index}]")
    if len(wanted) != len(got):
        yield f"{place}: expected {_counted(wanted)}, got {_counted(got)}"


def _counted(rows: Sequence[Any]) -> str:
    return "1 element" if len(rows) == 1 else f"{len(rows)} elements"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _same(wanted: Any, got: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if isinstance(wanted, int | float | Decimal) and isinstance(got, int | float | Decimal):
        return Decimal(str(wanted)) == Decimal(str(got))
    return bool(wanted == got)


def _cut(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}... ({len(text)} characters)"
