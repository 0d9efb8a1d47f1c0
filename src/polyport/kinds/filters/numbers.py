"""Filters over numbers. Sums, differences and products are exact or refused; only a division rounds, to 34 digits."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from polyport.kinds.fields import DIGITS_LIMIT, EXPONENT_LIMIT, coerce_decimal, coerce_integer
from polyport.kinds.filters.limits import argument_of, choice_of, read, whole_number_of
from polyport.template import Filter, RenderFault

PLACES_LIMIT: Final = 100
POWER_LIMIT: Final = 100
DIVISION_DIGITS: Final = 34

_REFUSED: Final = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]
_EXACT: Final = decimal.Context(prec=DIGITS_LIMIT, traps=[*_REFUSED, decimal.Inexact])
_ROUNDING: Final = decimal.Context(prec=2 * DIGITS_LIMIT, traps=_REFUSED)
_DIVIDING: Final = decimal.Context(prec=DIVISION_DIGITS, rounding=decimal.ROUND_HALF_EVEN, traps=_REFUSED)
_MODES: Final[Mapping[str, str]] = {
    "half_even": decimal.ROUND_HALF_EVEN,
    "half_up": decimal.ROUND_HALF_UP,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
    "floor": decimal.ROUND_FLOOR,
    "ceiling": decimal.ROUND_CEILING,
}


def to_int(value: Any) -> int:
    """A whole number, from a number or its text; a fraction is refused, not cut.

    ``{{"42" | int}}`` gives ``42``.
    """
    return read(coerce_integer, value)


def to_number(value: Any, point: Any = ".", thousands: Any = "") -> Decimal | int:
    """A number with all its digits, from a number or its text.

    Arguments: the sign before the fraction, and the one between thousands (both are only looked for in texts).
    ``{{"1.234,50" | number: ",", "."}}`` gives ``1234.50``.
    """
    point, thousands = argument_of(point), argument_of(thousands)
    if not point or point == thousands:
        raise RenderFault("the sign before the fraction is not empty and not that between thousands")
    if isinstance(value, str) and len(value) <= 4 * DIGITS_LIMIT:
        value = _with_point(value.strip(), point, thousands)
    return _given(_number(value))


def _with_point(text: str, point: str, thousands: str) -> str:
    whole, sign, fraction = text.partition(point)
    groups = whole.split(thousands) if thousands else [whole]
    first, *rest = groups
    # Groups of two digits are how thousands are written in India; 1,5 with a comma between thousands is a mistake and not fifteen.
    sound = not rest or (len(first.lstrip("+-")) in {1, 2, 3} and len(rest[-1]) == 3 and all(len(group) in {2, 3} for group in rest))
    if not sound or (point != "." and "." in "".join((*groups, fraction))):
        raise RenderFault("this number is not written with these signs")
    return "".join(groups) + (sign and ".") + fraction


def rounded(value: Any, places: Any = 0, mode: Any = "half_even") -> Decimal | int:
    """The number rounded to a count of decimal places.

    Arguments: the places (-100 to 100; below zero rounds to tens, hundreds, ...), and what happens to the rest: half_even (to the nearest,
    a tie to the even digit), half_up (a tie away from zero), up, down (away from and towards zero), floor, ceiling.
    ``{{"2.345" | round: 2, "half_up"}}`` gives ``2.35``.
    """
    places = whole_number_of(places, least=-PLACES_LIMIT, most=PLACES_LIMIT)
    return _given(_quantized(_number(value), places, choice_of(mode, _MODES, "rounding")))


def add(value: Any, other: Any) -> Decimal | int:
    """The sum of two numbers, exact.

    ``{{"0.1" | add: "0.2"}}`` gives ``0.3``.
    """
    return _calculated(_EXACT.add, value, other)


def subtract(value: Any, other: Any) -> Decimal | int:
    """The first number without the second, exact.

    ``{{10 | subtract: 2.5}}`` gives ``7.5``.
    """
    return _calculated(_EXACT.subtract, value, other)


def multiply(value: Any, other: Any) -> Decimal | int:
    """The product of two numbers, exact.

    ``{{1.5 | multiply: 4}}`` gives ``6.0``.
    """
    return _calculated(_EXACT.multiply, value, other)


def divide(value: Any, other: Any) -> Decimal | int:
    """The first number divided by the second, to 34 digits (the last one to the nearest, a tie to even). Nothing can be divided by zero.

    ``{{10 | divide: 4}}`` gives ``2.5``.
    """
    return _calculated(_DIVIDING.divide, value, other)


def modulo(value: Any, other: Any) -> Decimal | int:
    """What remains of the first number when the second is taken away as often as it fits; it has the sign of the first.

    ``{{17 | modulo: 5}}`` gives ``2``.
    """
    return _calculated(_EXACT.remainder, value, other)


def power(value: Any, exponent: Any) -> Decimal | int:
    """The number multiplied with itself, exact. The exponent is a whole number from 0 to 100.

    ``{{2 | power: 10}}`` gives ``1024``.
    """
    times = whole_number_of(to_int(exponent), least=0, most=POWER_LIMIT)
    return _calculated(_EXACT.power, value, times)


_OPERATIONS: Final[Mapping[str, Callable[[Any, Any], Decimal | int]]] = {
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "modulo": modulo,
    "power": power,
    "minimum": lambda value, other: _calculated(min, value, other),
    "maximum": lambda value, other: _calculated(max, value, other),
}


def math(value: Any, operation: Any, other: Any) -> Decimal | int:
    """Two numbers under an operation that is itself a value: add, subtract, multiply, divide, modulo, power, minimum, maximum.

    ``{{6 | math: "multiply", 7}}`` gives ``42``.
    """
    return choice_of(operation, _OPERATIONS, "operation")(value, other)


def absolute(value: Any) -> Decimal | int:
    """The number without its sign.

    ``{{-3 | abs}}`` gives ``3``.
    """
    return _given(_number(value).copy_abs())


def format_number(value: Any, places: Any = 2, point: Any = ".", thousands: Any = "", mode: Any = "half_even") -> str:
    """The number as text for people.

    Arguments: decimal places (0 to 100), the sign before the fraction, the sign between thousands, and the rounding as in ``round``.
    ``{{1234567.5 | format_number: 2, ",", "."}}`` gives ``"1.234.567,50"``.
    """
    places = whole_number_of(places, least=0, most=PLACES_LIMIT)
    number = _quantized(_number(value), places, choice_of(mode, _MODES, "rounding"))
    plain = format(number.copy_abs(), f",.{places}f")
    sign = "-" if number < 0 else ""
    whole, _, fraction = plain.partition(".")
    grouped = whole.replace(",", argument_of(thousands))
    return f"{sign}{grouped}{argument_of(point)}{fraction}" if places else f"{sign}{grouped}"


def minor_units(value: Any, places: Any = 2) -> int:
    """An amount of money in its smallest unit, such as cents. Amounts with more decimals than the currency has are refused, never rounded.

    Argument: the decimals of the currency (0 to 8). ``{{"12.34" | minor_units}}`` gives ``1234``.
    """
    number = _shifted(_number(value), whole_number_of(places, least=0, most=8))
    if number != number.to_integral_value():
        raise RenderFault("this amount has more decimals than its currency")
    return to_int(number)


def major_units(value: Any, places: Any = 2) -> Decimal | int:
    """An amount given in the smallest unit of its currency, such as cents, in the currency itself.

    Argument: the decimals of the currency (0 to 8). ``{{1234 | major_units}}`` gives ``12.34``.
    """
    return _given(_shifted(Decimal(to_int(value)), -whole_number_of(places, least=0, most=8)))


def _number(value: Any) -> Decimal:
    number = read(coerce_decimal, value)
    if isinstance(number, int):
        return Decimal(number)
    if len(number.as_tuple().digits) > DIGITS_LIMIT:
        raise RenderFault(f"a number has at most {DIGITS_LIMIT} digits here")
    return number


def _calculated(operation: Callable[[Any, Any], Decimal], value: Any, other: Any) -> Decimal | int:
    first, second = _number(value), _number(other)
    try:
        return _given(operation(first, second))
    except decimal.DivisionByZero:
        raise RenderFault("nothing can be divided by zero") from None
    except decimal.DecimalException:
        raise RenderFault(f"this has no result, or one of more than {DIGITS_LIMIT} digits") from None


def _quantized(number: Decimal, places: int, mode: str) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), rounding=mode, context=_ROUNDING)


def _shifted(number: Decimal, places: int) -> Decimal:
    return number.scaleb(places, context=_ROUNDING)


def _given(number: Decimal) -> Decimal | int:
    """A result: whole numbers without a fraction as such, and neither an absurd size nor a zero with a sign."""
    if not number:
        number = number.copy_abs()
    if abs(number.adjusted()) > EXPONENT_LIMIT:
        raise RenderFault(f"a number has at most {EXPONENT_LIMIT} digits here")
    return int(number) if int(number.as_tuple().exponent) >= 0 else number


NUMBERS: Final[dict[str, Filter]] = {
    "int": to_int,
    "number": to_number,
    "round": rounded,
    "add": add,
    "subtract": subtract,
    "multiply": multiply,
    "divide": divide,
    "modulo": modulo,
    "power": power,
    "math": math,
    "abs": absolute,
    "format_number": format_number,
    "minor_units": minor_units,
    "major_units": major_units,
}
