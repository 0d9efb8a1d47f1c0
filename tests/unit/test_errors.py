"""The error tree and its table."""

import pytest

from polyport import errors
from polyport.errors import (
    BY_CODE,
    TABLE,
    CallerError,
    Details,
    Fault,
    InternalError,
    PartnerError,
    PartnerFault,
    PolyportError,
    Upstream,
    ValidationFailed,
)

CONTRACT = {
    400: {"malformed_json", "bad_request"}, 401: {"unauthenticated", "token_expired"}, 403: {"forbidden", "blocked_address"}, 404: {"not_found"},
    405: {"method_not_allowed"}, 413: {"payload_too_large"}, 415: {"unsupported_media_type"},
    409: {"idempotency_in_progress", "connection_invalid", "conflict", "cancelled"}, 410: {"link_expired", "link_used"},
    422: {"validation_failed", "idempotency_mismatch", "unsupported_trigger"}, 424: {"partner_error", "partner_rate_limited"}, 429: {"rate_limited"},
    500: {"internal_error"}, 502: {"partner_unavailable"}, 503: {"overloaded"}, 504: {"partner_timeout"},
}  # fmt: skip


def leaves(kind):
    below = kind.__subclasses__()
    return [leaf for inner in below for leaf in leaves(inner)] if below else [kind]


def test_the_table_is_that_of_the_contract():
    found = {}
    for row in TABLE.values():
        found.setdefault(row.status, set()).add(row.code)
    assert found == CONTRACT


def test_every_error_that_can_be_raised_has_a_row_and_a_sentence():
    assert set(leaves(PolyportError)) == set(TABLE)
    for kind in TABLE:
        assert kind().message == kind.__doc__.strip()
        assert kind().message.endswith((".", '"', "/subscriptions."))
        assert kind.__name__ in errors.__doc__


def test_codes_are_unique():
    assert len(BY_CODE) == len(TABLE)


def test_the_branches_of_the_tree_carry_no_code_of_their_own():
    assert {PolyportError, CallerError, PartnerFault}.isdisjoint(TABLE)


WHOLE = Details(
    fields=(Fault(path="runnerData.a", code="required", message="M."),), upstream=Upstream(status=400, message="m", body={"a": 1}), retry_after_ms=0,
    suggested_fix="Do.", reconnect_url="https://x", outcome="uncertain", retryable=True,
)  # fmt: skip


def test_a_record_holds_every_fact_in_the_words_of_the_wire():
    assert PartnerError("why", WHOLE).as_record() == {
        "code": "partner_error", "message": "why", "retryable": True, "retryAfterMs": 0,
        "fields": [{"path": "runnerData.a", "code": "required", "message": "M."}], "upstream": {"status": 400, "message": "m", "body": {"a": 1}},
        "suggestedFix": "Do.", "reconnectUrl": "https://x", "outcome": "uncertain",
    }  # fmt: skip


def test_a_record_holds_nothing_that_is_not_there():
    assert InternalError().as_record() == {
        "code": "internal_error", "message": "Something went wrong on this server. The request id leads to the log entry.", "retryable": False,
    }  # fmt: skip
    assert Upstream(status=None, message="m").as_dict() == {"status": None, "message": "m"}


@pytest.mark.parametrize("kind", list(TABLE))
def test_a_stored_error_is_given_again_as_it_was(kind):
    for details in (Details(), WHOLE):
        first = kind("why", details)
        again = PolyportError.from_record(first.as_record())
        assert type(again) is kind
        assert again.as_record() == first.as_record()
        assert again.status == first.status


def test_a_record_of_an_unknown_code_is_an_internal_error():
    assert isinstance(PolyportError.from_record({"code": "old", "message": "m"}), InternalError)


def test_faults_make_a_validation_error():
    found = ValidationFailed.of(Fault(path="a", code="b", message="c"), Fault(path="d", code="e", message="f"))
    assert [fault.path for fault in found.details.fields] == ["a", "d"]
    assert found.status == 422
