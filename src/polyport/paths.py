"""The one path language: where a value stands inside JSON.

Text form: ``data.items[0].name``; a key with dots or brackets is quoted: ``fields["a.b"]``; ``[*]`` stands for every element of a list, or every member of an object, and
gives one flat list; ``[-1]`` counts from the end. The empty text is the root. In partner files a path may also be a list of keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

LIMIT: Final = 32
USUAL: Final = 64
_QUOTED: Final = re.compile(r'[.\[\]"\s|]')
_STEP: Final = re.compile(r"""\.?([^.\[\]"\s|]+)|\[(-?\d{1,6})\]|\[("(?:[^"\\]|\\.)*")\]|\[(\*)\]""")


class Missing:
    """The type of ``MISSING``: there is no value here, which is not the same as null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = Missing()


class Every:
    """The type of ``EVERY``: the step ``[*]``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[*]"


EVERY: Final = Every()

Step = str | int | Every
Path = tuple[Step, ...]


def parse_path(text: str) -> Path:
    """The steps of a path. Raises ``ValueError`` with a sentence when the text is no path or too deep."""
    steps: list[Step] = []
    position = 0
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None or (found[1] is not None and (position > 0) != text.startswith(".", position)):
            message = f'"{text}" is not a path: steps look like name, .name, [0], [*] or ["any name"]'
            raise ValueError(message)
        if found[1] is not None:
            steps.append(found[1])
        elif found[2] is not None:
            steps.append(int(found[2]))
        elif found[3] is not None:
            steps.append(_quoted(found[3]))
        else:
            steps.append(EVERY)
        position = found.end()
    if len(steps) > LIMIT:
        message = f"a path has at most {LIMIT} steps"
        raise ValueError(message)
    return tuple(steps)


def read_path(value: object) -> object:
    """A path as files say it: its text form, or a list of keys and indexes. Raises ``ValueError`` with a sentence."""
    if isinstance(value, str):
        return parse_path(value)
    if isinstance(value, list) and all(isinstance(step, str | int) and not isinstance(step, bool) for step in value):
        return tuple(value)
    if isinstance(value, tuple):
        return value
    message = 'a path is a text such as data.items[0].id, or a list of keys such as ["a.b", "c"]'
    raise ValueError(message)


def _quoted(literal: str) -> str:
    try:
        return str(json.loads(literal))
    except ValueError:
        message = f"{literal} is no text in JSON's writing"
        raise ValueError(message) from None


def format_path(steps: Sequence[Step]) -> str:
    """The text form of a path; ``parse_path`` reads it back."""
    parts: list[str] = []
    for step in steps:
        if isinstance(step, Every):
            parts.append("[*]")
        elif isinstance(step, int):
            parts.append(f"[{step}]")
        elif _is_plain(step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{json.dumps(step)}]")
    return "".join(parts)


def _is_plain(step: str) -> bool:
    return (
        _looks_plain(step) if len(step) <= USUAL else _looks_plain.__wrapped__(step)
    )  # what is long is not kept: callers choose these names


@lru_cache(maxsize=4096)
def _looks_plain(step: str) -> bool:
    return step != "" and step.isprintable() and _QUOTED.search(step) is None


def get(value: Any, path: Path) -> Any:
    """What stands at ``path`` in ``value``, or ``MISSING``."""
    for position, step in enumerate(path):
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
        elif isinstance(step, int):
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return MISSING
            value = value[step]
        else:
            return _every(value, path[position + 1 :])
    return value


def _every(value: Any, rest: Path) -> Any:
    """What stands at ``rest`` in every element of a list, or in every member of an object; one flat list, however many steps ``[*]`` follow."""
    if not isinstance(value, list | dict):
        return MISSING
    found = (get(element, rest) for element in (value.values() if isinstance(value, dict) else value))
    kept = [element for element in found if element is not MISSING]
    return [inner for listed in kept for inner in listed] if any(isinstance(step, Every) for step in rest) else kept


def getter(path: Path) -> Callable[[Any], Any]:
    """``get`` for one path, ready for many values."""
    if len(path) == 1 and isinstance(path[0], str):
        key = path[0]

        def one(value: Any) -> Any:
            return value.get(key, MISSING) if isinstance(value, dict) else MISSING

        return one
    return lambda value: get(value, path)


def put(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set ``value`` at a path of keys, making the objects on the way.

    Raises ``ValueError`` when something that is no object stands on the way.
    """
    for key in path[:-1]:
        inner = target.setdefault(key, {})
        if not isinstance(inner, dict):
            message = f'"{key}" is a value and cannot hold other values'
            raise ValueError(message)
        target = inner
    target[path[-1]] = value
