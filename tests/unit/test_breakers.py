"""Circuit breakers: when a host or a connection is left alone, and how it comes back."""

import pytest

from polyport.breakers import CONNECTIONS, LONGEST, PROBE_SECONDS, Breakers

HOST = "api.example.com"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def breakers(clock, failures=3, seconds=5.0):
    return Breakers(failures, seconds, clock)


def fail(found, place=1, times=1, host=HOST):
    for _time in range(times):
        assert found.enter(place, host) == 0
        found.failed(place, host)


def test_a_connection_that_fails_again_and_again_is_left_alone_and_the_others_of_its_host_are_not(clock):
    found = breakers(clock)
    fail(found, times=2)
    assert found.wait(1, HOST) == 0
    fail(found)
    assert found.wait(1, HOST) == found.wait(1, None) == found.wait_of(1) == 5
    assert found.wait(2, HOST) == 0
    assert (found.counts(), found.opened) == ((0, 1), 1)


def test_a_host_that_several_connections_find_failing_is_left_alone_by_all(clock):
    found = breakers(clock)
    for place in range(1, CONNECTIONS + 1):
        fail(found, place)
    assert found.wait(99, HOST) == 5
    assert found.wait(99, "other.example.com") == 0
    assert found.counts() == (1, 0)


def test_partners_without_connections_have_only_the_breaker_of_their_host(clock):
    found = breakers(clock)
    fail(found, -7, times=3)
    assert found.wait(-7, HOST) == 5
    assert found.wait(-7, "other.example.com") == 0


def test_an_answer_makes_all_failures_before_it_forgotten(clock):
    found = breakers(clock)
    fail(found, times=2)
    found.succeeded(1, HOST)
    fail(found, times=2)
    assert found.wait(1, HOST) == 0


def test_after_the_wait_one_call_at_a_time_looks_and_success_lets_all_go(clock):
    found = breakers(clock)
    fail(found, times=3)
    clock.now += 5
    assert found.enter(1, HOST) == 0
    assert found.enter(1, HOST) > 0
    assert found.wait_of(1) > 0
    found.succeeded(1, HOST)
    assert found.enter(1, HOST) == 0
    assert found.enter(1, HOST) == 0
    assert found.counts() == (0, 0)


def test_each_look_that_fails_doubles_the_wait_up_to_a_limit(clock):
    found = breakers(clock)
    fail(found, times=3)
    waits = []
    for _look in range(6):
        waits.append(found.wait(1, HOST))
        clock.now += waits[-1]
        fail(found)
    assert waits == [5, 10, 20, 40, LONGEST, LONGEST]


def test_a_look_that_told_nothing_leaves_it_to_the_next(clock):
    found = breakers(clock)
    fail(found, times=3)
    clock.now += 5
    assert found.enter(1, HOST) == 0
    found.abandoned(1, HOST)
    assert found.enter(1, HOST) == 0
    clock.now += PROBE_SECONDS
    assert found.enter(1, HOST) == 0


def test_calls_that_were_under_way_when_it_opened_do_not_make_the_wait_longer(clock):
    found = breakers(clock)
    fail(found, times=3)
    found.failed(1, HOST)
    assert found.wait(1, HOST) == 5
    assert found.opened == 1


def test_without_a_number_of_failures_there_are_no_breakers(clock):
    found = breakers(clock, failures=0)
    fail(found, times=100)
    assert found.wait(1, HOST) == 0
    found.abandoned(1, HOST)


def test_what_is_known_is_bounded(clock, monkeypatch):
    monkeypatch.setattr("polyport.breakers.KNOWN_MOST", 4)
    found = breakers(clock, failures=1)
    for place in range(50):
        found.enter(place, f"host{place}")
        found.failed(place, f"host{place}")
    assert sum(found.counts()) <= 6


def test_what_is_left_alone_is_told_with_whom_it_is_about_and_for_how_long(clock):
    found = breakers(clock)
    assert found.left_alone() == []
    fail(found, place=1, times=3)
    (alone,) = found.left_alone()
    assert (alone.host, alone.places, alone.whole, alone.failures, alone.seconds) == (HOST, (1,), False, 3, 5.0)

    for place in (2, 3):
        found.failed(place, HOST)
        found.enter(place, HOST)
    whole = next(each for each in found.left_alone() if each.whole)
    assert (whole.host, set(whole.places)) == (HOST, {1, 2, 3})
    clock.now += 100
    assert {each.seconds for each in found.left_alone()} == {0.0}
    found.succeeded(1, HOST)
    assert found.left_alone() == []
