"""The page of a simulated partner where a customer allows access, and the codes that it leads to."""

import base64
import hashlib
import html
import re
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
import pytest

from polyport.testing import tokens
from simulated_partner import Partner

ROUTES = """
routes:
  - {route: GET /authorize, auth: false, do: authorize}
  - {route: POST /token, auth: false, do: token, reply: {json: {access_token: "{{token.access}}"}}}
"""
BACK = "https://me.example.com/back?x=1"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
GOOD = {
    "response_type": "code",
    "client_id": "app-1",
    "redirect_uri": BACK,
    "state": "s&1",
    "scope": "read,write more",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture
def partner(tmp_path):
    return Partner(tmp_path, ROUTES)


def page(partner, **change):
    """The page, and where its two links lead."""
    query = {name: value for name, value in (GOOD | change).items() if value is not None}
    found = partner.send("GET", f"/authorize?{urlencode(query)}")
    return found, [html.unescape(link) for link in re.findall(r'<a href="([^"]+)"', found.body.decode())]


def exchange(partner, code, **form):
    """The status of an exchange."""
    told = {"grant_type": "authorization_code", "code": code, **form}
    answer = partner.send("POST", "/token", urlencode(told).encode(), content_type="application/x-www-form-urlencoded")
    return answer.status, msgspec.json.decode(answer.body).get("error")


def code_of(partner, **change):
    return dict(parse_qsl(urlsplit(page(partner, **change)[1][0]).query))["code"]


def test_two_links_lead_back_with_a_code_and_without(partner):
    found, (allow, cancel) = page(partner)
    assert found.status == 200
    assert [each in found.body.decode() for each in ("app-1", "<li>read</li>", "<li>write</li>", "<li>more</li>")] == [True] * 4
    told = dict(parse_qsl(urlsplit(allow).query))
    assert (allow.startswith(BACK), told["x"], told["state"], told["code"].startswith("code-")) == (True, "1", "s&1", True)
    assert dict(parse_qsl(urlsplit(cancel).query)) == {"x": "1", "error": "access_denied", "state": "s&1"}
    assert "state" not in page(partner, state=None, scope=None)[1][0]


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": None},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "/here"},
        {"redirect_uri": "https://"},
        {"client_id": None},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
    ],
)
def test_a_request_that_makes_no_sense_leads_nowhere(partner, change):
    found, links = page(partner, **change)
    assert (found.status, links) == (400, [])


def test_what_stands_in_a_request_is_text_on_the_page(partner):
    found, links = page(partner, client_id="<script>", scope="<b>", redirect_uri='https://me.example.com/"><i>')
    assert "<script>" not in found.body.decode()
    assert "<i>" not in found.body.decode()
    assert links[0].startswith('https://me.example.com/"><i>?code=')


def test_a_code_serves_with_its_own_verifier_and_address_once(partner):
    code = code_of(partner)
    for wrong in (
        {},
        {"code_verifier": "w" * 43, "redirect_uri": BACK},
        {"code_verifier": VERIFIER},
        {"code_verifier": "\u00e9", "redirect_uri": BACK},
    ):
        assert exchange(partner, code, **wrong) == (400, "invalid_grant")
    right = {"code_verifier": VERIFIER, "redirect_uri": BACK}
    assert exchange(partner, code, **right) == (200, None)
    assert exchange(partner, code, **right) == (400, "invalid_grant")


def test_without_a_challenge_no_verifier_is_needed_and_made_up_codes_pass(partner):
    code = code_of(partner, code_challenge=None, code_challenge_method=None)
    assert exchange(partner, code, redirect_uri=BACK) == (200, None)
    assert exchange(partner, "made-up") == (200, None)


def test_codes_are_forgotten_when_there_are_too_many(partner, monkeypatch):
    monkeypatch.setattr(tokens, "HELD", 1)
    first = code_of(partner)
    code_of(partner)
    assert exchange(partner, first) == (200, None), "it counts as one that people made up"
