"""When a run is tried again, as a table of all cases."""

import itertools

import pytest

from polyport.engine.retry import Decision, Failure, Policy, decide, policy_of
from polyport.errors import (
    BlockedAddress,
    ConnectionInvalid,
    Details,
    InternalError,
    PartnerError,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    Upstream,
)
from polyport.manifest.retries import Retry

USUAL = policy_of(None, 5)


def failure(kind, status=None, wait=None, *, reached=True, answered=True):
    upstream = Upstream(status=status, message="x")
    return Failure(error=kind(None, Details(upstream=upstream, retry_after_ms=wait)), reached=reached, answered=answered)


def decided(told, *, repeatable=False, attempt=1, policy=USUAL, left_ms=None, jitter=0.5):
    return decide(told, repeatable=repeatable, attempt=attempt, policy=policy, left_ms=left_ms, jitter=jitter)


NOT_SENT = failure(PartnerUnavailable, reached=False, answered=False)
NO_ANSWER = failure(PartnerTimeout, answered=False)
CUT = failure(PartnerUnavailable, answered=False)
BROKEN = failure(PartnerUnavailable, 500)
BUSY = failure(PartnerUnavailable, 503)
BUSY_SAYS = failure(PartnerUnavailable, 503, 2_000)
BAD_GATEWAY_SAYS = failure(PartnerUnavailable, 502, 2_000)
LIMITED = failure(PartnerRateLimited, 429)
LIMITED_SAYS = failure(PartnerRateLimited, 429, 2_000)
LIMITED_IN_200 = failure(PartnerRateLimited, 200, 2_000)
LIMITED_CUT = failure(PartnerRateLimited, 429, 2_000, answered=False)
REFUSED = failure(PartnerError, 422)
INVALID = failure(ConnectionInvalid, 401)
BLOCKED = failure(BlockedAddress, reached=False, answered=False)
OURS = failure(InternalError, reached=True, answered=False)


@pytest.mark.parametrize(
    ("told", "repeatable", "once_only"),
    [
        (NOT_SENT, "waiting", "waiting"),
        (NO_ANSWER, "waiting", "uncertain"),
        (CUT, "waiting", "uncertain"),
        (BROKEN, "waiting", "uncertain"),
        (BUSY, "waiting", "uncertain"),
        (BUSY_SAYS, "waiting", "waiting"),
        (BAD_GATEWAY_SAYS, "waiting", "uncertain"),
        (LIMITED, "waiting", "failed"),
        (LIMITED_SAYS, "waiting", "waiting"),
        (LIMITED_IN_200, "waiting", "failed"),
        (LIMITED_CUT, "waiting", "uncertain"),
        (REFUSED, "failed", "failed"),
        (INVALID, "failed", "failed"),
        (BLOCKED, "failed", "failed"),
        (OURS, "failed", "uncertain"),
    ],
)
def test_a_repeat_is_automatic_only_where_it_is_harmless(told, repeatable, once_only):
    assert decided(told, repeatable=True).status == repeatable
    assert decided(told, repeatable=False).status == once_only


EVERY = [
    failure(kind, status, wait, reached=reached, answered=answered)
    for kind, status, wait, (reached, answered) in itertools.product(
        [PartnerUnavailable, PartnerTimeout, PartnerRateLimited, PartnerError, ConnectionInvalid, BlockedAddress, InternalError],
        [None, 200, 400, 401, 429, 500, 502, 503],
        [None, 0, 2_000],
        [(False, False), (True, False), (True, True)],
    )
]


@pytest.mark.parametrize("attempt", [1, 4, 5, 6])
@pytest.mark.parametrize("left_ms", [None, 0, 2_000, 2_001])
def test_what_may_have_taken_effect_is_never_sent_again_on_its_own(attempt, left_ms):
    for told in EVERY:
        found = decided(told, attempt=attempt, left_ms=left_ms)
        began = told.reached and not (
            told.answered and told.error.details.upstream.status in {429, 503} and told.error.details.retry_after_ms is not None
        )
        if began:
            assert found.status != "waiting"
        else:
            assert found.status != "uncertain"


def test_what_would_end_the_same_way_is_not_tried_again():
    error = PartnerUnavailable(None, Details(upstream=Upstream(status=302, message="x"), retryable=False))
    told = Failure(error=error, reached=True, answered=True)
    assert (decided(told, repeatable=True).status, decided(told).status) == ("failed", "uncertain")


def test_a_last_attempt_and_a_deadline_end_a_run_honestly():
    for told in EVERY:
        for repeatable in (True, False):
            first = decided(told, repeatable=repeatable)
            for end in (decided(told, repeatable=repeatable, attempt=5), decided(told, repeatable=repeatable, left_ms=0)):
                assert end.status == ("failed" if first.status == "waiting" else first.status)
                assert end.wait_ms is None


def test_the_partners_word_on_the_wait_is_kept():
    assert decided(LIMITED_SAYS, attempt=3, jitter=0) == Decision(status="waiting", wait_ms=2_000)


def test_a_wait_that_reaches_the_deadline_is_not_begun():
    assert decided(LIMITED_SAYS, left_ms=2_001).status == "waiting"
    assert decided(LIMITED_SAYS, left_ms=2_000).status == "failed"


@pytest.mark.parametrize(("attempt", "most"), [(1, 1_000), (2, 2_000), (4, 8_000), (9, 256_000), (10, 300_000), (5_000, 300_000)])
def test_without_the_partners_word_the_wait_doubles_with_jitter_up_to_a_limit(attempt, most):
    often = policy_of(None, 10_000)
    assert decided(BROKEN, repeatable=True, attempt=attempt, policy=often, jitter=0).wait_ms == 0
    assert decided(BROKEN, repeatable=True, attempt=attempt, policy=often, jitter=0.5).wait_ms == most // 2
    assert most * 0.99 < decided(BROKEN, repeatable=True, attempt=attempt, policy=often, jitter=0.9999).wait_ms < most


def test_an_operation_says_how_often_and_how_long_it_is_tried():
    told = Retry(attempts=3, first_wait=2, longest_wait=5, within=60)
    policy = policy_of(told, 9)
    assert policy == Policy(attempts=3, first_wait_ms=2_000, longest_wait_ms=5_000, within_ms=60_000)
    assert [decided(BROKEN, repeatable=True, attempt=attempt, policy=policy).wait_ms for attempt in (1, 2, 3)] == [1_000, 2_000, None]
    assert policy_of(Retry(within=60), 9).attempts == 9
    assert policy_of(Retry(first_wait=400, longest_wait=400), 9).longest_wait_ms == 400_000
    assert (policy.left_ms(0), policy.left_ms(59_999), USUAL.left_ms(10**9)) == (60_000, 1, None)


def test_the_partners_word_stands_above_the_waits_of_an_operation():
    policy = policy_of(Retry(first_wait=0.1, longest_wait=1), 9)
    assert decided(LIMITED_SAYS, policy=policy).wait_ms == 2_000


@pytest.mark.parametrize("retry", [Retry(attempts=20, first_wait=0.1, longest_wait=1), Retry(within=604_800), Retry(attempts=1)])
def test_no_word_on_retries_makes_a_request_repeat_that_may_not(retry):
    for told in EVERY:
        usual, found = decided(told), decided(told, policy=policy_of(retry, 5))
        assert found.status == usual.status or (retry.attempts == 1 and (usual.status, found.status) == ("waiting", "failed"))


def test_a_fault_without_an_answer_at_all_is_decided_too():
    told = Failure(error=PartnerUnavailable(), reached=True, answered=True)
    assert decided(told).status == "uncertain"


@pytest.mark.parametrize("attempt", [1, 2, 4])
def test_a_partner_that_refuses_and_says_at_once_gets_the_usual_pause(attempt):
    told = decided(failure(PartnerRateLimited, 429, 0), attempt=attempt, jitter=0.5)
    assert told == Decision(status="waiting", wait_ms=500 * 2 ** (attempt - 1))
