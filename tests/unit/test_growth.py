"""Curves of the benchmark: how they are judged, how they are drawn."""

from xml.etree import ElementTree as ET

import pytest
from bench.growth.fit import verdict
from bench.growth.picture import draw

XS = (1, 10, 100, 1_000, 10_000, 100_000)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (lambda _x: 300.0, "flat"),
        (lambda x: 300.0 * (1 + 0.2 * (x == 100_000)), "flat"),
        (lambda x: 300 + 20.0 * (x == 10) + 500.0 * (x == 1_000), "flat at its ends, uneven between"),
        (lambda x: 300.0 + 0.1 * x, "linear"),
        (lambda x: 300.0 + 0.1 * x**0.5 * 50, "slower than linear"),
        (lambda x: 300.0 + 0.001 * x**1.5, "steeper than linear"),
        (lambda x: 300.0 + 0.0001 * x**2, "steeper than linear"),
        (lambda x: 300.0 + 200.0 * (x == 100_000), "1.7 times over the whole range"),
    ],
)
def test_a_curve_is_judged_by_how_it_grows_over_its_first_point(cost, told):
    assert verdict([(x, cost(x)) for x in XS]).startswith(told)


def test_one_point_is_no_curve():
    assert verdict([(1, 300.0)]) == "not enough points"


def test_a_picture_shows_every_point_and_escapes_what_it_says():
    picture = ET.fromstring(draw("a < b", "bytes", "us", [(x, 300.0 + x) for x in XS]))  # noqa: S314  we drew it
    assert picture.get("aria-label") == "a < b"
    circles = picture.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == len(XS)
    assert sorted(circles, key=lambda each: float(each.get("cx"))) == circles
    assert all(0 <= float(each.get("cx")) <= 640 and 0 <= float(each.get("cy")) <= 320 for each in circles)


def test_what_bends_at_its_end_alone_is_seen():
    straight = [(10**power, 100 + 10**power) for power in range(6)]
    assert verdict(straight).startswith("linear")
    assert verdict([*straight, (5e5, 100 + 5e5 * 2)]).startswith("steeper at its end")
    assert verdict([*straight, (5e5, 100 + 5e5 * 1.2)]).startswith("linear")
    assert verdict([(1, 100), (10, 101), (100, 140)]) == "1.4 times over the whole range: nearly flat"
    assert verdict([(1, 100), (10, 101), (100, 300)]) == "3.0 times over the whole range"
