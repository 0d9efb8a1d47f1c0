"""Whether a text is a regular expression as ECMAScript writes them. It is read once, from left to right, and never run."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""\\[\s\S]                                                   # an escape
    |\[                                                            # a class begins
    |\((?:\?(?:[:=!]|<[=!]|<[^\W\d][\w$]*>|[ims]{0,3}(?:-[ims]{1,3})?:))?  # a group, and what kind it is
    |\{([0-9]{1,15})(?:(,)([0-9]{0,15}))?\}                            # so many times
    |[\s\S]""",
    re.VERBOSE,
)
_IN_CLASS: Final = re.compile(r"\\[\s\S]|[\s\S]")
_NAME: Final = re.compile(r"\(\?<([^\W\d][\w$]*)>")
_SETS: Final = frozenset("dDsSwWpPbBcxu")  # escapes that are no single sign, or one that is not looked at further
_BACK: Final = ("(?<=", "(?<!")


def is_pattern(text: str) -> bool:
    """Whether a browser would take it, without the flags ``u`` and ``v``."""
    groups: list[str] = []
    names: set[str] = set()
    at, repeatable = 0, False
    while (found := _TOKEN.match(text, at)) is not None:
        part, at = found[0], found.end()
        if part == "[":
            at = _end_of_class(text, at)
            if at < 0:
                return False
            repeatable = True
        elif part[0] == "(":
            if part == "(" and text[at : at + 1] == "?":  # none of the kinds that there are
                return False
            named = _NAME.fullmatch(part)
            if named is not None and named[1] in names:
                return False
            names.update(named.groups() if named is not None else ())
            groups.append(part)
            repeatable = False
        elif part == ")":
            if not groups:
                return False
            repeatable = groups.pop() not in _BACK
        elif found[1] is not None or part in {"*", "+", "?"}:
            if not repeatable or (found[3] and int(found[1]) > int(found[3])):
                return False
            at += text[at : at + 1] == "?"
            repeatable = False
        elif part == "\\":  # the last sign
            return False
        else:
            repeatable = part not in {"^", "$", "|", "\\b", "\\B"}
    return not groups


def _end_of_class(text: str, at: int) -> int:
    """Where a class ends, -1 if it does not or has a range that runs backwards."""
    first = begins = ""
    if text[at : at + 1] == "^":
        at += 1
    while (found := _IN_CLASS.match(text, at)) is not None:
        part, at = found[0], found.end()
        if part == "]":
            return at
        if begins:
            if _sign(begins) > _sign(part) >= 0:
                return -1
            first = begins = ""
        elif part == "-" and first and text[at : at + 1] != "]":
            begins, first = first, ""
        else:
            first = part
    return -1


def _sign(part: str) -> int:
    """The number of a sign in a class, -1 for what is none or is not looked at."""
    if len(part) == 1:
        return ord(part)
    return -1 if part[1] in _SETS or part[1].isalnum() else ord(part[1])
