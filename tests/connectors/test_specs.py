"""Every partner that names its service's own description: each request of each case is as that description has it."""

import asyncio
import json
import os
from pathlib import Path

import pytest

import bundled
from polyport.manifest.cases import load_cases
from polyport.manifest.load import load_partner
from polyport.net.message import Request
from polyport.testing.spec import check_cases, check_request, open_documents

DESCRIBED = [pytest.param(slug, partner, id=slug) for slug, partner in bundled.partners().items() if partner.file.spec is not None]
CORPUS = Path(os.environ.get("POLYPORT_CORPUS", ""))
FORM = "application/x-www-form-urlencoded"

needs_corpus = pytest.mark.skipif(
    "POLYPORT_CORPUS" not in os.environ, reason="POLYPORT_CORPUS is not set: no request was held against a service's own description"
)


def test_some_partners_name_a_description():
    assert DESCRIBED


@needs_corpus
@pytest.mark.parametrize(("slug", "partner"), DESCRIBED)
def test_every_request_of_every_case_is_as_the_service_describes_it(slug, partner):
    report = asyncio.run(check_cases(partner, bundled.cases(slug), CORPUS))
    assert report.requests
    assert not report.left, "\n".join(map(str, report.left))
    assert report.stale == (), "no request shows these differences: take them out of partner.yaml"


def request(method, url, body=None, content_type="application/json"):
    if body is None:
        return Request(method=method, url=url)
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Request(method=method, url=url, headers=(("Content-Type", content_type),), body=content)


def partner_folder(root, spec, body, reply="{}"):
    """A small partner that creates Stripe's customers, with one case."""
    for name, text in {
        "partner.yaml": f"""
id: 9001
slug: till
title: Till
owners: [tests]
base: https://api.stripe.com/v1
connection:
  auth:
    - name: key
      label: Secret key
      fields: [{{name: key, type: string, label: Key, required: true, secret: true}}]
      scheme: {{kind: bearer, token: key}}
spec: {spec}
verified: {{how: spec, on: 2026-11-25}}
""",
        "actions/create_customer.yaml": f"""
id: 90010001
name: create_customer
title: Create a customer
idempotent: false
fields: [{{name: email, type: string, label: E-mail}}, {{name: line1, type: string, label: Street}}]
call: {{method: POST, path: /customers, encoding: form, body: {body}}}
result: {{fields: [{{name: id, type: string, label: ID}}]}}
""",
        "cases/create_customer/ok.yaml": f"""
title: A customer
connection: {{auth: key, fields: {{key: sk_test}}}}
input: {{email: ada@example.com, line1: Baker Street}}
exchanges: [{{request: {{method: POST, url: "https://api.stripe.com/v1/customers"}}, reply: {{json: {reply}}}}}]
result: {{}}
""",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def report_of(folder):
    loaded = load_partner(folder)
    assert loaded.partner is not None, [str(problem) for problem in loaded.problems]
    return asyncio.run(check_cases(loaded.partner, load_cases(folder), CORPUS))


RIGHT = '{email: "{{email}}", address: {line1: "{{line1}}"}}'
WRONG = '{email: "{{email}}", address: {street: "{{line1}}"}}'


@needs_corpus
def test_a_partner_that_sends_what_its_service_describes_has_nothing_left(tmp_path):
    report = report_of(partner_folder(tmp_path, "{corpus: stripe/spec3.yaml}", RIGHT))
    assert (report.requests, report.left, report.stale) == (1, (), ())


@needs_corpus
def test_a_member_that_the_description_does_not_know_is_told_with_its_place(tmp_path):
    report = report_of(partner_folder(tmp_path, "{corpus: stripe/spec3.yaml}", WRONG))
    assert [(one.call, one.at) for one in report.left] == [("POST /v1/customers", "body.address.street")]


@needs_corpus
def test_a_difference_that_the_folder_explains_is_let_go(tmp_path):
    spec = "{corpus: stripe/spec3.yaml, differences: [{call: POST /v1/customers, at: [body.address], why: newer}]}"
    assert report_of(partner_folder(tmp_path, spec, WRONG)).left == ()


@needs_corpus
def test_a_difference_that_no_request_shows_is_told(tmp_path):
    spec = "{corpus: stripe/spec3.yaml, differences: [{at: [body.address], why: newer}]}"
    assert [one.at for one in report_of(partner_folder(tmp_path, spec, RIGHT)).stale] == [("body.address",)]


@needs_corpus
def test_a_call_that_the_description_does_not_know_is_told(tmp_path):
    report = report_of(partner_folder(tmp_path, "{corpus: stripe/spec3.yaml, base: https://elsewhere.example}", RIGHT))
    assert [str(one) for one in report.left] == ["POST /v1/customers: the description knows no such call"]


ISSUES = "query($n: Int, $f: IssueFilter) {issues(first: $n, filter: $f) {nodes {id title assignee {name}} pageInfo {hasNextPage}}}"
FITTING = [
    ("stripe/spec3.yaml", request("POST", "https://api.stripe.com/v1/customers", "email=a%40b.c&metadata[a]=1&preferred_locales[]=en", FORM)),
    ("stripe/spec3.yaml", request("GET", "https://api.stripe.com/v1/charges?limit=3&expand[]=data.customer&created[gte]=5")),
    ("github/api.github.com.json", request("POST", "https://api.github.com/repos/o/r/issues", {"title": "x", "labels": ["a"]})),
    ("telegram/telegram-bot-api.custom.json", request("POST", "https://api.telegram.org/bot1:a/sendMessage", {"chat_id": 5, "text": "x", "reply_parameters": {"message_id": 5}})),
    ("telegram/telegram-bot-api.custom.json", request("GET", "https://api.telegram.org/bot1:a/getUpdates?offset=5&allowed_updates=%5B%22message%22%5D")),
    ("google-sheets/sheets.v4.json", request("POST", "https://sheets.googleapis.com/v4/spreadsheets/a/values/S%21A1:append?valueInputOption=RAW", {"values": [[1, "a", None]]})),
    ("google-drive/drive.v3.json", request("POST", "https://www.googleapis.com/upload/drive/v3/files?uploadType=media", "text", "text/plain")),
    ("twilio/twilio_api_v2010.yaml", request("POST", f"https://api.twilio.com/2010-04-01/Accounts/AC{'a' * 32}/Messages.json", "To=%2B1555&MediaUrl=https%3A%2F%2Fx&MediaUrl=https%3A%2F%2Fy", FORM)),
    ("discord/openapi.json", request("POST", "https://discord.com/api/v10/channels/1/messages", {"content": "hi", "tts": False})),
    ("opsgenie/swagger.json", request("POST", "https://api.opsgenie.com/v2/alerts", {"message": "x", "priority": "P1", "tags": ["a"]})),
    ("algolia/search.yml", request("POST", "https://ABC.algolia.net/1/indexes/foo/query", {"query": "x", "hitsPerPage": 3})),
    ("snowflake/table.yaml", request("GET", "https://org-account.snowflakecomputing.com/api/v2/databases/a/schemas/b/tables?like=x")),
    ("linear/schema.graphql", request("POST", "https://api.linear.app/graphql", {"query": ISSUES, "variables": {"n": 5, "f": {"title": {"contains": "x"}}}})),
]  # fmt: skip
STRAYING = [
    ("stripe/spec3.yaml", request("POST", "https://api.stripe.com/v1/customers", "emai=a&address[line0]=x&balance=x", FORM), {"body.emai", "body.address.line0", "body.balance"}),
    ("stripe/spec3.yaml", request("GET", "https://api.stripe.com/v1/charges?limit=x&created[foo]=5"), {"query.limit", "query.created.foo"}),
    ("github/api.github.com.json", request("POST", "https://api.github.com/repos/o/r/issues", {"titel": "x", "labels": "a"}), {"body.title", "body.titel", "body.labels"}),
    ("telegram/telegram-bot-api.custom.json", request("POST", "https://api.telegram.org/bot1:a/sendMessage", {"chat_id": 5, "reply_parameters": {"message_id": "x"}}), {"body.text", "body.reply_parameters.message_id"}),
    ("google-sheets/sheets.v4.json", request("POST", "https://sheets.googleapis.com/v4/spreadsheets/a/values/S%21A1:append?valueInputOptio=RAW", {"values": [1]}), {"query.valueInputOptio", "body.values[]"}),
    ("twilio/twilio_api_v2010.yaml", request("POST", "https://api.twilio.com/2010-04-01/Accounts/ACx/Messages.json", "Tos=1", FORM), {"path.AccountSid", "body.To", "body.Tos"}),
    ("discord/openapi.json", request("POST", "https://discord.com/api/v10/channels/1/messages", {"contents": "hi"}), {"body.contents"}),
    ("opsgenie/swagger.json", request("POST", "https://api.opsgenie.com/v2/alerts", {"message": "x", "priority": "P9"}), {"body.priority"}),
    ("linear/schema.graphql", request("POST", "https://api.linear.app/graphql", {"query": ISSUES.replace("title", "titel"), "variables": {"n": "5", "z": 1}}), {"query.issues.nodes.titel", "variables.n", "variables.z"}),
]  # fmt: skip


@needs_corpus
@pytest.mark.parametrize(("name", "sent"), FITTING)
def test_a_request_that_real_services_take_fits_their_description(name, sent):
    assert check_request(open_documents(CORPUS, [name]), sent) == []


@needs_corpus
@pytest.mark.parametrize(("name", "sent", "places"), STRAYING)
def test_a_request_that_strays_is_told_at_each_place(name, sent, places):
    assert {difference.at for difference in check_request(open_documents(CORPUS, [name]), sent)} == places
