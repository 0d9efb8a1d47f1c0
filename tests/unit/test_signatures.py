"""Signatures of requests that reach us, held against the examples that partners publish."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polyport.engine.signatures import Incoming, SignatureCheck, Unsigned
from polyport.manifest.hooks import Signature

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def signature(**keys):
    return SignatureCheck(Signature.model_validate(keys, by_alias=True, by_name=False))


def request(body=b"", url="https://us.example/hooks/1", method="POST", **headers):
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Incoming(method=method, url=url, headers=pairs, body=body)


def refusal(check, *arguments):
    with pytest.raises(Unsigned) as caught:
        check.check(*arguments)
    return str(caught.value)


# Published examples

GITHUB = {"header": "X-Hub-Signature-256", "prefix": "sha256="}
SLACK = {
    "header": "X-Slack-Signature",
    "prefix": "v0=",
    "signed": "v0:{{timestamp}}:{{body}}",
    "timestamp": {"header": "X-Slack-Request-Timestamp"},
}
STRIPE = {
    "header": "Stripe-Signature",
    "separator": ",",
    "part": "v1",
    "signed": "{{timestamp}}.{{body}}",
    "timestamp": {"header": "Stripe-Signature", "part": "t"},
}
STANDARD = {
    "header": "webhook-signature",
    "separator": " ",
    "joint": ",",
    "part": "v1",
    "encoding": "base64",
    "signed": '{{header["webhook-id"]}}.{{timestamp}}.{{body}}',
    "keyPrefix": "whsec_",
    "keyEncoding": "base64",
    "timestamp": {"header": "webhook-timestamp"},
}
TWILIO = {"header": "X-Twilio-Signature", "algorithm": "sha1", "encoding": "base64", "signed": "{{url}}{{form_text}}"}


def test_the_example_of_github_passes():
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    sent = request(b"Hello, World!", X_Hub_Signature_256=f"sha256={digest}")

    signature(**GITHUB).check(sent, "It's a Secret to Everybody", NOW)


def test_the_example_of_slack_passes_at_its_time():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA"
        b"&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
        b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    told = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    sent = request(body, X_Slack_Signature=told, X_Slack_Request_Timestamp="1531420618")
    check, secret = signature(**SLACK), "8f742231b10e8888abcd99yyyzzz85a5"

    check.check(sent, secret, datetime.fromtimestamp(1531420618 + 60, UTC))
    assert refusal(check, sent, secret, NOW) == "The signature is too old, or of another time."


def test_the_example_of_the_standard_webhooks_passes():
    sent = request(
        b'{"test": 2432232314}',
        webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        webhook_timestamp="1614265330",
        webhook_signature="v1,bm9wZQ== v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    )

    signature(**STANDARD).check(sent, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC))


def test_the_example_of_twilio_passes():
    form = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    sent = request(form, "https://mycompany.com/myapp.php?foo=1&bar=2", X_Twilio_Signature="RSOYDt4T1cUTdK1PDd93/VVr8B8=")

    signature(**TWILIO).check(sent, "12345", NOW)


def test_a_signature_of_stripe_passes_by_any_of_its_values():
    body = b'{"id": "evt_1"}'
    digest = hmac.new(b"whsec_test", b"1492774577." + body, hashlib.sha256).hexdigest()
    sent = request(body, Stripe_Signature=f"t=1492774577,v1={'0' * 64},v1={digest},v0=ignored")

    signature(**STRIPE).check(sent, "whsec_test", datetime.fromtimestamp(1492774577, UTC))


def test_the_first_example_of_ed25519_in_rfc_8032_passes():
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    told = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    check = signature(kind="ed25519", header="X-Signature-Ed25519", publicKey="{{secret}}")

    check.check(request(X_Signature_Ed25519=told), key, NOW)
    assert refusal(check, request(b"x", X_Signature_Ed25519=told), key, NOW) == "The signature does not fit the request."


@pytest.mark.parametrize("size", [1, 2, 6])
def test_hmac_is_that_of_rfc_4231(size):
    key, data, digest = {
        1: (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        2: (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        6: (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    }[size]

    signature(header="X-S", keyEncoding="hex").check(request(data, X_S=digest), key.hex(), NOW)


# Keys of other kinds


def signed_by(kind):
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
        return key.public_key(), key.sign(b"body", padding.PKCS1v15(), hashes.SHA256())
    if kind == "ecdsa":
        key = ec.generate_private_key(ec.SECP256R1())
        return key.public_key(), key.sign(b"body", ec.ECDSA(hashes.SHA256()))
    key = ed25519.Ed25519PrivateKey.generate()
    return key.public_key(), key.sign(b"body")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_public_key_is_read_in_either_form(kind, form):
    public, signed = signed_by(kind)
    data = public.public_bytes(Encoding.PEM if form == "pem" else Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = data.decode() if form == "pem" else base64.b64encode(data).decode()
    check = signature(kind=kind, header="X-S", encoding="base64url", publicKey=text)
    told = base64.urlsafe_b64encode(signed).decode().rstrip("=")

    check.check(request(b"body", X_S=told), None, NOW)
    assert refusal(check, request(b"bodY", X_S=told), None, NOW) == "The signature does not fit the request."


@pytest.mark.parametrize("key", ["nonsense", "00" * 31, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_a_public_key_that_is_none_is_told(key):
    check = signature(kind="rsa", header="X-S")

    assert refusal(check, request(X_S="00"), key, NOW) == "The public key of the signatures cannot be read."


def test_a_public_key_of_another_kind_is_told():
    check = signature(kind="rsa", header="X-S")

    assert "cannot be read" in refusal(check, request(X_S="00"), "00" * 32, NOW)


# Tokens


@pytest.mark.parametrize("place", [{"header": "X-Token"}, {"query": "token"}, {"at": "auth.token"}])
def test_a_shared_token_passes_where_it_has_to_stand(place):
    sent = request(b'{"auth": {"token": "sesame-1"}}', "https://us.example/h?token=sesame-1", X_Token="sesame-1")
    check = signature(kind="token", **place)

    check.check(sent, "sesame-1", NOW)
    assert refusal(check, sent, "sesame-2", NOW) == "The token is not the one that was agreed on."


def test_a_key_may_be_a_field_of_the_connection():
    check = signature(kind="token", header="X-Token", key="{{connection.hook_token}}")

    check.check(request(X_Token="sesame-1"), None, NOW, {"hook_token": "sesame-1"})
    assert refusal(check, request(X_Token="sesame-1"), None, NOW, {"hook_token": ["x"]}) == "The secret of the signatures is not known."


# Refusals


@pytest.mark.parametrize(
    ("keys", "sent", "reason"),
    [
        ({"header": "X-S"}, request(b"x"), "There is no signature."),
        ({"header": "X-S"}, request(b"x", X_S="  "), "There is no signature."),
        ({"query": "s"}, request(b"x"), "There is no signature."),
        ({"at": "s"}, request(b'{"s": {"a": 1}}'), "There is no signature."),
        ({"at": "s"}, request(b'{"s": 1' + b"0" * 4_250 + b"}"), "There is no signature."),
        ({"at": "s"}, request(b"no json"), "There is no signature."),
        ({"header": "X-S", "prefix": "sha256="}, request(b"x", X_S="sha1=00"), "There is no signature."),
        ({"header": "X-S", "separator": ",", "part": "v1"}, request(b"x", X_S="t=1,v0=00,v1"), "There is no signature."),
        ({"header": "X-S"}, request(b"x", X_S="not hex"), "The signature does not fit the request."),
        ({"header": "X-S", "encoding": "base64"}, request(b"x", X_S="n!"), "The signature does not fit the request."),
        ({"header": "X-S"}, request(b"x", X_S="00é"), "The signature does not fit the request."),
        (
            {"header": "X-S", "signed": "{{header.x-id}}.{{body}}"},
            request(b"x", X_S="00"),
            "The request lacks a part of what has to be signed.",
        ),
        ({"header": "X-S", "signed": "{{json.a}}-"}, request(b'{"a": []}', X_S="00"), "The request lacks a part of what has to be signed."),
        ({"header": "X-S", "timestamp": {"header": "X-T"}}, request(b"x", X_S="00"), "There is no time of signing."),
        ({"header": "X-S", "timestamp": {"header": "X-T"}}, request(b"x", X_S="00", X_T="soon"), "There is no time of signing."),
        ({"header": "X-S", "timestamp": {"header": "X-T"}}, request(b"x", X_S="00", X_T="9" * 40), "There is no time of signing."),
        (
            {"header": "X-S", "timestamp": {"header": "X-T", "unit": "iso8601"}},
            request(b"x", X_S="00", X_T="soon"),
            "There is no time of signing.",
        ),
        ({"header": "X-S", "keyEncoding": "hex"}, request(b"x", X_S="00"), "The secret of the signatures is not written as it has to be."),
    ],
)
def test_what_is_not_signed_is_refused_with_the_reason(keys, sent, reason):
    assert refusal(signature(**keys), sent, "secret-1", NOW) == reason


def test_without_a_secret_nothing_passes():
    assert refusal(signature(header="X-S"), request(X_S="00"), None, NOW) == "The secret of the signatures is not known."
    assert refusal(signature(header="X-S"), request(X_S="00"), "", NOW) == "The secret of the signatures is not known."


@pytest.mark.parametrize(
    ("unit", "text"),
    [("seconds", "1795608000"), ("milliseconds", "1795608000000"), ("iso8601", "2026-11-25T12:00:00Z"), ("iso8601", "2026-11-25T12:00:00")],
)
def test_the_time_of_signing_is_read_in_its_unit(unit, text):
    digest = hmac.new(b"k", text.encode(), hashlib.sha256).hexdigest()
    check = signature(header="X-S", signed="{{timestamp}}", timestamp={"header": "X-T", "unit": unit}, tolerance=10)
    sent = request(X_S=digest, X_T=text)

    for apart in (-10, 10):
        check.check(sent, "k", NOW + timedelta(seconds=apart))
    for apart in (-11, 11):
        assert "too old" in refusal(check, sent, "k", NOW + timedelta(seconds=apart))


def test_bytes_that_are_no_text_are_signed_as_they_came():
    body = bytes(range(256))
    digest = hmac.new(b"k", body + b"/hooks/1", hashlib.sha256).hexdigest()

    signature(header="X-S", signed="{{body}}{{path}}").check(request(body, X_S=digest), "k", NOW)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "exactly one of header, query and at"),
        ({"header": "a", "query": "b"}, "exactly one of header, query and at"),
        ({"header": "a", "part": "v1"}, "separator and part go together"),
        ({"header": "a", "timestamp": {"header": "a", "part": "t"}}, "needs the separator"),
        ({"header": "a", "kind": "token", "signed": "{{url}}"}, "a token signs nothing"),
    ],
)
def test_a_declaration_that_does_not_agree_is_refused(keys, sentence):
    with pytest.raises(ValidationError, match=sentence):
        signature(**keys)


EACH = [
    GITHUB,
    SLACK,
    STRIPE,
    STANDARD,
    TWILIO,
    {"kind": "ed25519", "header": "X-S", "encoding": "base64"},
    {"at": "s", "signed": "{{json}}"},
]


@given(st.sampled_from(EACH), st.binary(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_no_request_makes_a_check_fail_in_another_way(keys, body, text, query):
    headers = {keys.get("header", "x").replace("-", "_"): text, "X_Slack_Request_Timestamp": "1795608000", "webhook_timestamp": text}

    with pytest.raises(Unsigned):
        signature(**keys).check(request(body, f"https://us.example/?{query}", **headers), "00" * 32, NOW)
