"""Filters with regular expressions in RE2's syntax: no look-around and no back-references, so that the work grows no faster than the text.

A pattern has at most 1,000 characters. A dot does not stand for a line break, and ``^`` and ``$`` for the two ends of the text, unless the pattern begins with flags
such as ``(?s)``, ``(?m)``, ``(?i)``. A text in which a pattern is found so often, or a pattern so large, that the search would take long is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import re2

from polyport.kinds.filters.limits import ITEM_LIMIT, TEXT_LIMIT, argument_of, bytes_of, flag_of, text_of
from polyport.paths import MISSING
from polyport.template import Filter, RenderFault

MEMORY_LIMIT: Final = 1 << 20
WORK_LIMIT: Final = 200_000_000  # characters to look at, times instructions of the pattern: about a second in the worst case
LEAST_SIZE: Final = 4  # of a pattern; with it, the limit of work also keeps to at most 10,000 places
_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = MEMORY_LIMIT
_OPTIONS.log_errors = False
_PLACE: Final = re2.compile(r"\$(?:(\$)|([0-9]{1,2})|\{([A-Za-z_0-9]{1,100})\})")


def matches(value: Any, pattern: Any, ignore_case: Any = False) -> bool:
    """Whether a pattern is found in the text; ``^(?:...)$`` asks for the whole text.

    Arguments: the pattern, and whether capitals count as small letters. ``{{"AB-12" | matches: "^[A-Z]+-[0-9]+$"}}`` gives ``true``.
    """
    return next(_found(text_of(value), _compiled(pattern, ignore_case)), None) is not None


def extract(value: Any, pattern: Any, group: Any = 0, ignore_case: Any = False) -> Any:
    """The first place of the text where a pattern is found, or a group of it; nothing where there is none.

    Arguments: the pattern, the number or the name of the group (0 is all that was found), and whether capitals count as small letters.
    ``{{"Order AB-12" | extract: "([A-Z]+)-([0-9]+)", 2}}`` gives ``"12"``.
    """
    compiled = _compiled(pattern, ignore_case)
    wanted = _group(compiled, group)
    found = next(_found(text_of(value), compiled), None)
    return MISSING if found is None or found[wanted] is None else found[wanted]


def extract_all(value: Any, pattern: Any, ignore_case: Any = False) -> list[dict[str, Any]]:
    """Every place of the text where a pattern is found: its text, where it begins (start), its groups, and those with a name (named).

    Arguments as in ``matches``. At most 10,000; a group that took no part is an empty text among the groups.
    ``{{"a1 b2" | extract_all: "[a-z]([0-9])" | at: "[*].text"}}`` gives ``["a1", "b2"]``.
    """
    compiled = _compiled(pattern, ignore_case)
    places: list[dict[str, Any]] = []
    size = 0
    for found in _found(text_of(value), compiled):
        # Groups may stand inside groups, so together they can be many times as long as the text.
        size = _bounded_size(size + 2 * sum(found.end(group) - found.start(group) for group in range(compiled.groups + 1)))
        named = {name: text for name, text in found.groupdict().items() if text is not None}
        places.append({"text": found[0], "start": found.start(), "groups": list(found.groups("")), "named": named})
    return places


def replace_pattern(value: Any, pattern: Any, replacement: Any = "", ignore_case: Any = False) -> str:
    """The text with every place where a pattern is found replaced.

    Arguments: the pattern, what takes its place (``$1`` and ``${name}`` are groups, ``$$`` a dollar sign), and whether capitals count as small letters.
    ``{{"Lovelace, Ada" | replace_pattern: "([a-z]+), ([a-z]+)", "$2 $1", true}}`` gives ``"Ada Lovelace"``.
    """
    given, compiled = text_of(value), _compiled(pattern, ignore_case)
    written = _replacement(text_of(replacement), compiled)
    parts: list[str] = []
    end = size = 0
    for found in _found(given, compiled):
        parts.append(given[end : found.start()])
        size += len(parts[-1])
        for part in written:
            parts.append(part if isinstance(part, str) else found[part] or "")
            size = _bounded_size(size + len(parts[-1]))
        end = found.end()
    _bounded_size(size + len(given) - end)
    return "".join((*parts, given[end:]))


def split_pattern(value: Any, pattern: Any, ignore_case: Any = False) -> list[str]:
    """The parts of a text between the places where a pattern is found, trimmed, without empty ones.

    Arguments as in ``matches``. ``{{"a, b;c" | split_pattern: "[,;]"}}`` gives ``["a", "b", "c"]``.
    """
    given = text_of(value)
    parts: list[str] = []
    end = 0
    for found in _found(given, _compiled(pattern, ignore_case)):
        parts.append(given[end : found.start()].strip())
        end = found.end()
    return [part for part in (*parts, given[end:].strip()) if part]


def _compiled(pattern: Any, ignore_case: Any) -> Any:
    text = argument_of(pattern)
    bytes_of(text)
    try:
        return re2.compile(f"(?i){text}" if flag_of(ignore_case) else text, _OPTIONS)
    except re2.error:
        raise RenderFault(
            "the pattern is no regular expression in RE2's syntax (no look-around, no back-references), or it is too large"
        ) from None


def _found(text: str, compiled: Any) -> Iterator[Any]:
    """The places where a pattern is found. What is left of the text counts as looked at for each, as in the worst case it is."""
    bytes_of(text)
    work = len(text)
    _bounded_work(work, compiled)
    for found in compiled.finditer(text):
        work += len(text) - found.end()
        _bounded_work(work, compiled)
        yield found


def _bounded_work(work: int, compiled: Any) -> None:
    if work * max(compiled.programsize, LEAST_SIZE) > WORK_LIMIT:
        raise RenderFault("this pattern and this text together take too long; a shorter text or a simpler pattern is needed")


def _group(compiled: Any, group: Any) -> int:
    """The number of a group that is given by number or by name."""
    if isinstance(group, str) and not group.isdecimal():
        number = compiled.groupindex.get(group, -1)
    else:
        text = argument_of(group)
        number = int(text) if text.isdecimal() and len(text) <= len(str(ITEM_LIMIT)) else -1
    if not 0 <= number <= compiled.groups:
        raise RenderFault("the pattern has no such group")
    return int(number)


def _replacement(text: str, compiled: Any) -> list[str | int]:
    """What a replacement is made of: literal texts, and numbers of groups."""
    parts: list[str | int] = []
    end = 0
    for place in _PLACE.finditer(text):
        parts.append(text[end : place.start()])
        parts.append("$" if place[1] else _group(compiled, place[2] or place[3]))
        end = place.end()
    return [part for part in (*parts, text[end:]) if part != ""]


def _bounded_size(size: int) -> int:
    if size > TEXT_LIMIT:
        raise RenderFault(f"a text has at most {TEXT_LIMIT} characters here")
    return size


EXPRESSIONS: Final[dict[str, Filter]] = {
    "matches": matches,
    "extract": extract,
    "extract_all": extract_all,
    "replace_pattern": replace_pattern,
    "split_pattern": split_pattern,
}
