"""Examples of the API description, taken from truth: calls of a server with a simulated Pipedrive, and what it answers.

``python -m e2e.examples FILE`` (``make docs``) writes them; a test holds what is written against a server. What differs from one time to the next (ids, times,
secrets, addresses) is given a steady value.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from e2e.served import EMAIL, PASSWORD, PIPEDRIVE, Served, import_settled, running_server

FILE: Final = Path(__file__).parents[2] / "src" / "polyport" / "server" / "examples.json"
SHOWN_MOST: Final = 2  # of a list
LONGEST: Final = 160
MOMENT: Final = 1_795_495_488
CREATE: Final = 2_250_101
NEW_PERSONS: Final = 2_250_501
_ID: Final = re.compile(r"\b(?P<kind>run|file|evt|we|ep|imp|[a-z]{2,4})_(?P<rest>[0-9a-zA-Z]{16,})\b")
_SECRET: Final = re.compile(r"\b(?P<kind>pp[a-z]|whsec|plk)_[A-Za-z0-9_+/=-]{20,}")
_HASH: Final = re.compile(r"\b[0-9a-f]{40,}\b")
_TIME: Final = re.compile(r"\b20\d\d-\d\d-\d\dT[0-9:.]+(?:Z|\+00:00)")
_DAY: Final = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_STEADY: Final = {"authToken": "pps_…", "refreshToken": "ppr_…", "prefix": "ppk_4f6a", "hint": "…WLE="}
_DOCUMENT: Final = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "servers": [{"url": "https://api.pets.example/v1"}],
    "paths": {"/pets": {"get": {"operationId": "listPets", "summary": "List pets", "responses": {"200": {"description": "Pets"}}}}},
}


@dataclass(slots=True)
class Told:
    """What was called and answered, by operation."""

    served: Served
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    async def ask(self, operation: str, path: str = "", body: Any = None, *, token: str | None = "", again: bool = False) -> Any:
        """Make a call; what it gave. ``path`` is where the operation's has names in it. The first call of an operation is its example, unless ``again``."""
        method, _, shown = operation.partition(" ")
        asked = path or shown
        status, _headers, answer = await self.served.call(method, asked, body, token=token)
        assert status < 300, (operation, answer)
        if not again:
            assert operation not in self.found, operation
            query = asked.partition("?")[2]
            asked_with = {"body": json.loads(self._plain(json.dumps(body)))} if body is not None else {}
            self.found[operation] = ({"query": query} if query else {}) | asked_with | {"answer": self.steady(answer)}
        return answer.get("data")

    def steady(self, value: Any, name: str = "") -> Any:
        """A value as it is shown: the same each time, short, and no secret."""
        if isinstance(value, dict):
            return {key: self.steady(each, key) for key, each in value.items()}
        if isinstance(value, list):
            return [self.steady(each, name) for each in value[:SHOWN_MOST]]
        if isinstance(value, str):
            return self._text(value, name)
        if name == "simulated":
            return False  # what it is like with a connection to the partner itself
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if name.endswith("Ms") or name in {"p50", "p95", "p99"}:
            return 12
        return MOMENT if 1_600_000_000 < value < 2_200_000_000 and not name.endswith("Id") and name != "partnerId" else value

    def _plain(self, text: str) -> str:
        told = {self.served.origin: "https://polyport.example.com", "pipedrive.simulated.invalid": "acme.pipedrive.com"}
        for there, shown in (told | {EMAIL: "you@example.com", PASSWORD: "choose-a-longer-one"}).items():
            text = text.replace(there, shown)
        return text

    def _text(self, text: str, name: str) -> str:
        if name in _STEADY and (name != "hint" or text.startswith("...")):
            return _STEADY[name]
        text = self._plain(text)
        text = _SECRET.sub(lambda found: f"{found['kind']}_…", text)
        text = _ID.sub(
            lambda found: self.ids.setdefault(found[0], f"{found['kind']}_{len(self.ids) + 1:02d}a20bdeeaa24d829067040f5c91dc16"), text
        )
        text = _DAY.sub("2026-11-28", _TIME.sub("2026-11-28T08:00:00Z", _HASH.sub("9f86d081884c7d65…", text)))
        return re.sub(r"(token=|/connect/)[A-Za-z0-9_-]{16,}", r"\1…", text[:LONGEST] + ("…" if len(text) > LONGEST else ""))


async def collect(served: Served) -> dict[str, dict[str, Any]]:
    """The examples by operation, in the order in which they were told."""
    told = Told(served)
    await _account(told)
    await _catalogue(told)
    connection = await _connections(told)
    await _links(told, connection)
    await _runs(told, connection)
    await _events(told)
    await _others(told)
    return told.found


async def _account(told: Told) -> None:
    signed = await told.ask("POST /user/auth", body={"email": EMAIL, "password": PASSWORD}, token=None)
    await told.ask("POST /user/refresh", body={"refreshToken": signed["refreshToken"]}, token=None)
    told.found["POST /user/refresh"]["body"] = {"refreshToken": "ppr_…"}
    key = await told.ask(
        "POST /api-keys", body={"title": "Order sync", "scopes": ["runs:write", "runs:read"], "expiresAt": "2099-12-31T00:00:00Z"}
    )
    await told.ask("GET /api-keys")
    await told.ask("GET /api-keys/{id}", f"/api-keys/{key['id']}")
    await told.ask("DELETE /api-keys/{id}", f"/api-keys/{key['id']}")
    await told.ask(
        "PATCH /account", body={"allowedRedirectHosts": ["app.example.com"], "branding": {"name": "Acme Incorporated", "color": "#7a3cc8"}}
    )
    await told.ask("GET /account")
    await told.ask("PUT /account/partners", body={"partnerIds": [PIPEDRIVE, 10055]})
    await told.ask("GET /account/partners")
    await told.ask("DELETE /account/partners")
    person = await told.ask("POST /console-users", body={"email": "ada@example.com", "role": "developer"})
    came = {"token": person["url"].partition("token=")[2], "password": PASSWORD}
    await told.ask("POST /user/welcome", body=came, token=None)
    told.found["POST /user/welcome"]["body"] = {"token": "…", "password": "a-long-one-of-your-own"}
    await told.ask("GET /console-users")
    await told.ask("PATCH /console-users/{consoleUserId}", f"/console-users/{person['id']}", {"role": "viewer"})
    user = await told.ask(
        "POST /users", body={"externalId": "customer-17", "title": "Ada Lovelace", "email": "ada@example.com", "metadata": {"plan": "pro"}}
    )
    await told.ask("GET /users", "/users?filter[externalId]=customer-17")
    await told.ask("GET /users/{userId}", f"/users/{user['id']}")
    await told.ask("PATCH /users/{userId}", f"/users/{user['id']}", {"metadata": {"plan": "free"}})
    await told.ask(
        "POST /users/{userId}/token", f"/users/{user['id']}/token", {"expiresIn": 900, "scopes": ["connections:read", "connections:write"]}
    )


async def _catalogue(told: Told) -> None:
    await told.ask("GET /partners/info", "/partners/info?q=pipedrive&per-page=1")
    await told.ask(
        "GET /partners/trigger-actions/info", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create+person&per-page=1"
    )
    await told.ask("GET /partners/trigger-actions/{id}", f"/partners/trigger-actions/{CREATE}")
    await told.ask("GET /partners/{partnerId}", f"/partners/{PIPEDRIVE}")
    await told.ask("GET /partners/{partnerId}/credential-fields", f"/partners/{PIPEDRIVE}/credential-fields")
    await told.ask("GET /partners/{partnerId}/evidence", f"/partners/{PIPEDRIVE}/evidence")


async def _connections(told: Told) -> int:
    made = {"partnerId": PIPEDRIVE, "title": "Acme", "externalUserId": "customer-17", "metadata": {"plan": "pro"}}
    connection = int((await told.ask("POST /credentials", body=made | {"simulated": True}))["credentialId"])
    # As it is asked for a customer; what is answered is the same.
    told.found["POST /credentials"]["body"] = made | {"fields": {"company": "acme", "api_token": "any-token-0123456789"}}
    one = f"/credentials/{connection}"
    await told.ask("GET /credentials", "/credentials?filter[externalUserId]=customer-17")
    await told.ask("GET /credentials/by-status")
    await told.ask("GET /credentials/{credentialId}", one)
    await told.ask("PATCH /credentials/{credentialId}", one, {"title": "Acme Ltd"})
    await told.ask("POST /credentials/{credentialId}/test", f"{one}/test", {})
    await told.ask("GET /credentials/{credentialId}/history", f"{one}/history")
    again = f"/credentials/{PIPEDRIVE}/{connection}/update-user-data"
    await told.ask("POST /credentials/{partnerId}/{credentialId}/update-user-data", again, {})
    return connection


async def _links(told: Told, connection: int) -> None:
    asked = {"partnerId": PIPEDRIVE, "title": "Acme", "externalUserId": "customer-17", "redirectUrl": "https://app.example.com/connected"}
    link = await told.ask("POST /credentials/grant-access-sharing", body=asked)
    one = f"/credentials/grant-access-sharing/{link['id']}"
    await told.ask("GET /credentials/grant-access-sharing", "/credentials/grant-access-sharing?filter[externalUserId]=customer-17")
    await told.ask("GET /credentials/grant-access-sharing/{linkId}", one)
    await told.ask("PUT /credentials/grant-access-sharing/{linkId}", one, {"expiresIn": 3600})
    await told.ask("POST /credentials/{credentialId}/reconnect", f"/credentials/{connection}/reconnect", {"expiresIn": 86400})
    await told.ask("DELETE /credentials/grant-access-sharing/{linkId}", one)
    app = {"clientId": "abc123", "clientSecret": "3b9f0c5e7d21a8642b9f"}
    await told.ask("PUT /oauth-apps/{partnerId}", f"/oauth-apps/{PIPEDRIVE}", app)
    await told.ask("GET /oauth-apps/{partnerId}", f"/oauth-apps/{PIPEDRIVE}")
    await told.ask("GET /oauth-apps", f"/oauth-apps?filter[partnerId]={PIPEDRIVE}")
    await told.ask("DELETE /oauth-apps/{partnerId}", f"/oauth-apps/{PIPEDRIVE}")


async def _runs(told: Told, connection: int) -> None:
    with_it = {"credentialData": {"0": {"value": connection}}}
    of = f"/partners/trigger-actions/{CREATE}"
    await told.ask("POST /partners/trigger-actions/{id}/run/info", f"{of}/run/info", with_it)
    await told.ask("POST /partners/trigger-actions/{id}/options", f"{of}/options", {"field": "org_id", "query": "exam", **with_it})
    await told.ask(
        "GET /partners/trigger-actions/{id}/schema",
        f"/partners/trigger-actions/{NEW_PERSONS}/schema?dialect=anthropic&credentialId={connection}",
    )
    person = {"name": "Ada Lovelace", "email": [{"value": "ada@example.com", "label": "work"}]}
    await told.ask("POST /partners/trigger-actions/{id}/run/sync", f"{of}/run/sync", {**with_it, "runnerData": person})
    later = {**with_it, "runnerData": {"name": "Augusta King"}, "metadata": {"order": "A-1027"}, "notBefore": "2026-11-26T08:00:00Z"}
    queued = (await told.ask("POST /partners/trigger-actions/{id}/run/async", f"{of}/run/async", later))["runId"]
    await _ended(told, queued)
    await told.ask("GET /runs/{runId}", f"/runs/{queued}")
    await told.ask("GET /runs/{runId}/attempts", f"/runs/{queued}/attempts")
    await _ended(told, (await told.ask("POST /runs/{runId}/replay", f"/runs/{queued}/replay"))["runId"])
    batch = {
        "triggerActionId": CREATE,
        **with_it,
        "runs": [{"runnerData": {"name": "Grace Hopper"}, "idempotencyKey": "person-7"}, {"runnerData": {"name": ""}}],
    }
    await _ended(told, (await told.ask("POST /runs/batch", body=batch))["runs"][0]["runId"])
    await told.ask("GET /runs", f"/runs?status=succeeded&credentialId={connection}&per-page=1")
    await told.ask("POST /proxy/{credentialId}/{path}", f"/proxy/{connection}/api/v2/persons", {"method": "GET", "query": {"limit": 2}})
    await told.ask("GET /usage", f"/usage?partnerId={PIPEDRIVE}")
    await told.ask("GET /overview", f"/overview?range=day&partnerId={PIPEDRIVE}")


async def _ended(told: Told, run_id: str) -> None:
    for _look in range(600):
        if (await told.ask("GET /runs/{runId}", f"/runs/{run_id}", again=True))["status"] == "succeeded":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(run_id)


async def _events(told: Told) -> None:
    asked = {"url": "https://example.com/hooks/polyport", "eventTypes": ["run.finished", "connection.*"], "title": "Production"}
    endpoint = (await told.ask("POST /event-endpoints", body=asked))["endpointId"]
    one = f"/event-endpoints/{endpoint}"
    await told.ask("GET /event-endpoints")
    await told.ask("PATCH /event-endpoints/{endpointId}", one, {"status": "paused"})
    await told.ask("GET /event-endpoints/{endpointId}", one)
    await told.ask("POST /event-endpoints/{endpointId}/rotate-secret", f"{one}/rotate-secret", {"keepFor": 86400})
    await told.ask("POST /account/callback-secret/rotate", body={"keepFor": 0})
    await told.ask("GET /account/callback-secret")
    await told.ask("POST /events/replay", body={"type": "run.finished"})
    await told.ask("GET /events", "/events?type=connection.updated&per-page=1")


async def _others(told: Told) -> None:
    file = (await told.ask("POST /files", body={"name": "note.txt", "contentType": "text/plain", "base64": "aGVsbG8="}))["fileId"]
    await told.ask("GET /files/{fileId}", f"/files/{file}")
    await told.ask("DELETE /files/{fileId}", f"/files/{file}")
    imported = await told.ask("POST /partners/import", body={"slug": "pets", "document": _DOCUMENT})
    ended = await import_settled(told.served, imported["importId"])
    await told.ask("GET /partners/imports/{importId}", f"/partners/imports/{imported['importId']}?wait=30")
    of = f"/partners/{ended['partnerId']}"
    await told.ask("GET /partners/own")
    await told.ask("GET /partners/{partnerId}/versions", f"{of}/versions")
    await told.ask(
        "PUT /partners/{partnerId}/deprecation", f"{of}/deprecation", {"message": "Use Pets 2 in its place.", "on": "2099-06-30"}
    )
    await told.ask("GET /audit", "/audit?per-page=1")
    await told.ask("GET /audit/verify")
    await told.ask("GET /healthz", token=None)
    await told.ask("POST /user/password", body={"password": PASSWORD, "newPassword": "a-longer-one-still"})


async def main() -> str:
    """The examples as they are written."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_server(Path(folder)) as served:
            return json.dumps(await collect(served), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else FILE).write_text(asyncio.run(main()), "utf-8")
