"""The redactor: no form of a secret survives."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bounds import examples, little_time
from polyport.redaction import CREDENTIAL_KEYS, MASK, TOO_DEEP, Redactor, mask

SECRET = "tök/En+ 'x'\"&<9>\\\n=😀~"
TOKEN = "plainTOKEN12345"


def base64_inside(secret, alphabet=base64.b64encode):
    return [alphabet(("u" * shift + ":" + secret + ":tail").encode()).decode() for shift in range(3)]


ENCODERS = {
    "plain": lambda s: s,
    "percent": lambda s: quote(s, safe=""),
    "percent, lower case": lambda s: "".join(part.lower() if part.startswith("%") else part for part in split_percent(quote(s, safe=""))),
    "percent, slashes kept": quote,
    "percent, twice": lambda s: quote(quote(s, safe=""), safe=""),
    "form": quote_plus,
    "percent, as encodeURIComponent does": lambda s: quote(s, safe="!'()*~"),
    "percent, every byte": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON, not ASCII": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON, slashes escaped": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda s: json.dumps(json.dumps(s))[1:-1],
    "JSON, safe for HTML": lambda s: json.dumps(s)[1:-1].replace("<", "\\u003c").replace(">", "\\u003E").replace("&", "\\u0026"),
    "JSON, every character": lambda s: "".join(f"\\u{unit:04x}" for unit in units(s)),
    "HTML": html.escape,
    "HTML, quotes kept": lambda s: html.escape(s, quote=False),
    "HTML, hexadecimal": lambda s: "".join(f"&#x{ord(char):x};" for char in s),
    "HTML, decimal": lambda s: "".join(f"&#{ord(char)};" for char in s),
    "HTML, ASCII": lambda s: html.escape(s).encode("ascii", "xmlcharrefreplace").decode(),
    "hex": lambda s: s.encode().hex(),
    "hex, upper case": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64url": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
    "Basic, user first": lambda s: base64.b64encode(f"user:{s}".encode()).decode(),
    "Basic, longer user": lambda s: base64.b64encode(f"user12:{s}".encode()).decode(),
    "Basic, secret first": lambda s: base64.b64encode(f"{s}:".encode()).decode(),
    "base64url inside": lambda s: base64_inside(s, base64.urlsafe_b64encode)[1],
}


def units(text):
    data = text.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[start : start + 2]) for start in range(0, len(data), 2)]


def split_percent(text):
    parts, start = [], 0
    while start < len(text):
        length = 3 if text[start] == "%" else 1
        parts.append(text[start : start + length])
        start += length
    return parts


# No brackets and no letters of the mask: a secret that is part of the mask's own text is in every masked output.
chars = st.one_of(st.sampled_from("aAzZ09 /+=&%\\\"'<>#:-_.~é😀\n\t"), st.characters(exclude_characters="[]secrt", codec="utf-8"))
secret_texts = st.text(chars, min_size=4, max_size=40).filter(lambda text: text.strip() == text)


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("secret", [SECRET, TOKEN, "a/b?", "é€/é"], ids=["special", "token", "short", "unicode"])
def test_a_secret_is_masked_in_every_encoding(secret, encode):
    shown = Redactor([secret]).text(f"<{encode(secret)}>")
    assert encode(secret) not in shown
    assert MASK in shown


@given(secret_texts, st.sampled_from(sorted(ENCODERS)), st.text(), st.text())
def test_no_encoding_survives_in_any_text(secret, encoder, before, after):
    encoded = ENCODERS[encoder](secret)
    assume(encoded not in MASK)
    shown = Redactor([secret]).text(before + encoded + after)
    assert encoded not in shown
    assert MASK in shown


@given(st.text(st.sampled_from("abcXYZ019_-"), min_size=4, max_size=30), st.text("xyz:", max_size=9), st.text("xyz:", max_size=9))
def test_nothing_of_a_secret_is_left_in_base64_beside_its_mask(secret, before, after):
    blob = base64.b64encode((before + secret + after).encode()).decode()
    shown = Redactor([secret]).text(blob)
    head, _, tail = shown.partition(MASK)
    # Exactly those characters are left that hold no bit of the secret.
    assert len(head) == len(before) * 8 // 6
    assert len(tail) == len(blob) - -((len(before) + len(secret)) * -8 // 6)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(secret_texts, st.sampled_from(sorted(ENCODERS)), json_values, st.text(max_size=5))
@settings(max_examples=examples(60))
def test_no_encoding_survives_in_any_json(secret, encoder, value, text):
    encoded = text + ENCODERS[encoder](secret)
    body = {"list": [value, encoded], "inner": {encoded: [[value]], "x": {"y": encoded}}}
    shown = Redactor([secret]).value(body)
    assert encoded not in repr(list(strings(shown)))
    assert not any(encoded in string for string in strings(shown))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


@given(json_values)
def test_a_value_without_secrets_is_the_very_same_object(value):
    texts = "".join(strings(value)).lower()
    assume(not any(name.replace(" ", "") in re.sub("[_ -]", "", texts) for name in CREDENTIAL_KEYS))
    assume("://" not in texts)
    assert Redactor([SECRET]).value(value) is value


@given(st.text())
def test_text_without_secrets_is_left_alone(text):
    assume("=" not in text and '"' not in text and "<" not in text and "://" not in text)
    assert Redactor([TOKEN]).text(text) == text


def test_of_two_secrets_the_longer_one_is_masked():
    assert Redactor(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{MASK} {MASK}"


def test_a_short_secret_is_masked_only_as_a_whole_value():
    redactor = Redactor(["ab", "7"])
    assert redactor.text("ab") == MASK
    assert redactor.text("cabbage 7") == "cabbage 7"
    assert redactor.value({"x": "ab", "y": "cab", "n": 7, "m": 77, "ab": 1}) == {"x": MASK, "y": "cab", "n": MASK, "m": 77, MASK: 1}
    assert redactor.headers((("X", "ab"), ("Y", "abc"))) == (("X", MASK), ("Y", "abc"))


def test_an_empty_secret_masks_nothing():
    assert Redactor([""]).text("") == ""
    assert Redactor([]).text("text") == "text"


def test_a_secret_that_was_sent_without_its_spaces_is_masked():
    assert Redactor([f" {TOKEN}\n"]).text(f"x{TOKEN}y") == f"x{MASK}y"


def test_a_secret_that_is_a_number_is_masked_among_numbers():
    redactor = Redactor(["123456"])
    assert redactor.value([123456, 9123456.5, 12345, True, None]) == [MASK, MASK, 12345, True, None]


def test_a_very_long_secret_is_masked():
    secret = "-----BEGIN/KEY+\n" + "Ab9/ü\n" * 2000
    redactor = Redactor([secret, TOKEN])
    for encoded in (secret, json.dumps(secret), quote(secret), quote_plus(secret), base64.b64encode(secret.encode()).decode()):
        shown = redactor.text(f"{encoded} {TOKEN}")
        assert "Ab9" not in shown
        assert len(shown) < 40


def test_a_secret_of_several_thousand_characters_is_masked_in_every_usual_form():
    secret = "eyJh/" * 700
    redactor = Redactor([secret])
    for name in ("plain", "percent", "JSON, slashes escaped", "hex", "Basic, user first", "base64url"):
        assert len(redactor.text(ENCODERS[name](secret))) < 40


def test_lone_surrogates_are_no_obstacle():
    assert Redactor(["\ud800abc"]).text("x\ud800abc\udfff") == f"x{MASK}\udfff"


@pytest.mark.parametrize("key", ["access_token", "refreshToken", "client-secret", "Password", "API Key", "id_token", "PRIVATE_KEY"])
@pytest.mark.parametrize("value", ["x", 5, ["x"], {"a": "b"}])
def test_a_credential_key_hides_its_whole_value(key, value):
    assert Redactor([]).value({"data": [{key: value, "name": "n"}]}) == {"data": [{key: MASK, "name": "n"}]}


def test_a_credential_key_without_a_value_shows_that():
    value = {"token": None, "password": "", "secret": False, "next_page_token": "abc", "token_type": "bearer", "x" * 100: 1}
    assert Redactor([]).value(value) is value


def test_what_lies_too_deep_is_left_out():
    value = [TOKEN]
    for _ in range(100_000):
        value = [value]
    shown = Redactor([TOKEN]).value(value)
    for _ in range(201):
        (shown,) = shown
    assert shown == TOO_DEEP


def test_tuples_are_searched_like_lists():
    assert Redactor([TOKEN]).value((1, TOKEN)) == [1, MASK]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"access_token": "a\\"b/c", "expires_in": 3', '{"access_token": "[secret]", "expires_in": 3'),
        ('{"access_token": "cut of', '{"access_token": "[secret]'),
        ('{"password":12345,"a":1}', '{"password":[secret],"a":1}'),
        ('{"body":"{\\"client_secret\\":\\"a\\\\\\/b\\"}"}', '{"body":"{\\"client_secret\\":\\"[secret]\\"}"}'),
        ("grant_type=x&client_secret=a%2Fb&scope=y", "grant_type=x&client_secret=[secret]&scope=y"),
        ("password=a", "password=[secret]"),
        ("<ns:Password type='x'>a b</ns:Password>", "<ns:Password type='x'>[secret]</ns:Password>"),
        ("postgres://me:pw@host/db", "postgres://[secret]@host/db"),
        ("the token is missing; passwords: none", "the token is missing; passwords: none"),
        ('{"token_type": "bearer", "page_token": "x"}', '{"token_type": "bearer", "page_token": "x"}'),
    ],
)
def test_text_hides_what_is_named_like_a_credential(text, shown):
    assert Redactor([]).text(text) == shown
    assert Redactor([]).text(shown) == shown


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "x-shop-access-token",
        "X-Hub-Signature-256",
        "X-Auth",
        "apikey",
    ],
)
def test_headers_that_carry_credentials_are_masked_wholly(name):
    assert Redactor([]).headers(((name, "value"), (name, ""))) == ((name, MASK), (name, ""))


@pytest.mark.parametrize("name", ["Content-Type", "X-RateLimit-Remaining-Tokens", "Idempotency-Key", "ETag", "X-Author", "X-Monkey"])
def test_other_headers_are_shown_without_secrets(name):
    assert Redactor([TOKEN]).headers(((name, f"a {TOKEN}"), ("A", "b"))) == ((name, f"a {MASK}"), ("A", "b"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@host:80/a?b=c", "https://host:80/a?b=c"),
        ("https://me@host/", "https://host/"),
        ("https://host/bot%70/" + TOKEN + "/x", f"https://host/bot%70/{MASK}/x"),
        (f"https://{TOKEN}.host/", f"https://{MASK}.host/"),
        ("https://h/?api_key=1&page=2&sig=&pageToken=3&sig=4", f"https://h/?api_key={MASK}&page=2&sig=&pageToken=3&sig={MASK}"),
        (
            "https://h/?X-Amz-Signature=1&hapikey=2&accessToken=3&code",
            f"https://h/?X-Amz-Signature={MASK}&hapikey={MASK}&accessToken={MASK}&code",
        ),
        ("https://h/cb#access_token=1&state=2", f"https://h/cb#access_token={MASK}&state=2"),
        ("https://h/to/https://me:pw@x/", f"https://h/to/https://{MASK}@x/"),
        ("/rel/path@x?apiKey=1", f"/rel/path@x?apiKey={MASK}"),
        ("https://[::1", "https://[::1"),
        ("https://h", "https://h"),
    ],
)
def test_a_url_is_shown_without_secrets(url, shown):
    assert Redactor([TOKEN]).url(url) == shown


@pytest.mark.parametrize(
    "text",
    [
        '{"password":"' + "a" * 500_000,
        "abcd%25252525" * 30_000,
        "<password " * 50_000,
        "://a:" * 100_000,
        '\\\\"token' * 50_000,
        "abc" * 200_000,
    ],
    ids=["open", "nested", "tags", "userinfo", "quotes", "nearly"],
)
def test_hostile_text_takes_linear_time(text):
    redactor = Redactor(["abcd", "abcd/e", "ab" * 40])
    with little_time():
        redactor.text(text)


@pytest.mark.parametrize(("secret", "shown"), [("", "••••"), ("x" * 11, "••••"), ("abcdefgh1234", "••••1234")])
def test_only_the_end_of_a_long_secret_is_ever_shown(secret, shown):
    assert mask(secret) == shown


def test_a_redactor_shows_nothing():
    assert repr(Redactor([TOKEN])) == "<Redactor>"
