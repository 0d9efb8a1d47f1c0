"""Tokens that a connection signs for itself, held against RFC 7515, RFC 8037 and the example of jwt.io."""

import base64
import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pydantic import TypeAdapter

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import ExchangeRefused, Moment
from polyport.kinds.auth.jose import signed_token
from polyport.net.message import Reply, Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
MOMENT = Moment(now=NOW, fresh_id=lambda: "id-1")
REQUEST = Request(method="GET", url="https://api.example.com/things")


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def pem_of(private):
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def rfc_7515_key():
    """The RSA key of appendix A.2."""
    n = number(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soM"
        "Zo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAc"
        "o9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    )
    p = number(
        "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJ"
        "TBgIPgtldC-KDV5z-y2XDwGUc"
    )
    q = n // p
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, n)
    return rsa.RSAPrivateNumbers(p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public).private_key()


def test_the_rsa_example_of_rfc_7515():
    payload = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
    assert signed_token("RS256", pem_of(rfc_7515_key()), payload) == (
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLg"
        "rnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY"
        "9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    )


def test_the_ed25519_example_of_rfc_8037():
    private = ed25519.Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="))
    assert signed_token("EdDSA", pem_of(private), b"Example of Ed25519 signing") == (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


def test_the_example_of_jwt_io():
    claims = {"sub": "1234567890", "name": "John Doe", "iat": 1516239022}
    assert signed_token("HS256", "your-256-bit-secret", claims, {"typ": "JWT"}) == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    )


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def test_a_key_of_two_parts_as_ghost_gives_it():
    told = SCHEME.validate_python(
        {
            "kind": "jwt",
            "algorithm": "HS256",
            "key": '{{connection.key | split: ":" | last}}',
            "keyEncoding": "hex",
            "header": {"kid": '{{connection.key | split: ":" | first}}'},
            "claims": {"aud": "/admin/"},
            "prefix": "Ghost",
        }
    )
    signed = told.sign(REQUEST, {"key": "6489:aabbccdd"}, MOMENT)
    prefix, token = signed.header("Authorization").split(" ")
    assert prefix == "Ghost"
    assert parts(token) == [
        {"alg": "HS256", "typ": "JWT", "kid": "6489"},
        {"iat": SECONDS, "exp": SECONDS + 300, "aud": "/admin/"},
    ]
    assert token in signed.secrets
    assert told.needed == frozenset()


def test_a_token_in_another_place_with_claims_of_every_kind():
    key = ec.generate_private_key(ec.SECP256R1())
    told = SCHEME.validate_python(
        {
            "kind": "jwt",
            "algorithm": "ES256",
            "lifetime": 60,
            "backdate": 10,
            "claims": {"jti": "{{nonce}}", "exp": "{{expires}}", "nbf": "{{now}}", "acl": {"paths": {"/*": {}}, "n": [1]}},
            "place": [{"in": "query", "param": "jwt", "value": "{{jwt}}"}],
        }
    )
    signed = told.sign(REQUEST, {"private_key": pem_of(key)}, MOMENT)
    token = jwt.decode(signed.url.partition("?jwt=")[2], ECKey.import_key(pem_of(key)), algorithms=["ES256"])
    assert token.claims == {
        "iat": SECONDS - 10,
        "exp": SECONDS + 50,
        "jti": "id-1",
        "nbf": SECONDS - 10,
        "acl": {"paths": {"/*": {}}, "n": [1]},
    }
    assert signed.header("Authorization") is None
    assert told.needed == {"private_key"}
    bare = SCHEME.validate_python({"kind": "jwt", "algorithm": "HS256", "key": "{{connection.k}}", "prefix": ""})
    assert " " not in bare.sign(REQUEST, {"k": "s"}, MOMENT).header("Authorization")


BEARER = {
    "kind": "jwt_bearer",
    "tokenUrl": "https://oauth2.example.com/token",
    "scopes": ["https://a.example.com/auth/x", "y"],
    "assertion": {
        "keyFile": "{{connection.key_file}}",
        "header": {"kid": "{{key.private_key_id}}"},
        "claims": {"iss": "{{key.client_email}}"},
        "lifetime": 3600,
    },
}


def test_a_service_account_exchanges_its_assertion():
    pem = pem_of(rfc_7515_key())
    told = SCHEME.validate_python(BEARER | {"learn": {"site": {"at": "site", "pattern": "[a-z]+"}}, "tokenParams": {"x": "1"}})
    given = {"key_file": json.dumps({"client_email": "a@b.example.com", "private_key": pem, "private_key_id": "k-1"})}
    asking = told.obtain(given, MOMENT)
    asked = next(asking)
    form = dict(parse_qsl(asked.body.decode()))
    token = jwt.decode(form["assertion"], RSAKey.import_key(pem), algorithms=["RS256"])
    assert (form["grant_type"], form["x"]) == ("urn:ietf:params:oauth:grant-type:jwt-bearer", "1")
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": "k-1"}
    assert token.claims == {
        "aud": "https://oauth2.example.com/token",
        "scope": "https://a.example.com/auth/x y",
        "iat": SECONDS,
        "exp": SECONDS + 3600,
        "iss": "a@b.example.com",
    }
    assert form["assertion"] in asked.secrets
    with pytest.raises(StopIteration) as done:
        asking.send(Reply(status=200, body=b'{"access_token": "t-1", "expires_in": 60, "site": "acme"}'))
    grant = done.value.value
    assert (grant.values, grant.learned, grant.expires_at) == ({"access_token": "t-1"}, {"site": "acme"}, SECONDS + 60)
    assert told.sign(REQUEST, given | grant.values, MOMENT).header("Authorization") == "Bearer t-1"
    assert told.exchanges
    assert (told.learns, told.learn_pattern("site"), told.supplied, told.needed) == ({"site"}, "[a-z]+", {"access_token"}, frozenset())
    assert told.pretended() == {"access_token": "[secret]"}


def test_a_refused_assertion_keeps_the_partners_words():
    told = SCHEME.validate_python(
        {
            "kind": "jwt_bearer",
            "tokenUrl": "https://a.example.com/t",
            "prefix": "",
            "assertion": {"algorithm": "HS256", "claims": {"aud": "x"}},
        }
    )
    asking = told.obtain({"private_key": "s"}, MOMENT)
    assertion = dict(parse_qsl(next(asking).body.decode()))["assertion"]
    assert parts(assertion)[1]["aud"] == "x"
    with pytest.raises(ExchangeRefused) as refused:
        asking.send(Reply(status=400, body=b'{"error": "invalid_grant", "error_description": "Unknown issuer"}'))
    assert (refused.value.message, refused.value.code) == ("Unknown issuer", "invalid_grant")
    assert told.sign(REQUEST, {"access_token": "t"}, MOMENT).header("Authorization") == "t"
    with pytest.raises(RenderFault, match="no access token"):
        told.sign(REQUEST, {}, MOMENT)


@pytest.mark.parametrize("text", ["no json", "[]", "\ud800", "[" * 100_000])
def test_a_key_file_that_is_none_is_told_and_not_repeated(text):
    with pytest.raises(RenderFault, match="JSON file, whole"):
        next(SCHEME.validate_python(BEARER).obtain({"key_file": text}, MOMENT))
