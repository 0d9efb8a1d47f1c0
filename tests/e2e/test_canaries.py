"""R11 on a real process: a canary in every kind of secret that there is, every door that deals with it, every sink searched, also for encoded forms.

``test_secrets.py`` tries the ways in which a partner and our own code can fail; here it is the kinds of secrets, in a server as people run it: its log at level
debug, its files, a backup of it, the commands beside it.
"""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.processes import run, serving
from e2e.served import Asked, Reply, Served, answer, upstream
from e2e.test_secrets import settled, without_results
from polyport.testing.leaks import find_leaks

pytestmark = pytest.mark.anyio

PARTNER, MAKE = 990011, 99001101
PEM = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
MASTER = base64.b64encode(os.urandom(32)).decode()
# What is told to the server, by what it is. Odd characters show whether encoded forms are looked for.
CANARIES = {
    "master key": MASTER,
    "first password": "canary-first/password+1=Hs7Kd9",
    "new password": "canary new&password <2> Qp4Zt8",
    "wrong password": "canary-wrong-password-3-Mv6Jx2",
    "app secret": "canary/app+secret=4&Bn5Rw1",
    "api key": 'canary"api key\\5/Lf8Yc3',
    "bearer": "canary-bearer-6-Tg2Nb7",
    "basic user": "canary-basic-user-7-Dk4Sv9",
    "basic password": "canary:basic:password:8/Wz1Hq6",
    "client secret": "canary client+secret 9 % Xr3Pm8",
    "session password": "canary-session-password-10-Cj5Ft2",
    "jwt key": "canary-jwt-key-with-32-bytes-or-more-11-Ue7Lo4",
    "service key": "canary-service-key-with-32-bytes-or-more-12-Ga9Id1",
    "signing secret": "canary-signing-secret-13-Vy6Bk3",
    "consumer secret": "canary-consumer-secret-14-Ns8Xw5",
    "token secret": "canary-token-secret-15-Oh2Rz7",
    "secret access key": "canary/secret/access/key/16/Pe4Qj9",
    "session token": "canary-aws-session-token-17-Kt1Mu6",
    "certificate key": PEM.splitlines()[1],
    "secret input": "canary/secret input+18=Zf3Vd8",
    "secret in a row": "canary-secret-in-a-row-19-Ry5Hc2",
    "loose token": "canary-loose-token-20-Ew7Tl4",
}
# What the partner gives: nobody but the server may see it.
GIVEN = {
    "access token": "canary-access/token+21=Jb9Gs1",
    "refresh token": "canary-refresh-token-22-Lm6Nx3",
    "session id": "canary-session-id-23-Qa8Wk5",
}
KINDS = {
    "api_key": {"key": "api key"},
    "bearer": {"token": "bearer"},
    "basic": {"user": "basic user", "password": "basic password"},
    "client": {"client_id": None, "client_secret": "client secret"},
    "session": {"user": None, "password": "session password"},
    "jwt": {"key": "jwt key"},
    "service": {"key_file": "service key"},
    "signature": {"secret": "signing secret"},
    "oauth1": {
        "account": None,
        "consumer_key": None,
        "consumer_secret": "consumer secret",
        "token": None,
        "token_secret": "token secret",
    },
    "sigv4": {"access_key_id": None, "secret_access_key": "secret access key", "session_token": "session token"},
    "certificate": {"certificate": None, "private_key": "certificate key"},
}
SCHEMES = {
    "api_key": '{kind: api_key, in: query, param: k, value: "{{connection.key}}", also: [{in: header, param: X-Also, value: "Key {{connection.key}}"}]}',
    "bearer": '{kind: bearer, token: "{{connection.token}}"}',
    "basic": '{kind: basic, username: "{{connection.user}}", password: "{{connection.password}}"}',
    "client": '{kind: oauth2, grant: client_credentials, tokenUrl: "https://api.example.com/token", clientAuth: body}',
    "session": '{kind: session, steps: [{save: login, url: "https://api.example.com/login", body: {user: "{{connection.user}}", password: '
    '"{{connection.password}}"}, message: error}], keep: {token: "{{steps.login.body.session.id}}"}, lifetime: 1800, place: [{in: header, param: X-Session, '
    'value: "{{grant.token}}"}]}',
    "jwt": '{kind: jwt, algorithm: HS256, key: "{{connection.key}}", claims: {aud: /x/}, lifetime: 300}',
    "service": '{kind: jwt_bearer, tokenUrl: "https://api.example.com/token", assertion: {algorithm: HS256, keyFile: "{{connection.key_file}}", '
    'claims: {iss: "{{key.client_email}}"}, lifetime: 3600}}',
    "signature": '{kind: signature, algorithm: sha256, key: "{{connection.secret}}", signs: "{{request.body}}", encoding: hex, place: [{in: header, '
    'param: X-Signature, value: "{{signature}}"}]}',
    "oauth1": '{kind: oauth1, method: HMAC-SHA256, realm: "{{connection.account}}"}',
    "sigv4": '{kind: sigv4, service: s3, region: us-east-1, sessionToken: "{{connection.session_token}}"}',
    "certificate": "{kind: certificate}",
}


def folder_of_partner() -> dict[str, str]:
    auth = []
    for kind, fields in KINDS.items():
        told = ", ".join(
            f"{{name: {name}, type: string, label: {name}, format: multiline, required: true, secret: {str(canary is not None).lower()}}}"
            for name, canary in fields.items()
        )
        auth.append(f"    - {{name: {kind}, label: {kind}, fields: [{told}], scheme: {SCHEMES[kind]}}}")
    auth.append(
        "    - {name: sign_in, label: Sign in, scheme: {kind: oauth2, authorizeUrl: https://api.example.com/authorize, tokenUrl: https://api.example.com/token, scopes: [a]}}"
    )
    listed = "\n".join(auth)
    return {
        "partner.yaml": f"""
id: {PARTNER}
slug: canaries
title: Canaries
description: Gives back what it gets.
categories: [test]
owners: [polyport]
docs: https://example.com/docs
base: https://api.example.com
connection:
  auth:
{listed}
  verify: {{call: {{path: /me}}, account: "{{{{answer.account}}}}"}}
errors:
  - {{status: [400], kind: invalid_input, message: error}}
  - {{status: [401], kind: invalid_connection, message: error}}
verified: {{how: cases, on: "2026-11-24"}}
""",
        "actions/make.yaml": f"""
id: {MAKE}
name: make
title: Make
idempotent: false
fields:
  - {{name: name, type: string, label: Name, required: true}}
  - {{name: pin, type: string, label: Pin, secret: true}}
sections:
  - {{name: rows, label: Rows, fields: [{{name: seal, type: string, label: Seal, secret: true}}]}}
call: {{method: POST, path: /make, query: {{p: "{{{{pin}}}}"}}, headers: {{X-Pin: "{{{{pin}}}}"}}, body: {{name: "{{{{name}}}}", odd: "{{{{pin}}}}", rows: "{{{{rows}}}}"}}}}
result: {{fields: [{{name: made, type: string, label: Made}}]}}
""",
    }


class Partner:
    """Gives tokens where it is asked for some; refuses or accepts the rest, and repeats all of the request in any case."""

    status = 200

    async def __call__(self, asked: Asked) -> bytes:
        said: dict[str, object] = {}
        if asked.target.startswith("/token"):
            said = {"access_token": GIVEN["access token"], "refresh_token": GIVEN["refresh token"], "expires_in": 3600}
        elif asked.target.startswith("/login"):
            said = {"session": {"id": GIVEN["session id"]}}
        status = 200 if said and self.status == 200 else self.status
        seen = f"{asked.method} {asked.target} {json.dumps(dict(asked.headers))} {asked.body.decode()}"
        backwards = base64.b64encode(":".join(reversed(seen.split(":", 1))).encode()).decode()
        echoes = {
            "error": f"Refused: {seen}",
            "made": "made",
            "account": "somebody",
            "seen": {"text": seen, "hex": seen.encode().hex(), "b": backwards},
        }
        return answer(status, said | echoes, {"X-Echo": asked.headers.get("authorization", "")})


@dataclass(kw_only=True)
class Sinks:
    """A server that has been through everything. ``own`` are the secrets that it gave out, ``told`` what commands beside it wrote."""

    served: Served
    folder: Path
    asked: str
    log: str = ""
    own: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    cmdline: bytes = b""


def fields_of(kind: str) -> dict[str, str]:
    fields = {name: CANARIES[canary] if canary is not None else "plain-value" for name, canary in KINDS[kind].items()}
    if kind == "service":
        fields["key_file"] = json.dumps({"client_email": "robot@example.com", "private_key": CANARIES["service key"]})
    if kind == "certificate":
        fields |= {"private_key": PEM, "certificate": "no certificate"}
    return fields


async def by_a_page(sinks: Sinks, kind: str) -> Reply:
    """A customer by a link: the form, a wrong try that shows it again, the try that counts."""
    served = sinks.served
    made = (await served.call("POST", "/credentials/grant-access-sharing", {"partnerId": PARTNER, "title": "Canaries"}))[2]["data"]
    served.replies.pop()  # the one answer that has the token
    sinks.own[f"link token {made['id']}"] = made["token"]
    where = {"id": made["id"], "token": made["token"]}
    page = await served.fetch("GET", f"/connect?{urlencode(where)}", token=None)
    assert page.status == 200
    served.replies.remove(page)  # the form has to have the token, for the browser to send it
    sinks.told.append(page.content.decode().replace(made["token"], ""))
    form = {**where, "auth": kind, **{f"field.{name}": value for name, value in fields_of(kind).items()}}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    again = await served.fetch("POST", "/connect", content=urlencode(form).encode(), token=None, headers=headers)
    served.replies.remove(again)
    sinks.told.append(again.content.decode().replace(made["token"], ""))
    return again


async def one_kind(sinks: Sinks, partner: Partner, kind: str) -> None:
    """Connections of one kind and their runs, with the partner refusing and accepting."""
    served, body = sinks.served, {"partnerId": PARTNER, "title": kind, "auth": kind, "fields": fields_of(kind)}
    for status in (400, 401, 500):
        partner.status = status
        assert (await served.fetch("POST", "/credentials", body)).status >= 400
    await by_a_page(sinks, kind)
    partner.status = 200
    await by_a_page(sinks, kind)
    made = await served.fetch("POST", "/credentials", body)
    if kind == "certificate":  # there is none that could be used over plain HTTP
        assert made.status == 422, made.content
        return
    assert made.status == 201, made.content
    connection = made.json["data"]["credentialId"]
    data = {"name": "n", "pin": CANARIES["secret input"], "rows": [{"seal": CANARIES["secret in a row"]}]}
    asked = {"credentialData": {"0": {"value": connection}}, "runnerData": data}
    runs = []
    for status in (200, 400, 500):
        partner.status = status
        for mode in ("sync", "async"):
            found = await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/{mode}", asked)
            runs.append((found.json.get("data") or found.json["error"])["runId"])
    await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/sync", {**asked, "dryRun": True})
    await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/info", asked)
    wrong = {**asked, "runnerData": data | {"pin": [CANARIES["secret input"], {"a": CANARIES["secret in a row"]}]}}
    await served.fetch("POST", f"/partners/trigger-actions/{MAKE}/run/sync", wrong)
    for run_id in runs:
        await settled(served, run_id)
        await served.fetch("GET", f"/runs/{run_id}/attempts")
    shell = ("run", MAKE, "--connection", connection, "--folder", sinks.folder / "data", "--data", json.dumps(data))
    for extra in (("--dry-run",), ()) if kind in {"basic", "client"} else ():
        done = await asyncio.to_thread(run, *shell, *extra, **settings_of(sinks.folder, sinks.asked))
        sinks.told += [done.stdout if extra else "", done.stderr]
    for status in (401, 200):
        partner.status = status
        await served.fetch("POST", f"/credentials/{connection}/test")
        await served.fetch("GET", f"/credentials/{connection}")


async def own_secrets(sinks: Sinks) -> None:
    """What the server gives out once, and passwords: nobody hears of them again."""
    served = sinks.served
    first = {"email": "owner@example.com", "password": CANARIES["first password"]}
    found = await served.call("POST", "/user/auth", first, token=None)
    served.replies.pop()
    served.token = found[2]["data"]["authToken"]
    sinks.own |= {"session token of ours": served.token, "refresh token of ours": found[2]["data"]["refreshToken"]}
    await served.fetch("POST", "/user/auth", first | {"password": CANARIES["wrong password"]}, token=None)
    await served.fetch("POST", "/user/auth", {"email": CANARIES["loose token"], "password": CANARIES["wrong password"]}, token=None)
    made = await served.call("POST", "/api-keys", {"title": "k", "scopes": ["runs:read"]})
    served.replies.pop()
    sinks.own["api key of ours"] = next(value for value in made[2]["data"].values() if isinstance(value, str) and len(value) > 30)
    await served.fetch("GET", "/api-keys")
    await served.fetch("GET", "/runs", token=CANARIES["loose token"])
    await served.fetch("GET", f"/nowhere/{CANARIES['loose token']}?token={CANARIES['loose token']}")
    await served.fetch("PUT", f"/oauth-apps/{PARTNER}", {"clientId": "app-1", "clientSecret": CANARIES["app secret"]})
    await served.fetch("PUT", f"/oauth-apps/{PARTNER}", {"clientId": 1, "clientSecret": [CANARIES["app secret"]]})
    await served.fetch("GET", f"/oauth-apps/{PARTNER}")
    await served.fetch("GET", "/oauth-apps")
    made = await served.call("POST", "/event-endpoints", {"url": "http://127.0.0.1:9/hook"})
    served.replies.pop()
    sinks.own["endpoint secret"] = made[2]["data"]["secret"]
    await served.fetch("GET", "/event-endpoints")
    made = await served.call("POST", "/account/callback-secret/rotate", {})
    served.replies.pop()
    sinks.own["callback secret"] = made[2]["data"]["secret"]
    await served.fetch("GET", "/account/callback-secret")


async def last_doors(sinks: Sinks) -> None:
    served = sinks.served
    for path in (
        "/runs?per-page=100",
        "/credentials",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/readyz",
        f"/partners/{PARTNER}/credential-fields",
    ):
        await served.fetch("GET", path)
    change = {"password": CANARIES["first password"], "newPassword": CANARIES["new password"]}
    await served.fetch("POST", "/user/password", {**change, "newPassword": [CANARIES["new password"]]})
    changed = await served.fetch("POST", "/user/password", change)
    assert changed.status == 200, changed.content
    for command in (("keys", "list"), ("keys", "rotate"), ("oauth-app", "list"), ("backup", sinks.folder / "backup.db")):
        done = await asyncio.to_thread(run, *command, "--data", sinks.folder / "data", **settings_of(sinks.folder, sinks.asked))
        sinks.told += [done.stdout, done.stderr]
    assert (sinks.folder / "backup.db").stat().st_size > 0


def settings_of(folder: Path, origin: str) -> dict[str, str]:
    return {
        "POLYPORT_BOOTSTRAP_EMAIL": "owner@example.com",
        "POLYPORT_BOOTSTRAP_PASSWORD": CANARIES["first password"],
        "POLYPORT_MASTER_KEY": MASTER,
        "POLYPORT_ALLOW_NETWORKS": "127.0.0.0/8",
        "POLYPORT_CONNECTORS": str(folder / "partners"),
        "POLYPORT_PARTNER_CANARIES_BASE_URL": origin,
        "POLYPORT_LOG_LEVEL": "debug",
        "POLYPORT_LOGIN_ATTEMPTS": "50",
        "POLYPORT_RUNS_ATTEMPTS": "1",
    }


@pytest.fixture(scope="module")
async def sinks(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sinks]:
    folder = tmp_path_factory.mktemp("canaries")
    for name, text in folder_of_partner().items():
        path = folder / "partners" / "canaries" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    partner = Partner()
    async with contextlib.AsyncExitStack() as stack:
        up = await stack.enter_async_context(upstream(partner))
        server = stack.enter_context(serving(folder, anew=True, **settings_of(folder, up.origin)))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        served = Served(origin=f"http://127.0.0.1:{server.port}", token="", runtime=None, services=None, client=client)
        found = Sinks(served=served, folder=folder, asked=up.origin)
        await own_secrets(found)
        for kind in KINDS:
            await one_kind(found, partner, kind)
        await last_doors(found)
        found.cmdline = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()  # noqa: ASYNC240  nothing waits for it
        found.log = server.told()
        found.asked = "\n".join(f"{asked.target} {asked.headers} {asked.body!r}" for asked in up.asked)
        yield found


def hunted(sinks: Sinks) -> dict[str, str]:
    return CANARIES | GIVEN | sinks.own


def test_the_secrets_were_in_use(sinks: Sinks):
    sent = {"api key", "bearer", "basic password", "client secret", "session password", "session token", "secret input", "secret in a row"}
    assert {leak.canary for leak in find_leaks(CANARIES | GIVEN, sinks.asked)} >= sent | {"access token", "session id"}
    assert len(sinks.own) == 5 + 2 * len(KINDS)
    assert len(sinks.served.replies) > 200


def test_no_answer_has_one(sinks: Sinks):
    answers = [without_results(found) for found in sinks.served.replies]
    assert [(leak, answers[int(leak.sink[1:]) - 1][:2000]) for leak in find_leaks(hunted(sinks), *answers)] == []


def test_no_page_and_no_command_shows_one(sinks: Sinks):
    assert [(leak, sinks.told[int(leak.sink[1:]) - 1][:2000]) for leak in find_leaks(hunted(sinks), *sinks.told)] == []


def test_the_log_has_none_at_any_level(sinks: Sinks):
    assert find_leaks(hunted(sinks), sinks.log, sinks.cmdline) == []


def test_no_file_has_one_and_neither_has_the_backup(sinks: Sinks):
    assert {path.name for path in (sinks.folder / "data").iterdir()} >= {"polyport.db", "polyport.db-wal"}
    assert find_leaks(hunted(sinks), sinks.folder / "data", sinks.folder / "backup.db") == []
