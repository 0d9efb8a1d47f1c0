"""No page of the console, no export and no answer to a form shows a secret, whoever looks: each is planted, each page is opened by each role and searched."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from e2e.console import Browsing, member
from e2e.served import EMAIL, PASSWORD, Reply, Served, running_server, upstream
from e2e.test_canaries import CANARIES, GIVEN, KINDS, MAKE, PARTNER, Partner, fields_of, folder_of_partner
from polyport.server.console.pages import SCREENS
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

STREAMS = {"/console/runs/stream", "/console/runs/{runId}/stream", "/console/runs/{runId}/callbacks/stream"}
INPUT = {"name": "Ada", "pin": CANARIES["secret input"], "rows": [{"seal": CANARIES["secret in a row"]}]}


@dataclass(kw_only=True)
class Planted:
    """A server in which every kind of secret was used, and what its pages are about."""

    served: Served
    secrets: dict[str, str]
    ids: dict[str, list[object]]
    people: dict[str, Browsing] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def planted(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Planted]:
    folder = tmp_path_factory.mktemp("canaries")
    for name, text in folder_of_partner().items():
        path = folder / "partners" / "canaries" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    partner = Partner()
    async with (
        upstream(partner) as up,
        running_server(
            folder, connectors=str(folder / "partners"), partner_canaries_base_url=up.origin, runs_attempts=1, login_attempts=1_000
        ) as served,
    ):
        found = Planted(served=served, secrets=dict(CANARIES | GIVEN) | {"password": PASSWORD}, ids={})
        await plant(found, partner)
        owner = Browsing(served=served)
        await owner.sign_in(EMAIL, PASSWORD)
        found.people = {"owner": owner} | {role: await member(served, role, f"{role}@team.example") for role in ("developer", "viewer")}
        yield found


async def plant(found: Planted, partner: Partner) -> None:
    """Use every kind of secret, and remember the ids of what came of it."""
    served, secrets = found.served, found.secrets
    connections, runs = [], []
    for kind in KINDS:
        body = {"partnerId": PARTNER, "title": f"With {kind}", "auth": kind, "fields": fields_of(kind), "verify": False}
        status, _headers, made = await served.call("POST", "/credentials", body)
        if status != 201:
            assert kind == "certificate", made  # a certificate that is none is refused, which is a page too
            continue
        connections.append(made["data"]["credentialId"])
        for partner.status in (200, 400, 500):
            run = {"credentialData": {"0": {"value": connections[-1]}}, "runnerData": INPUT}
            told = await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/sync", run)
            runs.append(told.headers.get("x-run-id") or re.findall(r"run_[0-9a-f]{32}", told.content.decode())[0])
        partner.status = 401
        await served.call("POST", f"/credentials/{connections[-1]}/test", {})
    partner.status = 200
    app = {"clientId": "an-app", "clientSecret": CANARIES["app secret"]}
    assert (await served.fetch("PUT", f"/oauth-apps/{PARTNER}", app)).status in {200, 201}
    link = (await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PARTNER, "title": "A link"}))[2]["data"]
    key = (await served.call("POST", "/api-keys", {"title": "A key", "scopes": ["runs:read"]}))[2]["data"]
    hook = {"url": "https://hooks.example.com/x?token=canary-in-the-address-1", "title": "A hook", "eventTypes": ["*"]}
    endpoint = (await served.call("POST", "/event-endpoints", hook))[2]["data"]
    rotated = (await served.call("POST", f"/event-endpoints/{endpoint['endpointId']}/rotate-secret", {}))[2]["data"]
    callback = (await served.call("POST", "/account/callback-secret/rotate", {}))[2]["data"]
    _user, user_token = await served.end_user("user-1")
    person = (await served.call("POST", "/console-users", {"email": "late@team.example", "role": "viewer"}))[2]["data"]
    secrets |= {
        "link": link["token"],
        "key": key["key"],
        "webhook": endpoint["secret"],
        "webhook, rotated": rotated["secret"],
        "callback": callback["secret"],
        "user's token": user_token,
        "person's link": person["url"].partition("token=")[2],
        "owner's token": served.token,
    }
    found.ids = {
        "partnerId": [PARTNER],
        "credentialId": connections,
        "runId": runs,
        "operationId": [MAKE],
        "endpointId": [endpoint["endpointId"]],
        "group": ["connections"],
        "path": ["how-to/console"],
        "name": ["console.js"],
        "importId": ["imp_none"],
        "number": [1],
        "index": [1],
        "part": ["request", "reply"],
    }


def paths_of(planted: Planted) -> list[str]:
    """Every page there is, about everything there is."""
    found: list[str] = []
    for screen in SCREENS:
        path = screen.endpoint.path
        if screen.endpoint.method != "GET" or path in STREAMS:
            continue
        made = [path]
        for name in re.findall(r"\{(\w+)[^}]*\}", path):
            made = [re.sub(r"\{" + name + r"[^}]*\}", str(each), one) for one in made for each in planted.ids.get(name, ["none"])]
        found += made
    more = [f"/console/try/{MAKE}?connection={each}" for each in planted.ids["credentialId"]]
    more += [f"/console/connections/new?partnerId={PARTNER}&auth={kind}" for kind in KINDS]
    return found + more + ["/console/overview?range=day", "/console/runs?status=failed"]


def searched(found: Reply) -> bytes:
    return "\n".join(f"{name}: {text}" for name, text in found.headers.items()).encode() + found.content


def leaks_in(secrets: dict[str, str], pages: dict[str, Reply]) -> list[str]:
    """What leaked, and on which page."""
    paths = list(pages)
    leaks = find_leaks(secrets, *(searched(page) for page in pages.values()))
    return [f"{leak.canary} as {leak.form} on {paths[int(leak.sink.partition('#')[2].split('/')[0]) - 1]}" for leak in leaks]


@pytest.mark.parametrize("role", ["owner", "developer", "viewer"])
async def test_no_page_and_no_export_shows_a_secret(planted: Planted, role: str):
    browsing = planted.people[role]
    found = {path: await browsing.get(path) for path in paths_of(planted)}
    parts = {f"part of {path}": await browsing.get(path, **{"HX-Request": "true"}) for path in list(found)[::9]}

    assert {path for path, page in found.items() if page.status >= 500} == set()
    assert sum(page.status == 200 for page in found.values()) > (70 if role == "owner" else 50)
    assert leaks_in(planted.secrets, found | parts) == []


async def test_no_answer_to_a_form_repeats_a_secret(planted: Planted):
    owner, said = planted.people["owner"], {}
    for connection in planted.ids["credentialId"]:
        form = {
            "connection": str(connection),
            "s:d.name": "Ada",
            "s:d.pin": CANARIES["secret input"],
            "rows:d.rows": "1",
            "s:d.rows[0].seal": CANARIES["secret in a row"],
        }
        for do in ("dry", "run", "json", "link") if connection % 3 == 0 else ("run",):
            said[f"{do} with {connection}"] = await owner.post(f"/console/try/{MAKE}", form | {"do": do})
        said[f"a test of {connection}"] = await owner.post(f"/console/connections/{connection}/test")
    for kind in KINDS:
        fields = {f"field.{name}": text for name, text in fields_of(kind).items()}
        form = {"partnerId": str(PARTNER), "auth": kind, "title": "x" * 301}
        said[f"{kind}, made wrongly"] = await owner.post("/console/connections/new", form | fields)
    app = {"clientId": "", "clientSecret": CANARIES["app secret"]}
    said["an app, made wrongly"] = await owner.post(f"/console/settings/oauth-apps/{PARTNER}", app)

    assert {name for name, page in said.items() if page.status >= 500} == set()
    assert leaks_in(planted.secrets, said) == []


async def test_the_export_of_the_audit_log_tells_of_everything_and_shows_no_secret(planted: Planted):
    found = await planted.people["owner"].get("/console/settings/audit/export")
    lines = [json.loads(line) for line in found.content.splitlines()]

    assert {"POST /credentials", "PUT /oauth-apps/{partnerId}", "POST /api-keys"} <= {line["action"] for line in lines}
    assert find_leaks(planted.secrets, found.content) == []
