"""What a call takes of budgets, and what a process knows of what is left of them."""

from polyport.manifest.budgets import Budget
from polyport.quotas import PLACES_MS, WAY_LEAST_MS, WAY_MOST_MS, Line, Toll, quotas_of


def budget(**keys):
    return Budget.model_validate({"name": "burst", "limit": 10, "seconds": 1} | keys, by_alias=True, by_name=False)


def quotas(*budgets, costs=None, place=5):
    return quotas_of(budgets, costs or {}, partner_id=9, place=place, operation_id=77)


def test_each_budget_has_the_key_of_those_who_share_it():
    found = quotas(budget(), budget(name="app", per="app"), budget(name="op", per="endpoint"), budget(name="none", onlyCosts=True))
    assert [quota.key for quota in found] == ["9/burst/5", "9/app/app", "9/op/5/77"]


def test_a_budget_counts_for_its_window_and_for_what_requests_need_on_their_way():
    short, long = quotas(budget(), budget(name="day", seconds=86_400))
    assert (short.width_ms, short.keep_ms) == (10, 1_000 + WAY_LEAST_MS + 10)
    assert (long.width_ms, long.keep_ms) == (864_000, 86_400_000 + WAY_MOST_MS + 864_000)


def test_a_cost_beyond_the_limit_takes_all_there_is():
    (found,) = quotas(budget(), costs={"burst": 50})
    assert found.cost == 10


def test_a_budget_with_a_limit_and_requests_at_a_time_is_two_quotas():
    window, places = quotas(budget(concurrency=3))
    assert (window.most, window.keep_ms > 0) == (10, True)
    assert (places.key, places.most, places.cost, places.keep_ms) == ("9/burst/5/places", 3, 1, 0)
    assert Toll((window, places)).places == (places,)
    (alone,) = quotas(budget(limit=None, seconds=None, concurrency=2))
    assert not alone.keep_ms


def test_a_line_tells_when_so_many_units_are_back():
    line = Line(10)
    assert line.opens_at(0, 10) == 0
    line.add(100, 4)
    line.add(300, 4)
    line.add(200, 2)
    assert [line.opens_at(0, units) for units in (1, 4, 5, 6, 7, 10)] == [100, 100, 200, 200, 300, 300]
    assert (line.free(100), line.free(250), line.free(300)) == (4, 6, 10)
    assert line.opens_at(400, 99) == 400 + PLACES_MS


def test_units_of_one_moment_are_one_entry_and_can_be_taken_out():
    line = Line(10)
    for _unit in range(3):
        line.add(100, 1)
    assert line.entries == [(100, 3)]
    line.take_out(100, 2)
    assert line.free(0) == 9


def test_places_that_are_held_come_back_nobody_knows_when():
    line = Line(3)
    line.held = 2
    line.others, line.others_until = 1, 500
    assert line.free(0) == 0
    assert line.opens_at(0, 1) == 500
    assert line.free(600) == 1
    line.held = 3
    assert line.opens_at(600, 1) == 600 + PLACES_MS
