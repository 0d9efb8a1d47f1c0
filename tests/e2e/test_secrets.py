"""R11: no secret in any sink. A partner echoes everything it gets, everywhere it can; then all that the server wrote is searched."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import pytest
import structlog

from e2e.served import Asked, Reply, Served, Upstream, answer, running_server, upstream
from polyport.cli.logs import set_up_log
from polyport.settings import LogSettings
from polyport.store.connections import ConnectionFilter
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

PARTNER, MAKE, BREAK, LOOK = 990001, 99000101, 99000102, 99000103
CANARIES = {
    "token": "canary/token+one=Zq8w7Xv5Tn3Lk1Hd",
    "password": 'canary"pass word&<two>Bv6Mc4Xs2Ga9',
    "host part": "canaryhostpartJk7Rt5Yp3Wq1",
    "name": "canary-runner-data-name-5Gd3Sa1Qw9",
    "note": "canary-note-in-url-8Kl6Mn4Bv2Cx",
    "result": "canary-result-of-partner-3Ed5Rf7Tg9",
}
SECRETS = {name: CANARIES[name] for name in ("token", "password")}

FILES = {
    "partner.yaml": """
id: 990001
slug: echoes
title: Echoes
description: Gives back what it gets.
categories: [test]
owners: [polyport]
docs: https://example.com/docs
base: https://api.example.com
connection:
  fields: [{name: host_part, type: string, label: Place, required: true}]
  auth:
    - name: key
      label: Key
      fields: [{name: token, type: string, label: Token, required: true, secret: true}]
      scheme: {kind: api_key, in: query, param: k, value: "{{connection.token}}"}
    - name: pair
      label: Pair
      fields:
        - {name: token, type: string, label: Token, required: true, secret: true}
        - {name: password, type: string, label: Password, required: true, secret: true}
      scheme: {kind: basic, username: "{{connection.token}}", password: "{{connection.password}}"}
  verify: {call: {path: /me, query: {where: "{{connection.host_part}}"}}, account: "{{answer.account}}"}
errors:
  - {status: [400, 500], kind: invalid_input, message: error}
verified: {how: cases, on: "2026-11-24"}
""",
    "actions/make.yaml": """
id: 99000101
name: make
title: Make
idempotent: false
fields:
  - {name: name, type: string, label: Name, required: true}
  - {name: note, type: string, label: Note}
call: {method: POST, path: "/make/{{name}}", query: {note: "{{note}}"}, headers: {X-Note: "{{note}}"}, body: {name: "{{name}}"}}
result: {fields: [{name: made, type: string, label: Made}, {name: echo, type: object, label: Echo}]}
""",
    "actions/look.yaml": """
id: 99000103
name: look
title: Look
idempotent: true
readOnly: true
fields: [{name: name, type: string, label: Name, required: true}]
call: {path: "/look/{{name}}"}
result: {fields: [{name: made, type: string, label: Made}]}
""",
}


def echo(asked: Asked, status: int) -> bytes:
    """An answer that has all of the request in its headers and its body, and the secrets in several writings."""
    seen = f"{asked.method} {asked.target} {json.dumps(dict(asked.headers))} {asked.body.decode()}"
    got = {CANARIES["token"]: [CANARIES["password"]]} if "authorization" in asked.headers else {CANARIES["token"]: "known"}
    said = {
        "error": f"Refused: {seen}",
        "made": CANARIES["result"],
        "account": f"somebody with {CANARIES['token']}",
        "echo": {"seen": seen, "url": f"https://x.example/?k={quote(CANARIES['token'], safe='')}", "token": CANARIES["token"]},
        **got,
    }
    headers = {"X-Echo": f"{asked.target} {asked.headers.get('authorization', '')}", "Set-Cookie": f"session={CANARIES['token']}"}
    return answer(status, said, headers)


class Partner:
    """Which way the partner fails; ``mode`` is set by the tests."""

    mode = "fine"

    async def __call__(self, asked: Asked) -> bytes | None:
        if self.mode == "cut":
            asked.writer.write(echo(asked, 200)[:-40])
            return None
        if self.mode == "html":
            return answer(200, f"<html>{asked.target} {dict(asked.headers)}</html>".encode(), {"Content-Type": "text/html"})
        if self.mode == "redirect":
            return answer(302, b"", {"Location": f"http://10.0.0.1/?{CANARIES['token']}&{asked.target}"})
        if self.mode == "silent":
            return None
        return echo(asked, {"fine": 200, "refuse": 400, "unauthorised": 401, "broken": 500, "limited": 429}[self.mode])


async def pages(served: Served, partner: Partner, fields: dict[str, str], modes: tuple[str, ...]) -> None:
    """A customer by a link, in every way the partner may fail; the page may show what is no secret, nothing else."""
    link = (await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PARTNER, "title": "Echoes"}))[2]["data"]
    served.replies.pop()  # the one answer that has the token
    where = {"id": link["id"], "token": link["token"]}
    form = {**where, "auth": "pair" if "password" in fields else "key", **{f"field.{name}": value for name, value in fields.items()}}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    async def send(given: dict[str, object]) -> Reply:
        return await served.fetch("POST", "/connect", content=urlencode(given).encode(), token=None, headers=headers)

    for mode in (*modes, "unauthorised"):
        partner.mode = mode
        assert (await send(form)).status in {403, 422, 424, 502, 504}, mode
    await send({**form, "field.host_part": ""})
    await send({**form, "token": CANARIES["token"]})
    await send({**form, "auth": CANARIES["token"]})
    await send({**where, CANARIES["token"]: CANARIES["password"]})
    await served.fetch("GET", "/connect?" + urlencode(form), token=None)
    await served.fetch("GET", f"/credentials/grant-access-sharing/{link['id']}")
    partner.mode = "fine"
    done = await send(form)
    assert done.status == 303
    await served.fetch("GET", done.headers["location"], token=None, headers={"Cookie": done.headers["set-cookie"].partition(";")[0]})


async def everything(served: Served, partner: Partner, fields: dict[str, str], modes: tuple[str, ...]) -> None:
    """Every call that deals with a connection and its runs, in every way the partner may fail; what was answered is in ``served.replies``."""
    body = {"partnerId": PARTNER, "title": "Echoes", "fields": fields}
    for mode in (*modes, "unauthorised"):
        partner.mode = mode
        found = await served.fetch("POST", "/credentials", body)
        assert found.status in {403, 422, 424, 502, 504}, (mode, found)
    await served.fetch(
        "POST", "/credentials", {**body, "fields": {**fields, "token": [CANARIES["token"]], "password": {CANARIES["password"]: 1}}}
    )
    await pages(served, partner, fields, modes)
    partner.mode = "fine"
    connection = await served.connect(PARTNER, fields)
    data = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": CANARIES["name"], "note": CANARIES["note"]}}
    look = {**data, "runnerData": {"name": CANARIES["name"]}, "raw": True, "timeoutMs": 300}
    runs = []
    for mode in ("fine", *modes):
        partner.mode = mode
        for path, given in ((f"{MAKE}/run/sync", {**data, "raw": True}), (f"{LOOK}/run/sync", look), (f"{MAKE}/run/async", data)):
            found = await served.fetch("POST", f"/partners/trigger-actions/{path}", given)
            runs.append((found.json.get("data") or found.json["error"])["runId"])
    for more, path in (({"dryRun": True}, "run/sync"), ({}, "run/info"), ({"extra": CANARIES["token"]}, "run/sync")):
        await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/{path}", {**data, **more})
    partner.mode = "fine"
    await served.fetch("PATCH", f"/credentials/{connection}", {"fields": {"token": CANARIES["token"]}})
    await served.fetch("POST", f"/credentials/{PARTNER}/{connection}/update-user-data")
    for run in runs:
        await settled(served, run)
        await served.fetch("GET", f"/runs/{run}/attempts")
    for mode in ("broken", "unauthorised"):
        partner.mode = mode
        await served.fetch("POST", f"/credentials/{connection}/test")
        await served.fetch("GET", f"/credentials/{connection}")
    for path in ("/runs?per-page=100", "/credentials", "/metrics", "/openapi.json", "/docs", "/readyz"):
        await served.fetch("GET", path)


async def settled(served: Served, run_id: str) -> None:
    async with asyncio.timeout(60):
        while (await served.fetch("GET", f"/runs/{run_id}")).json["data"]["status"] in {"queued", "running"}:
            served.replies.pop()
            await asyncio.sleep(0.005)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A server that has been through everything, what its partner was asked, and its log."""

    served: Served
    up: Upstream
    log: io.StringIO


class Defect:
    """A network with a defect: it fails in a way that nobody foresaw, and its message has all of the request."""

    async def send(self, request: object, *arguments: object, **options: object) -> object:
        raise RuntimeError(f"unforeseen: {request.url} {request.headers} {CANARIES}")


@pytest.fixture(scope="module", params=["json", "text"])
async def searched(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Searched]:
    folder = tmp_path_factory.mktemp("secrets")
    for name, text in FILES.items():
        path = folder / "partners" / "echoes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    set_up_log(LogSettings(level="debug", format=request.param))
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=log), cache_logger_on_first_use=False)
    partner = Partner()
    key = {"host_part": CANARIES["host part"], "token": CANARIES["token"]}
    # The two forms of the log differ in how they are written, not in what happens.
    modes = ("refuse", "broken", "limited", "cut", "html", "redirect", "silent") if request.param == "json" else ("refuse",)
    given = {"connectors": (folder / "partners",), "partner_timeout": 1, "runs_attempts": 2}
    try:
        async with upstream(partner) as up:
            async with running_server(folder, partner_echoes_base_url=up.origin, **given) as served:
                assert not served.runtime.catalog.problems
                await everything(served, partner, key, ("refuse",))
                await everything(served, partner, key | {"password": CANARIES["password"]}, modes)
                connection = await connect_fine(served, partner, key)
                replies = served.replies
            async with running_server(folder, network=Defect(), partner_echoes_base_url=up.origin, **given) as served:
                served.replies = replies
                await defective(served, key, connection)
                yield Searched(served=served, up=up, log=log)
    finally:
        logging.getLogger().removeHandler(handler)
        structlog.reset_defaults()


async def connect_fine(served: Served, partner: Partner, fields: dict[str, str]) -> int:
    partner.mode = "fine"
    return await served.connect(PARTNER, fields)


async def defective(served: Served, fields: dict[str, str], connection: int) -> None:
    """What nobody foresaw, in a handler, in a synchronous and in a queued run."""
    found = await served.fetch("POST", "/credentials", {"partnerId": PARTNER, "title": "Echoes", "fields": fields})
    assert (found.status, found.json["error"]["code"]) == (500, "internal_error")
    data = {"credentialData": {"0": {"value": connection}}, "runnerData": {"name": CANARIES["name"]}}
    found = await served.fetch("POST", f"/partners/trigger-actions/{LOOK}/run/sync", data)
    assert (found.status, found.json["error"]["code"]) == (500, "internal_error")
    found = await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/async", data)
    await settled(served, found.json["data"]["runId"])


def test_the_partner_did_get_the_secrets(searched: Searched):
    arrived = "\n".join(f"{asked.target} {asked.headers} {asked.body!r}" for asked in searched.up.asked)

    assert {leak.canary for leak in find_leaks(CANARIES, arrived)} >= {"token", "password", "name", "note", "host part"}


def without_results(found: Reply) -> bytes:
    """An answer without a run's result and raw answer: they are the partner's own data, handed over as they came."""
    content = found.content
    if found.headers["content-type"] == "application/json" and isinstance(found.json.get("data"), dict):
        data = {name: value for name, value in found.json["data"].items() if name not in {"result", "raw"}}
        content = json.dumps(found.json | {"data": data}, ensure_ascii=False).encode()
    return f"{found.status} {dict(found.headers)}\n".encode() + content


def test_no_answer_of_the_server_has_a_secret(searched: Searched):
    answers = [without_results(found) for found in searched.served.replies]

    assert len(answers) > 40
    assert [(leak, answers[int(leak.sink[1:]) - 1]) for leak in find_leaks(SECRETS, *answers)] == []


def test_no_line_of_the_log_has_a_secret_or_data_of_a_run(searched: Searched):
    assert "RuntimeError" in searched.log.getvalue()
    assert find_leaks(CANARIES, searched.log.getvalue()) == []


def test_a_defect_is_told_in_the_log_with_where_it_happened_and_outside_only_by_an_id(searched: Searched):
    failed = [found for found in searched.served.replies if found.status == 500]

    assert len(failed) == 2
    assert all(b"Runtime" not in found.content and b"Traceback" not in found.content for found in failed)
    assert failed[0].json["error"]["requestId"] in searched.log.getvalue()
    assert failed[1].json["error"]["runId"] in searched.log.getvalue()
    assert searched.log.getvalue().count("in send") >= 3


def test_no_byte_at_rest_has_a_secret_or_data_of_a_run(searched: Searched):
    hunted = {name: secret for name, secret in CANARIES.items() if name != "host part"}

    assert find_leaks(hunted, searched.served.runtime.settings.data) == []


async def test_no_repr_shows_a_secret(searched: Searched):
    runtime = searched.served.runtime
    account = (await runtime.repo.accounts.all())[0].account_id
    record = (await runtime.repo.connections.page(account, ConnectionFilter(), sort="-credentialId", limit=1, offset=0))[0][0]
    opened = await runtime.connections.open(account, record.connection_id)
    assert record.status == "active"
    partner = await runtime.catalog.seen_by(None).partner(PARTNER)
    caller = searched.served.services.engine.desk.caller(partner, record.auth, opened.fields)
    shown = [
        repr(thing)
        for thing in (
            runtime,
            runtime.settings,
            record,
            opened,
            caller,
            await searched.served.services.engine.desk.bench(account, partner, record.connection_id),
        )
    ]

    assert opened.fields["token"] == CANARIES["token"]
    assert find_leaks(SECRETS, *shown) == []
