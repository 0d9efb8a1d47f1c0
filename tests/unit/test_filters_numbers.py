from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyport.kinds.filters import FILTERS
from polyport.template import RenderFault

_NUMBERS = st.decimals(min_value=-(10**20), max_value=10**20, places=6)


@pytest.mark.parametrize(
    ("name", "value", "arguments", "result"),
    [
        ("number", "1e3", (), "1000"),
        ("number", "-0.00", (), "0.00"),
        ("number", " 1 234,5 ", (",", " "), "1234.5"),
        ("number", "12,34,567.5", (".", ","), "1234567.5"),
        ("number", "+1.234", (",", "."), "1234"),
        ("number", 5, (",", "."), "5"),
        ("round", "2.5", (), "2"),
        ("round", "-2.345", (2, "down"), "-2.34"),
        ("round", 1987, (-2,), "2000"),
        ("round", 4, (-2,), "0"),
        ("subtract", "1", ("1.00",), "0.00"),
        ("divide", 6, (3,), "2"),
        ("divide", 1, (3,), "0." + "3" * 34),
        ("modulo", "-7", (3,), "-1"),
        ("power", "1.5", ("2",), "2.25"),
        ("math", 2, ("minimum", "1.5"), "1.5"),
        ("math", 2, ("maximum", "1.5"), "2"),
        ("math", 7, ("subtract", 2), "5"),
        ("abs", "-1.50", (), "1.50"),
        ("minor_units", "1", (0,), "1"),
        ("minor_units", "-0.5", (), "-50"),
        ("major_units", 5, (3,), "0.005"),
        ("major_units", "700", (0,), "700"),
        ("int", 3.0, (), "3"),
    ],
)
def test_a_number_filter_gives(name, value, arguments, result):
    assert str(FILTERS[name](value, *arguments)) == result


@pytest.mark.parametrize(
    ("value", "arguments", "text"),
    [
        ("1234.5", (), "1234.50"),
        ("-1234567.891", (1, ".", " "), "-1 234 567.9"),
        ("999.5", (0, ".", ","), "1,000"),
        ("-0.001", (), "0.00"),
        ("0.125", (2, ".", "", "half_up"), "0.13"),
        ("0.125", (2,), "0.12"),
        ("12", (0, ",", "."), "12"),
    ],
)
def test_a_number_is_written_for_people(value, arguments, text):
    assert FILTERS["format_number"](value, *arguments) == text


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("number", "1,5", (".", ",")),
        ("number", "1,2345", (".", ",")),
        ("number", ",123", (".", ",")),
        ("number", "1234,567", (".", ",")),
        ("number", "1.5", (",", " ")),
        ("number", "1", ("", ",")),
        ("number", "1", (",", ",")),
        ("number", "1,5,5", (",",)),
        ("number", "1" * 5_000, ()),
        ("int", "1.5", ()),
        ("int", True, ()),
        ("round", "1", (101,)),
        ("round", "1", (1, "best")),
        ("divide", 1, (0,)),
        ("divide", 0, (0,)),
        ("modulo", 1, (0,)),
        ("modulo", "1e400", ("3e-10",)),
        ("power", 0, (0,)),
        ("power", 2, ("-1",)),
        ("math", 1, ("integrate", 1)),
        ("minor_units", "0.005", ()),
        ("minor_units", "1", (9,)),
        ("minor_units", "1e400", ()),
        ("add", float("nan"), (1,)),
        ("add", float("inf"), (1,)),
        ("format_number", "1", (-1,)),
    ],
)
def test_a_number_filter_refuses(name, value, arguments):
    with pytest.raises(RenderFault):
        FILTERS[name](value, *arguments)


def test_a_division_by_zero_says_so():
    with pytest.raises(RenderFault, match="divided by zero"):
        FILTERS["divide"](1, 0)


@given(_NUMBERS, _NUMBERS)
def test_sums_differences_and_products_are_exact(one, two):
    assert Fraction(FILTERS["add"](one, two)) == Fraction(one) + Fraction(two)
    assert Fraction(FILTERS["subtract"](one, two)) == Fraction(one) - Fraction(two)
    assert Fraction(FILTERS["multiply"](one, two)) == Fraction(one) * Fraction(two)


@given(_NUMBERS, _NUMBERS.filter(bool))
def test_a_quotient_is_off_by_less_than_its_last_digit(one, two):
    quotient, exact = Fraction(FILTERS["divide"](one, two)), Fraction(one) / Fraction(two)
    assert abs(quotient - exact) <= abs(exact) * Fraction(1, 10**33)


@given(_NUMBERS, st.sampled_from([",", " ", "'"]))
def test_a_number_that_is_written_for_people_is_read_again(number, thousands):
    written = FILTERS["format_number"](number, 6, ".", thousands)
    assert FILTERS["number"](written, ".", thousands) == number


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=2))
def test_money_goes_to_minor_units_and_back(amount):
    assert FILTERS["major_units"](FILTERS["minor_units"](amount)) == amount
    assert isinstance(FILTERS["minor_units"](amount), int)


@given(_NUMBERS, st.integers(0, 8))
def test_a_rounded_number_is_at_most_half_a_step_away(number, places):
    assert abs(Decimal(FILTERS["round"](number, places)) - number) <= Decimal(5).scaleb(-places - 1)
