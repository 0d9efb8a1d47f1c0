"""Kinds that sign each request, held against published examples: AWS's test suite and S3 pages, RFC 4231, RFC 5849 as Twitter showed it, Binance."""

import hmac
from datetime import UTC, datetime
from hashlib import sha256, sha512

import pytest
from pydantic import TypeAdapter, ValidationError

from polyport.kinds.auth import Scheme
from polyport.kinds.auth.base import Moment
from polyport.net.message import Request
from polyport.template import RenderFault

SCHEME = TypeAdapter(Scheme)
NOW = datetime(2026, 11, 25, 12, 0, 5, 250_000, tzinfo=UTC)
MOMENT = Moment(now=NOW, fresh_id=lambda: "id-1")
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def request(method="GET", url="https://api.example.com/v1/things?b=2&a=1", headers=(), body=None):
    return Request(method=method, url=url, headers=headers, body=body)


# AWS Signature Version 4

SUITE = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
SUITE_TIME = Moment(now=datetime(2015, 8, 30, 12, 36, tzinfo=UTC))
S3_PAGES = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
S3_TIME = Moment(now=datetime(2013, 5, 24, tzinfo=UTC))
BUCKET = "https://examplebucket.s3.amazonaws.com"


def sigv4(**keys):
    return SCHEME.validate_python({"kind": "sigv4", "service": "service", "region": "us-east-1"} | keys)


def aws_signature(signed):
    return signed.header("Authorization").rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("case", "asked", "signature"),
    [
        ("get-vanilla", request(url="https://example.amazonaws.com/"), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "get-vanilla-query-order-key-case",
            request(url="https://example.amazonaws.com/?Param2=value2&Param1=value1"),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "post-vanilla",
            request("POST", "https://example.amazonaws.com/"),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-x-www-form-urlencoded",
            request("POST", "https://example.amazonaws.com/", FORM, b"Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "get-header-value-trim",
            request(url="https://example.amazonaws.com/", headers=(("My-Header1", " value1"), ("My-Header2", ' "a   b   c"'))),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "get-header-value-order",
            request(url="https://example.amazonaws.com/", headers=tuple(("My-Header1", f"value{number}") for number in (4, 1, 3, 2))),
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
        ),
    ],
)
def test_the_cases_of_awss_own_suite(case, asked, signature):
    signed = sigv4().sign(asked, SUITE, SUITE_TIME)
    assert aws_signature(signed) == signature, case
    assert signed.header("X-Amz-Date") == "20150830T123600Z"
    assert signed.header("Authorization").startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
    )


@pytest.mark.parametrize(
    ("asked", "signature"),
    [
        (
            request(url=f"{BUCKET}/test.txt", headers=(("Range", "bytes=0-9"),)),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            request(
                "PUT",
                f"{BUCKET}/test%24file.text",
                (("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")),
                b"Welcome to Amazon S3.",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (request(url=f"{BUCKET}/?lifecycle"), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (request(url=f"{BUCKET}/?max-keys=2&prefix=J"), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_the_examples_of_the_s3_pages(asked, signature):
    assert aws_signature(sigv4(service="s3").sign(asked, S3_PAGES, S3_TIME)) == signature


def test_a_session_token_goes_along_signed_and_may_be_missing():
    told = sigv4(sessionToken="{{connection.session_token}}")
    signed = told.sign(request(), SUITE | {"session_token": "temporary-1"}, SUITE_TIME)
    assert signed.header("X-Amz-Security-Token") == "temporary-1"
    assert "x-amz-security-token" in signed.header("Authorization")
    assert "temporary-1" in signed.secrets
    assert told.sign(request(), SUITE, SUITE_TIME).header("X-Amz-Security-Token") is None


def test_s3_may_leave_the_body_unsigned_and_no_other_service():
    signed = sigv4(service="s3", unsignedPayload=True).sign(request("PUT", body=b"x"), SUITE, SUITE_TIME)
    assert signed.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
    with pytest.raises(ValidationError, match="s3 alone"):
        sigv4(unsignedPayload=True)


def test_a_path_is_encoded_once_more_than_it_is_sent_except_for_s3():
    once, twice = (sigv4(service=name) for name in ("s3", "other"))
    plain, encoded = (request(url=f"https://x.example.com/a{mark}b") for mark in ("+", "%2B"))
    assert aws_signature(once.sign(plain, SUITE, SUITE_TIME)) == aws_signature(once.sign(encoded, SUITE, SUITE_TIME))
    assert aws_signature(twice.sign(plain, SUITE, SUITE_TIME)) != aws_signature(twice.sign(encoded, SUITE, SUITE_TIME))


def test_what_is_changed_on_the_way_is_not_signed():
    plain, changed = (request(headers=headers) for headers in ((), (("User-Agent", "x"), ("Authorization", "old"), ("Host", "other"))))
    assert aws_signature(sigv4().sign(plain, SUITE, SUITE_TIME)) == aws_signature(sigv4().sign(changed, SUITE, SUITE_TIME))


def test_a_port_and_an_address_belong_to_the_signed_host():
    told = sigv4()
    found = {
        aws_signature(told.sign(request(url=url), SUITE, SUITE_TIME))
        for url in (
            "https://a.example.com/",
            "https://a.example.com:443/",
            "https://a.example.com",
            "https://a.example.com:8443/",
            "https://[::1]/",
        )
    }
    assert len(found) == 3


def test_the_fields_of_a_key_may_have_other_names():
    told = sigv4(accessKeyId="{{connection.id}}", secretAccessKey="{{connection.key}}", region="{{connection.region}}")
    given = {"id": SUITE["access_key_id"], "key": SUITE["secret_access_key"], "region": "us-east-1"}
    asked = request(url="https://example.amazonaws.com/")
    assert told.sign(asked, given, SUITE_TIME) == sigv4().sign(asked, SUITE, SUITE_TIME)
    assert (told.needed, sigv4().needed) == (frozenset(), {"access_key_id", "secret_access_key"})


# OAuth1

TWITTER = {
    "consumer_key": "xvz1evFS4wEEPTGEFPHBog",
    "consumer_secret": "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "token_secret": "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
}
TWITTER_TIME = Moment(now=datetime.fromtimestamp(1318622958, UTC), fresh_id=lambda: "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg")
STATUS = b"status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21"


def oauth1(**keys):
    return SCHEME.validate_python({"kind": "oauth1"} | keys)


@pytest.mark.parametrize(("version", "signature"), [("1", "tnnArxj06cWHq44gCs1OSKk%2FjLY%3D"), ("1.1", "hCtSmYh%2BiHYCEqBWrE7C7hYmtUk%3D")])
def test_the_widely_published_example_in_both_its_versions(version, signature):
    asked = request("POST", f"https://api.twitter.com/{version}/statuses/update.json?include_entities=true", FORM, STATUS)
    signed = oauth1().sign(asked, TWITTER, TWITTER_TIME)
    assert f'oauth_signature="{signature}"' in signed.header("Authorization")
    assert {TWITTER["consumer_secret"], TWITTER["token_secret"]} <= signed.secrets
    assert signed.body == STATUS


def test_a_realm_and_another_method_as_netsuite_wants_them():
    told = oauth1(method="HMAC-SHA256", realm="{{connection.account}}", token="{{connection.token_id}}")
    signed = told.sign(request(), TWITTER | {"account": "1234_SB1", "token_id": "t-1"}, TWITTER_TIME)
    header = signed.header("Authorization")
    assert header.startswith('OAuth realm="1234_SB1",')
    assert 'oauth_signature_method="HMAC-SHA256"' in header
    assert told.needed == {"consumer_key", "consumer_secret", "token_secret"}


def test_a_body_that_is_no_form_is_not_signed_and_a_changed_query_is():
    told = oauth1()
    bodies = {told.sign(request("POST", body=body), TWITTER, TWITTER_TIME).header("Authorization") for body in (b'{"a":1}', b"a=1", None)}
    assert len(bodies) == 1
    assert told.sign(request(url="https://api.example.com/?a=2"), TWITTER, TWITTER_TIME).header("Authorization") not in bodies


def test_brackets_in_a_query_are_encoded_for_the_signature_and_on_the_way():
    signed = oauth1().sign(request(url="https://api.example.com/x?ids[]=1"), TWITTER, TWITTER_TIME)
    assert signed.url == "https://api.example.com/x?ids%5B%5D=1"


def test_what_cannot_be_signed_says_so():
    with pytest.raises(RenderFault, match="not encoded"):
        oauth1().sign(request(url="https://api.example.com/x?a=\x7f"), TWITTER, TWITTER_TIME)
    with pytest.raises(RenderFault, match="not encoded"):
        oauth1().sign(request("POST", headers=FORM, body=b"a=\xff"), TWITTER, TWITTER_TIME)


# HMAC


def hmac_kind(**keys):
    place = [{"in": "header", "param": "X-Signature", "value": "{{signature}}"}]
    return SCHEME.validate_python(
        {"kind": "signature", "key": "{{connection.secret}}", "signs": "{{connection.text}}", "place": place} | keys
    )


def signature(asked=None, material=None, **keys):
    return hmac_kind(**keys).sign(asked or request(), {"secret": "s-1234", "text": ""} | (material or {}), MOMENT).header("X-Signature")


@pytest.mark.parametrize(
    ("key", "text", "algorithm", "found"),
    [
        ("0b" * 20, "Hi There", "sha256", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe".hex(), "what do ya want for nothing?", "sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            b"Jefe".hex(),
            "what do ya want for nothing?",
            "sha384",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            b"Jefe".hex(),
            "what do ya want for nothing?",
            "sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ],
)
def test_the_cases_of_rfc_4231(key, text, algorithm, found):
    assert signature(material={"secret": key, "text": text}, keyEncoding="hex", algorithm=algorithm) == found


def test_the_example_that_binance_publishes():
    query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    told = hmac_kind(
        signs="{{request.query}}{{request.body}}",
        timestamp="milliseconds",
        add=[
            {"in": "query", "param": "timestamp", "value": "{{timestamp}}"},
            {"in": "header", "param": "X-MBX-APIKEY", "value": "{{connection.api_key}}"},
        ],
        place=[{"in": "query", "param": "signature", "value": "{{signature}}"}],
    )
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    moment = Moment(now=datetime.fromtimestamp(1499827319.559, UTC))
    signed = told.sign(request("POST", f"https://api.example.com/api/v3/order?{query}"), {"secret": secret, "api_key": "k-1"}, moment)
    assert signed.url.endswith("&timestamp=1499827319559&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71")
    assert signed.header("X-MBX-APIKEY") == "k-1"


def test_the_example_that_pusher_publishes_and_a_call_without_a_body():
    told = hmac_kind(
        signs="{{request.method}}\n{{request.path}}\n{{request.sorted_query | url_decode}}",
        digest="md5",
        add=[
            {"in": "query", "param": "auth_key", "value": "278d425bdf160c739803"},
            {"in": "query", "param": "auth_timestamp", "value": "{{timestamp}}"},
            {"in": "query", "param": "auth_version", "value": "1.0"},
            {"in": "query", "param": "body_md5", "value": '{{request.body | extract: "(?s)^." | then: request.digest}}', "optional": True},
        ],
        place=[{"in": "query", "param": "auth_signature", "value": "{{signature}}"}],
    )
    moment = Moment(now=datetime.fromtimestamp(1353088179, UTC))
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    secret = {"secret": "7ad3773142a6692b25b8"}
    signed = told.sign(request("POST", "https://api.example.com/apps/3/events", body=body), secret, moment)
    assert signed.url.endswith(
        "&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
    )
    asked = told.sign(request(url="https://api.example.com/apps/3/channels?info=a%2Cb"), secret, moment)
    content = "GET\n/apps/3/channels\nauth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&info=a,b"
    assert "body_md5" not in asked.url
    assert asked.url.endswith(hmac.new(b"7ad3773142a6692b25b8", content.encode(), sha256).hexdigest())


@pytest.mark.parametrize("value", ["{{connection.none}}", "{{connection.null}}", "{{connection.empty}}"])
def test_an_optional_value_that_has_nothing_leaves_no_trace(value):
    also = [{"in": "header", "param": "X-Account", "value": value, "optional": True}]
    told = SCHEME.validate_python({"kind": "api_key", "in": "header", "param": "X-Key", "value": "k", "also": also})
    asked = told.sign(request(), {"null": None, "empty": ""}, MOMENT)
    assert (asked.header("X-Key"), asked.header("X-Account")) == ("k", None)


def test_a_value_in_the_path_cannot_be_optional():
    with pytest.raises(ValidationError, match="cannot be optional"):
        SCHEME.validate_python(
            {
                "kind": "api_key",
                "in": "header",
                "param": "a",
                "value": "b",
                "also": [{"in": "path", "param": ":a", "value": "b", "optional": True}],
            }
        )


def test_every_part_of_a_request_can_be_signed():
    told = "{{timestamp}}\n{{nonce}}\n{{request.method}}\n{{request.host}}\n{{request.path}}\n{{request.sorted_query}}\n{{request.headers.x-a}}\n{{request.digest}}"
    asked = request("POST", headers=(("X-A", "1"),), body=b"body")
    content = f"1795608005\nid-1\nPOST\napi.example.com\n/v1/things\na=1&b=2\n1\n{sha256(b'body').hexdigest()}"
    assert signature(asked, signs=told) == hmac.new(b"s-1234", content.encode(), sha256).hexdigest()
    assert signature(asked, signs="{{request.url}}") == hmac.new(b"s-1234", asked.url.encode(), sha256).hexdigest()


def test_bytes_that_are_no_text_are_signed_as_they_are():
    asked = request("POST", body=b"\xff\x00\xfe")
    assert signature(asked, signs="{{request.body}}", algorithm="sha512", encoding="hex_upper") == (
        hmac.new(b"s-1234", b"\xff\x00\xfe", sha512).hexdigest().upper()
    )


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("seconds", "1795608005"),
        ("milliseconds", "1795608005250"),
        ("iso8601", "2026-11-25T12:00:05Z"),
        ("http_date", "Wed, 25 Nov 2026 12:00:05 GMT"),
    ],
)
def test_the_time_in_every_form(form, written):
    told = hmac_kind(timestamp=form, place=[{"in": "header", "param": "X-Time", "value": "{{timestamp}}"}])
    assert told.sign(request(), {"secret": "s", "text": "t"}, MOMENT).header("X-Time") == written


@pytest.mark.parametrize(("encoding", "end"), [("base64", "+/A="), ("base64url", "-_A")])
def test_a_signature_and_a_digest_in_base64(encoding, end, monkeypatch):
    assert signature(encoding=encoding, signs="x").isascii()
    assert len(signature(encoding=encoding, signs="x")) == {"base64": 44, "base64url": 43}[encoding]
    told = signature(request("POST", body=b"x"), signs="{{request.digest}}", digest="md5", digestEncoding="base64")
    assert told == hmac.new(b"s-1234", b"ndTkYSaMgDT1yFZOFVxnpg==", sha256).hexdigest()


@pytest.mark.parametrize(("encoding", "key"), [("base64", "YWJj"), ("base64", "YWJjZA"), ("base64", "-_-_"), ("hex", "616263")])
def test_a_key_may_be_written_in_base64_or_hex(encoding, key):
    assert len(signature(material={"secret": key}, keyEncoding=encoding)) == 64


@pytest.mark.parametrize(("encoding", "key"), [("base64", "no base64!"), ("hex", "xyz")])
def test_a_key_that_is_written_otherwise_is_told_and_not_repeated(encoding, key):
    with pytest.raises(RenderFault, match=encoding) as fault:
        signature(material={"secret": key}, keyEncoding=encoding)
    assert key not in str(fault.value)
