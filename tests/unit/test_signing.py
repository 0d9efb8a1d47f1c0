"""Signatures of events: what the library's verifier takes, and how secrets follow each other."""

import time

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from polyport.signing import KEPT_MOST, headers_of, new_secret, pack, rotated, unpack, valid

BODY = '{"type":"run.finished","data":{"name":"Zoë"}}'.encode()


def test_the_verifier_of_the_library_takes_what_is_signed():
    now = int(time.time() * 1000)
    secret = new_secret(now)
    headers = dict(headers_of("evt_1", BODY, [secret], now))

    assert Webhook(secret.text).verify(BODY, headers)["data"] == {"name": "Zoë"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret.text).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret(now).text).verify(BODY, headers)


def test_a_rotation_keeps_the_old_secret_for_as_long_as_it_is_told():
    first = new_secret(0)
    held = rotated([first], keep_ms=100, now=1_000)

    assert [secret.until for secret in held] == [None, 1_100]
    assert valid(held, 1_099) == held
    assert valid(held, 1_100) == held[:1]
    assert [secret.text for secret in rotated(held, keep_ms=0, now=1_050)[1:]] == [first.text]


def test_rotations_in_a_row_keep_a_few_secrets_alone():
    held = [new_secret(0)]
    for _rotation in range(10):
        held = rotated(held, keep_ms=10_000, now=1_000)

    assert len(held) == KEPT_MOST
    assert len({secret.text for secret in held}) == KEPT_MOST
    assert [secret.until is None for secret in held] == [True] + [False] * (KEPT_MOST - 1)


def test_secrets_come_back_as_they_were_kept_and_show_themselves_nowhere():
    held = rotated([new_secret(0)], keep_ms=5, now=1)

    assert unpack(pack(held)) == held
    assert all(secret.text[6:] not in repr(held) for secret in held)
    assert held[0].hint == f"...{held[0].text[-4:]}"
