"""Calls that a folder's cases cannot show, since keys and tokens in a folder count as leaked: signed with a key that is made here."""

from datetime import UTC, datetime

from joserfc import jwt
from joserfc.jwk import RSAKey

import bundled
from polyport.kinds.auth.base import Moment
from polyport.net.message import Request

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
APPLICATION = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"


def test_a_call_of_vonage_carries_a_token_that_the_public_key_opens():
    choices = {choice.name: choice for choice in bundled.partner("vonage").file.connection.auth}
    key = RSAKey.generate_key(2048)
    fields = {"application_id": APPLICATION, "private_key": key.as_pem(private=True).decode()}
    asked = Request(method="GET", url="https://api.nexmo.com/v1/calls")
    signed = choices["application"].scheme.sign(asked, fields, Moment(now=NOW, fresh_id=lambda: "id-1"))

    public = RSAKey.import_key(key.as_pem(private=False))
    token = jwt.decode(signed.header("Authorization").removeprefix("Bearer "), public, algorithms=["RS256"])
    now = int(NOW.timestamp())
    assert token.header == {"alg": "RS256", "typ": "JWT"}
    assert token.claims == {"application_id": APPLICATION, "jti": "id-1", "iat": now, "exp": now + 900}
