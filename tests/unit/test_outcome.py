"""The error a caller gets: the true reason, the field, what to do next, and no secret."""

from decimal import Decimal

import pytest

from polyport.engine.outcome import BODY_LIMIT, error_of, failure_of_network, failure_of_redirect, in_doubt, settled, small_body, too_late
from polyport.engine.parse import FieldFault, Verdict
from polyport.engine.schema import build_schema, custom_name
from polyport.errors import (
    ConnectionInvalid,
    Details,
    PartnerError,
    PartnerRateLimited,
    PartnerTimeout,
    PartnerUnavailable,
    Upstream,
)
from polyport.net.message import NetworkFault
from polyport.redaction import Redactor
from samples import action, custom, field, schema_of

NOTHING = Redactor([])


def error(kind="failed", redactor=NOTHING, schema=None, body=None, **keys):
    told = {"status": 422, "message": "why"} | keys
    return error_of(Verdict(kind=kind, **told), schema, redactor, body)


@pytest.mark.parametrize(
    ("kind", "code", "status", "retryable"),
    [
        ("invalid_input", "partner_error", 424, False), ("not_found", "partner_error", 424, False), ("conflict", "partner_error", 424, False),
        ("forbidden", "partner_error", 424, False), ("failed", "partner_error", 424, False), ("expired_token", "connection_invalid", 409, False),
        ("invalid_connection", "connection_invalid", 409, False), ("rate_limited", "partner_rate_limited", 424, True),
        ("unavailable", "partner_unavailable", 502, True),
    ],
)  # fmt: skip
def test_every_kind_becomes_the_error_of_the_contract_with_a_fix(kind, code, status, retryable):
    found = error(kind)
    assert (found.code, found.status, found.retryable) == (code, status, retryable)
    assert found.details.suggested_fix
    assert found.details.upstream == Upstream(status=422, message="why")


def test_a_refusal_says_the_partners_own_message():
    assert error().message == "The partner refused the request: why"
    assert error("unavailable", status=503).message == "The partner answered with status 503."


def test_the_rules_own_fix_and_wait_are_kept():
    found = error("rate_limited", suggested_fix="Wait.", retry_after_ms=5)
    assert (found.details.suggested_fix, found.details.retry_after_ms) == ("Wait.", 5)


def test_every_faulty_field_is_told_under_the_callers_names_and_without_secrets():
    faults = (FieldFault(field="email", message="taken by s3cret-value-1", code="taken"), FieldFault(field="size", message="too big"))
    schema = schema_of(field("email"), customFields={"list": "people"}, custom_fields=(custom("size"),))
    found = error("invalid_input", Redactor(["s3cret-value-1"]), schema, faults=faults).details.fields
    assert [(fault.path, fault.code) for fault in found] == [
        ("runnerData.email", "taken"),
        (f"runnerData.{custom_name('size')}", "refused_by_partner"),
    ]
    assert "s3cret" not in found[0].message
    assert found[1].message == "too big"
    assert error("forbidden", faults=faults).details.fields == ()


def test_the_field_is_named_in_the_callers_words():
    found = error("invalid_input", field="email", code="taken")
    assert [(fault.path, fault.code, fault.message) for fault in found.details.fields] == [("email", "taken", "why")]
    schema = schema_of(field("email"), customFields={"list": "people"}, custom_fields=(custom("size"),))
    assert error("conflict", field="email", schema=schema).details.fields[0].path == "runnerData.email"
    assert error("conflict", field="email", schema=schema).details.fields[0].code == "refused_by_partner"
    assert error("failed", field="size", schema=schema).details.fields[0].path == f"runnerData.{custom_name('size')}"
    assert error("unavailable", field="email", schema=schema).details.fields == ()
    assert error("failed", schema=build_schema(action())).details.fields == ()


def test_a_secret_that_the_partner_repeats_leaves_in_no_part_of_the_error():
    secret = "canary-1234567890"
    found = error("invalid_input", Redactor([secret]), message=f"bad {secret}", code=secret, field=secret, body={"a": [secret], secret: 1})
    assert secret not in str(found.as_record())
    assert secret not in str(found)


def test_a_body_that_is_small_is_shown_and_a_large_one_is_not():
    assert small_body(NOTHING, {"a": Decimal("1.10")}) == {"a": Decimal("1.10")}
    assert small_body(NOTHING, None) is None
    assert small_body(NOTHING, "a" * BODY_LIMIT) is None
    assert small_body(NOTHING, "a" * (BODY_LIMIT - 2)) is not None
    assert small_body(NOTHING, {"a": object}) is None
    deep = 1
    for _ in range(5_000):
        deep = [deep]
    assert small_body(NOTHING, deep) is None or len(str(small_body(NOTHING, deep))) < BODY_LIMIT


@pytest.mark.parametrize(("timed_out", "kind"), [(True, PartnerTimeout), (False, PartnerUnavailable)])
@pytest.mark.parametrize("reached", [True, False])
def test_a_request_without_an_answer_says_whether_it_may_have_arrived(timed_out, kind, reached):
    found = failure_of_network(NetworkFault("cut", reached=reached, timed_out=timed_out))
    assert (type(found.error), found.reached, found.answered) == (kind, reached, False)
    assert found.error.details.upstream == Upstream(status=None, message="cut")


def test_a_request_that_our_own_stop_cut_says_nothing_of_the_partner():
    found = failure_of_network(NetworkFault("stopped", reached=True, stopped=True))
    assert (type(found.error), found.error.message, found.error.details.upstream) == (PartnerUnavailable, "stopped", None)
    assert "this server stopped" in str(found.error.details.suggested_fix)
    assert in_doubt(found.error).as_record()["outcome"] == "uncertain"


def test_a_redirect_is_no_word_on_what_was_asked():
    verdict = Verdict(kind="failed", status=302, message="key s3cret", elsewhere=True)
    found = failure_of_redirect(verdict, Redactor(["s3cret"]))
    assert (found.reached, found.answered, found.error.code, found.error.retryable) == (True, True, "partner_unavailable", False)
    assert "status 302" in found.error.message
    assert found.error.details.upstream.message == "key [secret]"


def test_doubt_is_said_and_a_repeat_is_not_recommended():
    found = in_doubt(PartnerUnavailable("m", Details(retry_after_ms=5, upstream=Upstream(status=502, message="x"))))
    record = found.as_record()
    assert (record["outcome"], record["retryable"], record["code"], record["message"]) == ("uncertain", False, "partner_unavailable", "m")
    assert "retryAfterMs" not in record
    assert record["upstream"]["status"] == 502


@pytest.mark.parametrize(
    ("told", "repeatable", "doubtful"),
    [
        (PartnerUnavailable(), False, True), (PartnerTimeout(), False, True), (PartnerUnavailable(), True, False), (PartnerError(), False, False),
        (PartnerRateLimited(), False, False), (ConnectionInvalid(), False, False), (PartnerUnavailable(None, Details(retry_after_ms=5)), False, False),
    ],
)  # fmt: skip
def test_a_final_failure_says_whether_a_repeat_does_harm(told, repeatable, doubtful):
    assert (settled(told, repeatable=repeatable).details.outcome == "uncertain") is doubtful


def test_a_run_whose_time_is_over_says_whether_anything_was_sent():
    assert too_late(1).message.endswith("nothing was sent.")
    assert "nothing was sent" not in too_late(2).message
