"""How a simulated partner knows its callers: tokens in every place, accounts, signatures, and tokens that it hands out itself."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import msgspec
import pytest
from oauthlib.oauth1 import Client

from polyport.testing.proofs import is_oauth1, is_sigv4
from polyport.testing.traffic import Incoming
from simulated_partner import NOW, Partner


class TokenPartner(Partner):
    def status(self, method, path, body=b"", **headers):
        return self.send(method, path, body, **headers).status

    def token(self, **form):
        answer = self.send("POST", "/token", urlencode(form).encode(), content_type="application/x-www-form-urlencoded")
        return answer.status, msgspec.json.decode(answer.body)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# Tokens and accounts


@pytest.mark.parametrize(
    ("auth", "path", "sent"),
    [
        ("cookies: [sid]", "/x", {"cookie": "a=b; sid=TOKEN"}),
        ("query: [key]", "/x?key=TOKEN", {}),
        ("headers: [x-key]", "/x", {"x_key": "TOKEN"}),
        ("headers: [authorization]", "/x", {"authorization": "Token TOKEN"}),
        ("body: [auth.key]", "/x", {"body": b'{"auth": {"key": "TOKEN"}}'}),
        ("path: [/botTOKENPLACE]", "/botTOKEN/getMe", {}),
        ("path: [/file/botTOKENPLACE]", "/file/botTOKEN/getMe", {}),
    ],
)
def test_a_token_is_found_where_it_has_to_stand_and_nowhere_else(tmp_path, auth, path, sent):
    routes = '[{route: GET /x}, {route: "GET /bot{token}/getMe"}, {route: "GET /file/bot{token}/getMe"}]'
    partner = TokenPartner(
        tmp_path,
        f"auth: {{{auth.replace('TOKENPLACE', '{token}')}}}\nroutes: {routes}".replace("[/bot{token}]", '["/bot{token}"]').replace(
            "[/file/bot{token}]", '["/file/bot{token}"]'
        ),
    )

    def ask(token):
        filled = {
            name: value.replace(b"TOKEN", token.encode()) if isinstance(value, bytes) else value.replace("TOKEN", token)
            for name, value in sent.items()
        }
        body = filled.pop("body", b"")
        return partner.status("GET", path.replace("TOKEN", token), body, **filled)

    assert ask("abc-1") == 200
    assert ask("bad-token") == 401
    assert partner.status("GET", "/x") == 401


def test_a_body_that_cannot_be_read_carries_no_token(tmp_path):
    partner = TokenPartner(tmp_path, "auth: {body: [key]}\nroutes: [{route: POST /x}]")

    assert partner.status("POST", "/x", b"{", content_type="application/json") == 401


def test_recorded_answers_are_found_whatever_token_stands_in_the_path(tmp_path):
    (tmp_path / "cases" / "get_me").mkdir(parents=True)
    (tmp_path / "cases" / "get_me" / "ok.yaml").write_text(
        "{title: t, result: {}, exchanges: [{request: {method: GET, url: 'https://api.example/bot123:abc/getMe'}, reply: {json: {ok: true}}}]}"
    )
    partner = TokenPartner(tmp_path, 'auth: {path: ["/bot{token}"]}')

    assert partner.send("GET", "/bot9:other/getMe").body == b'{"ok":true}'
    assert partner.status("GET", "/bot9:other/getYou") == 404


@pytest.mark.parametrize(
    ("auth", "header", "status"),
    [
        ("{accounts: {ada: pass-word-1}}", basic("ada", "pass-word-1"), 200),
        ("{accounts: {ada: pass-word-1}}", basic("ada", "other"), 401),
        ("{accounts: {ada: pass-word-1}}", basic("bob", "pass-word-1"), 401),
        ("{accounts: {ada: pass-word-1}}", "Bearer abc", 200),
        ("{basic: required, accounts: {ada: pass-word-1}}", "Bearer abc", 401),
        ("{basic: refused}", basic("ada", "x"), 401),
        ("{basic: required}", basic("ada", "x"), 200),
        ("{allOf: [{at: header.x-account, equals: '7'}]}", "Bearer abc", 401),
    ],
)
def test_accounts_and_further_conditions_are_checked(tmp_path, auth, header, status):
    partner = TokenPartner(tmp_path, f"auth: {auth}\nroutes: [{{route: GET /x}}]")

    assert partner.status("GET", "/x", authorization=header) == status


def test_several_values_may_be_needed_at_once(tmp_path):
    partner = TokenPartner(tmp_path, "auth: {query: [token], allOf: [{at: query.key, equals: k1}]}\nroutes: [{route: GET /x}]")

    assert [partner.status("GET", f"/x?token=t&key={key}") for key in ("k1", "k2")] == [200, 401]


# AWS Signature Version 4: the get-vanilla cases of the published test suite

KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


def aws(signature, *, query="", path="/", method="GET", service="service", names="host;x-amz-date", **headers):
    told = (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders={names}, Signature={signature}"
    )
    pairs = {
        "host": "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": told,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return Incoming(method=method, path=path, query=query, headers=tuple(pairs.items()))


VANILLA = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def test_the_published_signatures_of_aws_pass():
    assert is_sigv4(aws(VANILLA), KEYS, AT, 60)
    ordered = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    assert is_sigv4(aws(ordered, query="Param2=value2&Param1=value1"), KEYS, AT, 60)
    assert is_sigv4(aws("5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", method="POST"), KEYS, AT, 60)


@pytest.mark.parametrize(
    "sent",
    [
        aws("0" * 64),
        aws(VANILLA, query="a=b"),
        aws(VANILLA, x_amz_content_sha256="0" * 64),
        aws(VANILLA, x_amz_content_sha256="UNSIGNED-PAYLOAD"),
        aws(VANILLA, names="x-amz-date"),
        aws(VANILLA, x_amz_date="20150830T999999Z"),
        aws(VANILLA, x_amz_date="20150831T123600Z"),
        aws(VANILLA, authorization="AWS4-HMAC-SHA256 nonsense"),
    ],
)
def test_other_signatures_of_aws_do_not_pass(sent):
    assert not is_sigv4(sent, KEYS, AT, 60)


def test_a_signature_of_aws_has_its_time_and_its_key():
    assert not is_sigv4(aws(VANILLA), KEYS, AT + timedelta(seconds=61), 60)
    assert not is_sigv4(aws(VANILLA), {"AKIDEXAMPLE": "other"}, AT, 60)
    assert not is_sigv4(aws(VANILLA), {}, AT, 60)


def sign_aws(path, canonical_path, service, payload="UNSIGNED-PAYLOAD"):
    canonical = f"GET\n{canonical_path}\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n{payload}"
    scope = f"20150830/us-east-1/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{KEYS['AKIDEXAMPLE']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return aws(hmac.digest(key, text.encode(), "sha256").hex(), path=path, service=service, x_amz_content_sha256=payload)


def test_the_path_is_signed_as_the_service_has_it():
    empty = hashlib.sha256(b"").hexdigest()

    assert is_sigv4(sign_aws("/a%20b//c/./d", "/a%20b//c/./d", "s3"), KEYS, AT, 60)
    assert is_sigv4(sign_aws("/a%20b//c/../d/", "/a%2520b/d/", "iam", empty), KEYS, AT, 60)


# OAuth 1.0a


def test_the_published_example_of_twitter_passes():
    told = {
        "oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog",
        "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        "oauth_signature": "tnnArxj06cWHq44gCs1OSKk/jLY=",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        "oauth_version": "1.0",
    }
    sent = Incoming(
        scheme="https",
        method="POST",
        path="/1/statuses/update.json",
        query="include_entities=true",
        headers=(("host", "api.twitter.com"), ("content-type", "application/x-www-form-urlencoded")),
        body=b"status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21",
    )

    assert is_oauth1(sent, told, "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")


OAUTH1 = """
auth: {accounts: {ck: cs}, signed: {kind: oauth1, tokens: {tk: ts}}}
routes: [{route: GET /x}, {route: POST /x}]
"""


def oauth1(method="GET", url="http://127.0.0.1:8099/x?b=2&a=1", body=None, **keys):
    keys = {"client_secret": "cs", **keys}
    client = Client("ck", resource_owner_key="tk", resource_owner_secret="ts", timestamp=str(int(NOW.timestamp())), **keys)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    return {name.replace("-", "_"): value for name, value in client.sign(url, http_method=method, body=body, headers=headers)[1].items()}


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"])
def test_a_request_signed_with_oauth1_passes_once(tmp_path, method):
    partner = TokenPartner(tmp_path, OAUTH1)
    headers = oauth1(signature_method=method, realm="account 7")

    assert partner.status("GET", "/x?b=2&a=1", **headers) == 200
    assert partner.status("GET", "/x?b=2&a=1", **headers) == 401, "a nonce counts once"


def test_the_fields_of_a_form_are_signed_with_oauth1(tmp_path):
    partner = TokenPartner(tmp_path, OAUTH1)
    headers = oauth1("POST", "http://127.0.0.1:8099/x", body="c=3+4")

    assert partner.status("POST", "/x", b"c=3+5", **headers) == 401
    assert partner.status("POST", "/x", b"c=3+4", **headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        oauth1(client_secret="other"),
        oauth1(signature_method="HMAC-SHA512"),
        {"authorization": "OAuth oauth_consumer_key=ck, oauth_token=unknown, oauth_timestamp=1, oauth_nonce=n"},
        {"authorization": "OAuth oauth_consumer_key=ck, oauth_timestamp=soon, oauth_nonce=n"},
        {"authorization": "OAuth oauth_consumer_key=ck, oauth_timestamp=1, oauth_nonce=n"},
    ],
)
def test_other_requests_do_not_pass_oauth1(tmp_path, headers):
    assert TokenPartner(tmp_path, OAUTH1).status("GET", "/x?b=2&a=1", **headers) == 401


# HMAC

HMAC = """
auth:
  accounts: {k1: secret-of-k1}
  signed:
    kind: hmac
    keyId: "{{header.x-key}}"
    signature: {header: X-Sign, signed: "{{timestamp}}{{method}}{{path}}{{body}}", timestamp: {header: X-Time, unit: milliseconds}}
routes: [{route: POST /x}]
"""


@pytest.mark.parametrize(("key", "body", "status"), [("k1", b"{}", 200), ("k1", b"[]", 401), ("k2", b"{}", 401)])
def test_a_request_signed_with_hmac_is_checked(tmp_path, key, body, status):
    stamp = str(int(NOW.timestamp() * 1000))
    digest = hmac.new(b"secret-of-k1", f"{stamp}POST/x{{}}".encode(), hashlib.sha256).hexdigest()

    assert TokenPartner(tmp_path, HMAC).status("POST", "/x", body, x_key=key, x_sign=digest, x_time=stamp) == status


def test_without_a_key_id_the_first_account_counts(tmp_path):
    partner = TokenPartner(tmp_path, "auth: {accounts: {a: s1}, signed: {kind: hmac, signature: {query: sign}}}\nroutes: [{route: GET /x}]")
    digest = hmac.new(b"s1", b"", hashlib.sha256).hexdigest()

    assert [partner.status("GET", f"/x?sign={sign}") for sign in (digest, "00")] == [200, 401]


@pytest.mark.parametrize("path", ["{{body.key}}", "{{query.key}}"])
def test_a_key_id_that_is_not_there_does_not_pass(tmp_path, path):
    partner = TokenPartner(tmp_path, HMAC.replace("{{header.x-key}}", path))

    assert partner.status("POST", "/x?key=1&key=2", b"{", content_type="application/json") == 401


# Tokens that are handed out

TOKENS = """
auth: {issued: true}
routes:
  - route: POST /token
    do: token
    auth: false
    token: {rotates: true, seconds: 100, clients: {c1: s1}, users: {ada: pass-word-1}}
    reply: {json: {access_token: "{{token.access}}", refresh_token: "{{token.refresh}}", expires_in: "{{token.seconds}}"}}
  - {route: GET /x}
"""
CLIENT = {"client_id": "c1", "client_secret": "s1"}


@pytest.fixture
def issuing(tmp_path):
    return TokenPartner(tmp_path, TOKENS)


def bearer(partner, token):
    return partner.status("GET", "/x", authorization=f"Bearer {token}")


def test_a_token_that_was_handed_out_serves_until_it_expires(issuing):
    status, found = issuing.token(grant_type="authorization_code", code="c", **CLIENT)

    assert (status, found["expires_in"]) == (200, 100)
    assert bearer(issuing, found["access_token"]) == 200
    assert bearer(issuing, "made-up") == 401
    issuing.now += timedelta(seconds=100)
    assert bearer(issuing, found["access_token"]) == 401


def test_a_code_serves_once(issuing):
    assert issuing.token(grant_type="authorization_code", code="c", **CLIENT)[0] == 200
    assert issuing.token(grant_type="authorization_code", code="c", **CLIENT) == (400, {"error": "invalid_grant"})


def test_a_refresh_token_that_comes_twice_takes_its_whole_family_with_it(issuing):
    _, first = issuing.token(grant_type="authorization_code", code="c", **CLIENT)
    _, second = issuing.token(grant_type="refresh_token", refresh_token=first["refresh_token"], **CLIENT)
    assert second["refresh_token"] != first["refresh_token"]
    assert bearer(issuing, second["access_token"]) == 200

    assert issuing.token(grant_type="refresh_token", refresh_token=first["refresh_token"], **CLIENT) == (400, {"error": "invalid_grant"})

    assert bearer(issuing, second["access_token"]) == 401
    assert issuing.token(grant_type="refresh_token", refresh_token=second["refresh_token"], **CLIENT)[0] == 400


def test_without_rotation_a_refresh_token_serves_on(tmp_path):
    partner = TokenPartner(tmp_path, TOKENS.replace("rotates: true", "rotates: false"))
    tokens = [partner.token(grant_type="refresh_token", refresh_token="r1", **CLIENT)[1] for _ in range(2)]

    assert [found["refresh_token"] for found in tokens] == ["r1", "r1"]
    assert tokens[0]["access_token"] != tokens[1]["access_token"]


def test_a_refresh_token_that_nobody_handed_out_begins_a_family_that_rotates(issuing):
    assert issuing.token(grant_type="refresh_token", refresh_token="mine", **CLIENT)[0] == 200
    assert issuing.token(grant_type="refresh_token", refresh_token="mine", **CLIENT)[0] == 400


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "authorization_code", "code": "c", "client_id": "c1"}, "invalid_client"),
        ({"grant_type": "authorization_code", **CLIENT}, "invalid_grant"),
        ({"grant_type": "refresh_token", **CLIENT}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "bad-token", **CLIENT}, "invalid_grant"),
        ({"grant_type": "magic", **CLIENT}, "unsupported_grant_type"),
        (CLIENT, "unsupported_grant_type"),
        ({"grant_type": "password", "username": "ada", "password": "other", **CLIENT}, "invalid_grant"),
        ({"grant_type": "password", "username": "ada", **CLIENT}, "invalid_grant"),
    ],
)
def test_what_is_not_served_gets_its_word(issuing, form, error):
    assert issuing.token(**form) == (400, {"error": error})


def test_clients_may_show_themselves_by_basic_and_users_by_their_password(issuing):
    form = urlencode({"grant_type": "password", "username": "ada", "password": "pass-word-1"}).encode()
    kind = "application/x-www-form-urlencoded"

    assert issuing.status("POST", "/token", form, content_type=kind, authorization=basic("c1", "s1")) == 200
    assert issuing.status("POST", "/token", form, content_type=kind, authorization="Basic !") == 400
    assert issuing.status("POST", "/token", form, content_type=kind, authorization=basic("c1", "s2")) == 400


def test_a_reset_forgets_the_tokens(issuing):
    _, found = issuing.token(grant_type="client_credentials", **CLIENT)
    issuing.inner.reset()

    assert bearer(issuing, found["access_token"]) == 401


def test_only_so_many_tokens_are_held(issuing):
    _, first = issuing.token(grant_type="authorization_code", code="first", **CLIENT)
    for number in range(10_001):
        issuing.inner._tokens.issue("authorization_code", refresh="", code=str(number), rotates=True, seconds=10, now=NOW.timestamp())

    assert bearer(issuing, first["access_token"]) == 401
    assert len(issuing.inner._tokens._access) == 10_000
    assert len(issuing.inner._tokens._codes) <= 10_000


def test_aws_signatures_are_asked_for_where_the_partner_does(tmp_path):
    partner = TokenPartner(
        tmp_path,
        "auth: {accounts: {AKIDEXAMPLE: wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY}, signed: {kind: sigv4, tolerance: 60}}\nroutes: [{route: GET /}]",
    )
    partner.now = AT
    headers = {name.replace("-", "_"): value for name, value in aws(VANILLA).headers}

    assert partner.status("GET", "/", **headers) == 200
    assert partner.status("GET", "/?a=b", **headers) == 401
    assert partner.status("GET", "/") == 401


def test_parameters_of_oauth1_may_stand_in_the_query(tmp_path):
    url, _, _ = Client(
        "ck",
        client_secret="cs",
        resource_owner_key="tk",
        resource_owner_secret="ts",
        timestamp=str(int(NOW.timestamp())),
        signature_type="QUERY",
    ).sign("http://127.0.0.1:8099/x?a=1")

    assert TokenPartner(tmp_path, OAUTH1).status("GET", url.removeprefix("http://127.0.0.1:8099")) == 200


def test_old_nonces_give_way(tmp_path, monkeypatch):
    monkeypatch.setattr("polyport.testing.proofs.NONCES", 1)
    partner = TokenPartner(tmp_path, OAUTH1)
    first, second = oauth1(), oauth1()

    assert [partner.status("GET", "/x?b=2&a=1", **headers) for headers in (first, second, first)] == [200, 200, 200]
