"""Budgets: what partners declare, what their answers tell of the rest, what a call costs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyport.manifest.budgets import Budget, Rest, costs_of, read_rest, shown
from samples import json_reply

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def budget(**keys):
    return Budget.model_validate({"name": "burst", "limit": 10, "seconds": 1} | keys, by_alias=True, by_name=False)


def rest(headers, **told):
    return read_rest(budget(headers=headers), json_reply(**told), NOW)


def test_headers_tell_limit_and_rest_and_when_it_is_full_again():
    headers = {"limit": "X-RateLimit-Limit", "remaining": "X-RateLimit-Remaining", "reset": "X-RateLimit-Reset", "unit": "unix"}
    at = int(NOW.timestamp()) + 60

    found = rest(headers, x_ratelimit_limit="5000", x_ratelimit_remaining="4999", x_ratelimit_reset=str(at))

    assert found == Rest(limit=5000, remaining=4999, resets=NOW + timedelta(seconds=60))
    assert rest(headers) is None
    assert rest(headers, x_ratelimit_remaining="0") == Rest(remaining=0)


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("seconds", "30", 30),
        ("seconds", "0.5", 0.5),
        ("milliseconds", "1500", 1.5),
        ("unix_ms", str(int(NOW.timestamp() * 1000) + 1500), 1.5),
        ("date", "2026-11-25T12:00:30Z", 30),
        ("date", "2026-11-25T12:00:30", 30),
        ("date", "Wed, 25 Nov 2026 12:00:30 GMT", 30),
    ],
)
def test_the_reset_is_read_in_its_unit(unit, text, seconds):
    assert rest({"reset": "X-R", "unit": unit}, x_r=text) == Rest(resets=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "unix", "unix_ms", "date"])
@pytest.mark.parametrize("text", ["", "soon", "-5", "9" * 30, "99999999999999", "NaN"])
def test_an_absurd_reset_is_not_told(unit, text):
    found = rest({"reset": "X-R", "unit": unit}, x_r=text)

    assert found is None or found.resets.year < 9_999


def test_what_was_used_tells_the_rest():
    assert rest({"used": "X-U"}, x_u="3") == Rest(remaining=7)
    assert rest({"used": "X-U", "limit": "X-L"}, x_u="30", x_l="20") == Rest(limit=20, remaining=0)
    assert rest({"usedOfLimit": "X-C"}, x_c="32/40") == Rest(limit=40, remaining=8)
    assert rest({"usedOfLimit": "X-C"}, x_c="32") is None


def test_a_budget_without_headers_tells_nothing():
    assert read_rest(budget(), json_reply(x_a="1"), NOW) is None


def test_a_call_takes_one_of_each_budget_unless_it_says_otherwise():
    budgets = [budget(), budget(name="daily"), budget(name="search", onlyCosts=True)]

    assert costs_of(budgets, {}) == {"burst": 1, "daily": 1}
    assert costs_of(budgets, {"daily": 20, "search": 1, "burst": 0}) == {"daily": 20, "search": 1}


def test_a_budget_is_shown_without_what_it_does_not_have():
    assert shown(budget()) == {"name": "burst", "per": "connection", "limit": 10, "seconds": 1}
    assert shown(budget(limit=None, seconds=None, concurrency=5, per="app")) == {"name": "burst", "per": "app", "concurrency": 5}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"seconds": None}, "go together"),
        ({"limit": None, "seconds": None}, "or a concurrency"),
        ({"headers": {}}, "at least one header"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_a_budget_that_limits_nothing_is_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        budget(**keys)


@given(st.text(max_size=40), st.sampled_from(["seconds", "milliseconds", "unix", "unix_ms", "date"]))
def test_no_header_makes_reading_fail(text, unit):
    headers = {"limit": "X-A", "remaining": "X-A", "used": "X-A", "usedOfLimit": "X-A", "reset": "X-A", "unit": unit}
    rest(headers, x_a=text)
