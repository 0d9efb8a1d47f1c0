"""What a coerced value has to keep to: bounds, lengths, patterns and formats, compiled to one closure per field. All linear in the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import re2

from polyport.engine.ecma import is_pattern
from polyport.kinds.fields import ValueFault, coerce_string
from polyport.manifest.variables import InputField

Check = Callable[[Any], None]
Convert = Callable[[Any], Any]


def compile_checks(variable: InputField) -> Check | None:
    """The checks of a field as one function that raises ``ValueFault``, or ``None`` where the field has none."""
    checks: list[Check] = []
    if variable.min is not None or variable.max is not None:
        checks.append(_bounds(variable.min, variable.max))
    if variable.multiple_of is not None:
        checks.append(_steps(variable.multiple_of))
    if variable.min_length is not None or variable.max_length is not None:
        checks.append(_lengths(variable.min_length or 0, variable.max_length))
    if variable.pattern is not None:
        checks.append(_matches(variable.pattern))
    if variable.format in _FORMATS:
        checks.append(_FORMATS[variable.format])
    if variable.holds is not None:
        checks.append(_HOLDS[variable.holds])
    if not checks:
        return None
    if len(checks) == 1:
        return checks[0]

    def check(value: Any) -> None:
        for one in checks:
            one(value)

    return check


def _bounds(least: float | None, most: float | None) -> Check:
    low = None if least is None else Decimal(str(least))
    high = None if most is None else Decimal(str(most))

    def check(value: Any) -> None:
        if low is not None and value < low:
            raise ValueFault("too_small", f"The least that is taken here is {low}.")
        if high is not None and value > high:
            raise ValueFault("too_large", f"The most that is taken here is {high}.")

    return check


def _steps(size: float) -> Check:
    """Whole steps, exactly: as fractions, since a remainder of floats or of rounded decimals refuses what is none."""
    step, told = Fraction(str(size)), Decimal(str(size))

    def check(value: Any) -> None:
        if (Fraction(value) / step).denominator != 1:
            raise ValueFault("wrong_step", f"Only multiples of {told} are taken here.")

    return check


def _lengths(least: int, most: int | None) -> Check:
    def check(value: Any) -> None:
        if len(value) < least:
            raise ValueFault("too_short", f"At least {least} characters are needed here.")
        if most is not None and len(value) > most:
            raise ValueFault("too_long", f"At most {most} characters are taken here.")

    return check


def _matches(pattern: str) -> Check:
    compiled = _pattern(pattern)

    def check(value: Any) -> None:
        if not compiled.fullmatch(value):
            raise ValueFault("wrong_format", f"This does not match the pattern {pattern}.")

    return check


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> Any:
    return re2.compile(pattern)


_NOT_IN_EMAIL: Final = re.compile(r'[ <>,;"()]')


def _email(value: Any) -> None:
    local, at, domain = value.rpartition("@")
    if (
        not at
        or not local
        or not domain
        or len(value) > 254
        or not value.isprintable()
        or _NOT_IN_EMAIL.search(value) is not None
        or "@" in local
    ):
        raise ValueFault("wrong_format", "An e-mail address is needed here.")


def _uri(value: Any) -> None:
    try:
        parts = urlsplit(value)
        sound = bool(parts.scheme and (parts.netloc or parts.path)) and not any(char.isspace() or not char.isprintable() for char in value)
    except ValueError:
        sound = False
    if not sound:
        raise ValueFault("wrong_format", "A web address is needed here, with https:// in front.")


_UUID: Final = re2.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HOSTNAME: Final = re2.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")


def _uuid(value: Any) -> None:
    if not _UUID.fullmatch(value):
        raise ValueFault("wrong_format", "A UUID is needed here.")


def _hostname(value: Any) -> None:
    if len(value) > 253 or not _HOSTNAME.fullmatch(value):
        raise ValueFault("wrong_format", "A host name is needed here, without https:// and without a path.")


def _regex(value: Any) -> None:
    if not is_pattern(value):
        raise ValueFault("wrong_format", "A regular expression is needed here, as JavaScript writes them.")


def _object(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValueFault("wrong_type", 'A JSON object is needed here, such as {"name": "value"}.')


def _list(value: Any) -> None:
    if not isinstance(value, list):
        raise ValueFault("wrong_type", "A JSON list is needed here, such as [1, 2].")


_HOLDS: Final[Mapping[str, Check]] = {"object": _object, "list": _list}
_FORMATS: Final[Mapping[str | None, Check]] = {"email": _email, "uri": _uri, "uuid": _uuid, "hostname": _hostname, "regex": _regex}


def put_together(read: Convert, check: Check | None, write: Convert | None) -> Convert:
    """What reads a value, checks it and writes it: with the steps that there are, and no others."""
    if write is not None:
        return _written(read, check, write)
    if check is None:
        return read
    return _checked_text(check) if read is coerce_string else _checked(read, check)


def _written(read: Convert, check: Check | None, write: Convert) -> Convert:
    def convert(value: Any) -> Any:
        found = read(value)
        if check is not None:
            check(found)
        return write(found)

    return convert


def _checked(read: Convert, check: Check) -> Convert:
    def convert(value: Any) -> Any:
        found = read(value)
        check(found)
        return found

    return convert


def _checked_text(check: Check) -> Convert:
    """``_checked`` for texts: one that is printable is the text itself."""

    def convert(value: Any) -> Any:
        found = value if value.__class__ is str and value.isprintable() else coerce_string(value)
        check(found)
        return found

    return convert
