"""Whose turn it is to be claimed, and what of a process one partner and one connection can hold."""

from polyport.bulkheads import Bulkheads
from polyport.queue.base import anyone
from polyport.queue.turns import LOOKS, Turns
from polyport.store.records import Lane

PARTNER = 7


def lane(account, place, operation=1, partner=PARTNER):
    return Lane(account, place, operation, partner)


def turns(*lanes):
    found = Turns()
    found.add_all(lanes)
    return found


def test_accounts_take_turns_however_many_lanes_one_of_them_has():
    crowd = [lane(1, place) for place in range(100)]
    chosen = turns(*crowd, lane(2, 900)).choose(10, anyone)
    assert chosen[lane(2, 900)] == 5
    assert sum(count for found, count in chosen.items() if found.account_id == 1) == 5


def test_the_lanes_of_an_account_take_turns_and_go_on_where_they_were():
    waiting = turns(*(lane(1, place) for place in range(4)))
    assert [found.place for found in waiting.choose(3, anyone)] == [0, 1, 2]
    assert [found.place for found in waiting.choose(3, anyone)] == [3, 0, 1]


def test_an_account_that_was_passed_over_is_first_the_next_time():
    waiting = turns(lane(1, 1), lane(2, 2), lane(3, 3))
    assert [found.account_id for found in waiting.choose(2, anyone)] == [1, 2]
    assert [found.account_id for found in waiting.choose(2, anyone)] == [3, 1]


def test_a_lane_that_may_not_go_on_gives_its_turn_away():
    waiting = turns(lane(1, 1), lane(1, 2), lane(2, 3))
    assert waiting.choose(4, lambda found: found.place != 1) == {lane(1, 2): 2, lane(2, 3): 2}
    assert waiting.choose(4, lambda _found: False) == {}


def test_a_lane_without_runs_is_dropped_unless_it_got_one_meanwhile():
    waiting = turns(lane(1, 1), lane(2, 2))
    mark = waiting.mark()
    waiting.add(lane(2, 2))
    waiting.drop(lane(1, 1), mark)
    waiting.drop(lane(1, 1), mark)
    waiting.drop(lane(2, 2), mark)
    assert waiting.choose(2, anyone) == {lane(2, 2): 2}
    waiting.drop(lane(2, 2), waiting.mark())
    assert not waiting


def test_of_very_many_lanes_that_may_not_go_on_only_some_are_looked_at_in_a_round():
    asked = []
    turns(*(lane(1, place) for place in range(LOOKS + 5))).choose(1, asked.append)
    assert len(asked) == LOOKS


def test_one_connection_and_one_partner_get_their_shares_and_no_more():
    pool = Bulkheads(8, partner=0.5, connection=0.25)
    assert [pool.enter(lane(1, 1)) for _try in range(3)] == [True, True, False]
    assert [pool.enter(lane(1, 2)) for _try in range(3)] == [True, True, False]
    assert not pool.enter(lane(2, 3))
    assert pool.enter(lane(2, 3, partner=8))
    pool.leave(lane(1, 1))
    assert pool.enter(lane(2, 3))


def test_the_last_quarter_of_a_share_is_kept_for_connections_that_hold_little():
    pool = Bulkheads(64, partner=0.5, connection=0.25)
    assert sum(pool.enter(lane(1, 1)) for _try in range(20)) == 16
    assert sum(pool.enter(lane(1, 2)) for _try in range(20)) == 8
    assert sum(pool.enter(lane(2, 3)) for _try in range(20)) == 2
    assert pool.enter(lane(2, 4))
    assert not pool.room()(lane(1, 2))
    for _run in range(4):
        pool.leave(lane(1, 1))
    assert pool.leave(lane(1, 1))
    assert pool.room()(lane(1, 2))


def test_the_last_quarter_of_all_is_kept_for_partners_that_hold_little():
    pool = Bulkheads(32, partner=0.5, connection=0.5)
    assert sum(pool.enter(lane(1, 1, partner=1)) for _try in range(20)) == 16
    assert sum(pool.enter(lane(1, 2, partner=2)) for _try in range(20)) == 8
    assert pool.enter(lane(1, 3, partner=3))


def test_where_a_share_is_all_there_is_nothing_is_kept_back():
    pool = Bulkheads(32, partner=1, connection=1)
    assert sum(pool.enter(lane(1, 1)) for _try in range(40)) == 32


def test_a_claim_counts_what_it_lets_through_and_forgets_it():
    pool = Bulkheads(8, partner=0.5, connection=0.25)
    for _claim in range(2):
        admits = pool.room()
        assert [admits(lane(1, 1)) for _try in range(3)] == [True, True, False]
        assert [admits(lane(1, place)) for place in (2, 2, 3)] == [True, True, False]


def test_a_share_that_was_used_up_is_given_out_again_once_a_quarter_is_free():
    pool = Bulkheads(16, partner=1, connection=0.5)
    for _run in range(8):
        pool.put(lane(1, 1))
    assert not pool.leave(lane(1, 1))
    assert not pool.room()(lane(1, 1))
    assert pool.leave(lane(1, 1))
    assert pool.room()(lane(1, 1))


def test_what_others_wait_for_is_given_out_again_soon():
    pool = Bulkheads(16, partner=0.5, connection=0.5)
    for _run in range(8):
        pool.put(lane(1, 1))
    assert not pool.room()(lane(1, 2))
    assert pool.leave(lane(1, 1))
    assert pool.room()(lane(1, 2))


def test_the_smallest_share_is_one_place():
    assert Bulkheads(1, partner=0.1, connection=0.1).enter(lane(1, 1))
