"""Patterns of times: a fixed subset of strftime, the same on every machine and in every language setting.

Written and read: ``%Y`` year (4 digits), ``%y`` year (2 digits: 69-99 are 19xx, 00-68 are 20xx), ``%m`` month, ``%d`` day, ``%j`` day of the year, ``%H`` hour (0-23),
``%I`` hour (1-12), ``%p`` AM or PM, ``%M`` minute, ``%S`` second, ``%f`` microsecond (6 digits; 1 to 6 are read), ``%B`` and ``%b`` month in English, ``%A`` and
``%a`` weekday in English, ``%z`` offset (``+0200``; ``Z`` and ``+02:00`` are read too), ``%s`` unix seconds, ``%%`` a percent sign. Only written: ``%Z`` the zone's
abbreviation, ``%G`` and ``%V`` ISO year and week, ``%u`` weekday 1-7 from Monday. ``%-d``, ``%-m``, ``%-H``, ``%-I``, ``%-M``, ``%-S``, ``%-j`` are written without leading zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

import re2

from polyport.template import RenderFault

PATTERN_LIMIT: Final = 200
MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _offset(at: datetime) -> str:
    seconds = (at.utcoffset() or timedelta(0)) // timedelta(seconds=1)
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}{minutes:02}"


_WRITERS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "m": lambda at: f"{at.month:02}",
    "d": lambda at: f"{at.day:02}",
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "f": lambda at: f"{at.microsecond:06}",
    "B": lambda at: MONTHS[at.month - 1],
    "b": lambda at: MONTHS[at.month - 1][:3],
    "A": lambda at: DAYS[at.weekday()],
    "a": lambda at: DAYS[at.weekday()][:3],
    "z": _offset,
    "Z": lambda at: at.tzname() or "",
    "s": lambda at: str((at - _EPOCH) // timedelta(seconds=1)),
    "G": lambda at: f"{at.isocalendar().year:04}",
    "V": lambda at: f"{at.isocalendar().week:02}",
    "u": lambda at: str(at.isoweekday()),
    "%": lambda _at: "%",
}
_SHORT: Final = frozenset("dmHIMSj")


def _names(words: tuple[str, ...]) -> str:
    return "|".join((*words, *(word[:3] for word in words)))


_READERS: Final[Mapping[str, str]] = {
    "Y": "[0-9]{4}",
    "y": "[0-9]{2}",
    "m": "[0-9]{1,2}",
    "d": "[0-9]{1,2}",
    "j": "[0-9]{1,3}",
    "H": "[0-9]{1,2}",
    "I": "[0-9]{1,2}",
    "p": "AM|PM",
    "M": "[0-9]{1,2}",
    "S": "[0-9]{1,2}",
    "f": "[0-9]{1,6}",
    "B": _names(MONTHS),
    "b": _names(MONTHS),
    "A": _names(DAYS),
    "a": _names(DAYS),
    "z": "Z|[+-][0-9]{2}(?::?[0-9]{2})?",
    "s": "-?[0-9]{1,12}",
}


def write(at: datetime, pattern: str) -> str:
    """A moment, as the clock of its own zone shows it, in a pattern. Raises ``RenderFault`` when the pattern is none."""
    return "".join(part if directive is None else _written(at, directive) for directive, part in _parts(pattern))


def scan(text: str, pattern: str) -> tuple[datetime, bool]:
    """The time that a text shows, and whether the text itself said the zone (then it is in UTC, otherwise it has none).

    Raises ``RenderFault`` when the pattern is none or lacks a full day, or when the text does not fit or shows a day that does not exist.
    """
    found = _found(text, pattern)
    try:
        if "s" in found:
            return _EPOCH + timedelta(seconds=int(found["s"])), True
        local = datetime.combine(_day(found), datetime.min.time()) + _time(found)
        if "z" not in found:
            return local, False
        return (local - _zone(found["z"])).replace(tzinfo=UTC), True
    except (ValueError, OverflowError):
        raise RenderFault("this text shows a day or a time that does not exist") from None


def _parts(pattern: str) -> list[tuple[str | None, str]]:
    """The pattern in parts: a directive and how it is written, or ``None`` and a literal text."""
    if len(pattern) > PATTERN_LIMIT:
        raise RenderFault(f"a pattern has at most {PATTERN_LIMIT} characters")
    parts: list[tuple[str | None, str]] = []
    literal, *pieces = pattern.split("%")
    parts.append((None, literal))
    pending = iter(pieces)
    for piece in pending:
        if not piece:
            # Two signs side by side are one: what follows the second is literal.
            parts.append(("%", ""))
            following = next(pending, None)
            if following is None:
                raise RenderFault("a percent sign in a pattern is written %%")
            parts.append((None, following))
            continue
        flag = piece[:1] if piece[:1] == "-" else ""
        letter = piece[len(flag) : len(flag) + 1]
        if letter not in _WRITERS or (flag and letter not in _SHORT):
            raise RenderFault(f"a pattern is made of {', '.join('%' + known for known in _WRITERS)}")
        parts.append((flag + letter, ""))
        parts.append((None, piece[len(flag) + 1 :]))
    return parts


def _written(at: datetime, directive: str) -> str:
    plain = _WRITERS[directive.removeprefix("-")](at)
    return plain.lstrip("0") or "0" if directive.startswith("-") else plain


def _found(text: str, pattern: str) -> dict[str, str]:
    letters: list[str] = []
    expression = ["(?i)"]
    for directive, literal in _parts(pattern):
        if directive is None:
            expression.append(re2.escape(literal))
        elif directive == "%":
            expression.append("%")
        else:
            letter = directive.removeprefix("-")
            if letter not in _READERS or letter in letters:
                raise RenderFault("a pattern to read with has each part once, and none of %Z, %G, %V and %u")
            letters.append(letter)
            expression.append(f"({_READERS[letter]})")
    match = re2.fullmatch("".join(expression), text.strip())
    if match is None:
        raise RenderFault("this text does not fit the pattern")
    return dict(zip(letters, match.groups(), strict=True))


def _day(found: Mapping[str, str]) -> date:
    month = found.get("m") or _index(found.get("B") or found.get("b"), MONTHS)
    year = int(found["Y"]) if "Y" in found else _century(found.get("y"))
    if "j" in found:
        day = date(year, 1, 1) + timedelta(days=int(found["j"]) - 1)
        if day.year != year:
            raise ValueError
    elif month is None or "d" not in found:
        raise RenderFault("a pattern to read with has a year, a month and a day, or %s")
    else:
        day = date(year, int(month), int(found["d"]))
    named = _index(found.get("A") or found.get("a"), DAYS)
    if named is not None and named != day.isoweekday():
        raise RenderFault("this text names another weekday than its day has")
    return day


def _century(digits: str | None) -> int:
    if digits is None:
        raise RenderFault("a pattern to read with has a year, a month and a day, or %s")
    return int(digits) + (1900 if int(digits) >= 69 else 2000)


def _index(word: str | None, words: tuple[str, ...]) -> int | None:
    if word is None:
        return None
    return next(index for index, known in enumerate(words, 1) if known[:3].lower() == word[:3].lower())


def _time(found: Mapping[str, str]) -> timedelta:
    hour, minute, second = int(found.get("H", 0)), int(found.get("M", 0)), int(found.get("S", 0))
    if "I" in found:
        if "p" not in found or not 1 <= int(found["I"]) <= 12:
            raise RenderFault("an hour of twelve (%I) is 1 to 12 and needs %p")
        hour = int(found["I"]) % 12 + (12 if found["p"].upper() == "PM" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int(found.get("f", "0").ljust(6, "0")))


def _zone(offset: str) -> timedelta:
    if offset.upper() == "Z":
        return timedelta(0)
    digits = offset[1:].replace(":", "").ljust(4, "0")
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        raise ValueError
    span = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -span if offset[0] == "-" else span
