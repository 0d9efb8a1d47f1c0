"""The pass-through: a request of the caller's own to a partner, signed by a connection, with the guarantees of any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pydantic import Field

from polyport.accounts import URL_LONGEST
from polyport.engine.intake import SYNC_LIMIT_MS
from polyport.engine.record import Ask
from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.manifest.passing import METHODS, passing_id, shape_of
from polyport.server.asks import ask_of_body, faults_of, read_key
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.runs import PARTNER_ERRORS, RunDone, finished
from polyport.server.wire import FAULTS_MOST, ExternalUserId

_SENT: Final = ("json", "form", "text")
_OBJECTS: Final = ("query", "headers", "form")
_TEXTS: Final = ("text", "contentType")
_RUN: Final = frozenset({"timeoutMs", "metadata", "callbackUrl", "externalUserId", "dryRun"})
_KEYS: Final = frozenset({"method", "query", "headers", *_SENT, "contentType"}) | _RUN
_BODILESS: Final = frozenset({"GET", "HEAD"})


class ProxyBody(Body):
    """The request to send. At most one of ``json``, ``form`` and ``text`` is its body; ``contentType`` is that of a text."""

    method: str = Field(default="GET", json_schema_extra={"enum": list(METHODS)})
    query: dict[str, Any] | None = None
    headers: dict[str, Any] | None = None
    json_: Any = Field(default=None, alias="json")
    form: dict[str, Any] | None = None
    text: str | None = None
    content_type: str | None = None
    timeout_ms: int | None = Field(default=None, ge=100, le=SYNC_LIMIT_MS)
    callback_url: str | None = Field(default=None, max_length=URL_LONGEST, description="Where the event run.finished goes.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    external_user_id: ExternalUserId | None = None
    dry_run: bool = False


async def send(call: Call) -> Answer:
    """POST /proxy/{credentialId}/{path}."""
    body, credential_id, key = call.json(), call.id("credentialId"), read_key(call)
    record = await call.engine.runtime.repo.connections.get(call.principal.account_id, credential_id)
    if record is None:
        raise NotFound("There is no connection with this id.")
    ask = _ask(call, body, record.partner_id, credential_id, key)
    try:
        if body.get("dryRun"):
            return Answer(data={"dryRun": True, "requests": await call.engine.dry_run(ask)})
        return finished(call, await call.engine.run_sync(ask))
    except ValidationFailed as refused:
        faults = tuple(replace(fault, path=_own_path(fault.path)) for fault in refused.details.fields)
        raise ValidationFailed(refused.message, replace(refused.details, fields=faults)) from None


def _ask(call: Call, body: Any, partner_id: int, credential_id: int, key: str | None) -> Ask:
    """The ask of the operation that passes requests on. Raises ``ValidationFailed`` with every fault."""
    if not isinstance(body, dict):
        raise ValidationFailed.of(Fault(path="", code="wrong_type", message="The body has to be a JSON object."))
    faults = _faults(body)
    faults += faults_of({name: value for name, value in body.items() if name in _RUN}, "sync", call.engine.runtime)
    segments, slash = _segments(call, faults)
    if faults:
        raise ValidationFailed.of(*faults)
    method = str(body.get("method") or "GET").upper()
    sent = next((name for name in _SENT if body.get(name) is not None), "none")
    data: dict[str, Any] = {"shape": shape_of(slash=slash, body=sent), "method": method, "path": segments}
    data |= {"query": _query(call, body.get("query") or {}), "headers": body.get("headers") or {}}
    if sent != "none":
        data[sent] = body[sent]
    if body.get("contentType") is not None:
        data["content_type"] = body["contentType"]
    told = {name: value for name, value in body.items() if name in _RUN}
    told |= {"credentialData": {"0": credential_id}, "runnerData": data}
    return ask_of_body(call, told, passing_id(partner_id, method), "sync", key)


def _faults(body: Mapping[str, Any]) -> list[Fault]:
    faults = [
        Fault(path=key, code="unknown_field", message="There is no such field here.")
        for key in list(body)[:FAULTS_MOST]
        if key not in _KEYS
    ]
    faults += [
        Fault(path=name, code="wrong_type", message="An object is needed here.")
        for name in _OBJECTS
        if body.get(name) is not None and not isinstance(body[name], dict)
    ]
    faults += [
        Fault(path=name, code="wrong_type", message="A text is needed here.")
        for name in _TEXTS
        if body.get(name) is not None and not isinstance(body[name], str)
    ]
    method = body.get("method") or "GET"
    if not isinstance(method, str) or method.upper() not in METHODS:
        faults.append(Fault(path="method", code="unknown_option", message=f"A method is one of: {', '.join(METHODS)}."))
        return faults
    given = [name for name in _SENT if body.get(name) is not None]
    if given and method.upper() in _BODILESS:
        faults.append(Fault(path=given[0], code="not_allowed", message="A request with this method has no body."))
    faults += [Fault(path=name, code="not_allowed", message="A request has one body: json, form or text.") for name in given[1:]]
    return faults


def _segments(call: Call, faults: list[Fault]) -> tuple[list[str], bool]:
    """The segments of the path as the caller wrote them (an encoded slash stays in its segment), and whether there is a slash at the end."""
    raw = call.http.scope.get("raw_path") or call.http.scope["path"].encode()
    told = raw.decode("latin-1").lstrip("/").split("/", 2)[2].split("/")
    slash = len(told) > 1 and told[-1] == ""
    segments: list[str] = []
    for part in told[:-1] if slash else told:
        try:
            segments.append(unquote_to_bytes(part).decode())
        except UnicodeDecodeError:
            segments.append("")
    if any(segment in {"", ".", ".."} for segment in segments):
        message = "A segment of the path is UTF-8, neither empty nor a dot segment: the path stays below the partner's own address."
        faults.append(Fault(path="path", code="wrong_format", message=message))
    return segments, slash


def _query(call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
    """The query of the address, and that of the body in its place where both have a name."""
    found: dict[str, Any] = {}
    for name, value in call.http.query_params.multi_items():
        found[name] = [*found[name], value] if name in found else [value]
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()} | dict(given)


def _own_path(path: str) -> str:
    """The path of a fault in the words of this endpoint."""
    if path.startswith("credentialData"):
        return "credentialId"
    return path.removeprefix("runnerData.")


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/proxy/{credentialId}/{path:path}",
        handler=send,
        tag="Runs",
        summary="Send a request of your own to a partner, signed by a connection",
        description=(
            "The path goes below the partner's own address, the query of this address goes along. It is a run like any other: recorded, with `Idempotency-Key`, repeated on its own only where that is "
            "harmless (GET, HEAD and OPTIONS), `uncertain` where nobody can tell. An answer of 400 or more is an error. `result` holds the partner's `status`, `headers` and `body` (JSON) or `text`."
        ),
        scope="runs:write",
        body=ProxyBody,
        query=(Param(name="Idempotency-Key", where="header", description="Same key and request within 24 hours: one effect, one answer."),),
        answer=RunDone,
        errors=("cancelled", "conflict", "idempotency_in_progress", "idempotency_mismatch", *PARTNER_ERRORS),
    ),
)
