"""From a run to a case: its recorded answers are played to the engine with the case's own connection, and what it sends then is what a case expects.

So no secret of the run's connection gets into a case: neither its host nor its keys are in the requests, and the answers were redacted when they were recorded.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from polyport.engine.trace import SHOWN_LIMIT
from polyport.errors import PolyportError
from polyport.manifest.cases import Case, CaseConnection, CaseFile, RecordedReply, load_cases
from polyport.manifest.model import Partner
from polyport.manifest.writing import yaml_text
from polyport.net.message import Reply, Request
from polyport.paths import MISSING
from polyport.testing.bodies import Malformed, read_body
from polyport.testing.cases import outcome_of, reply_of, run_case

# Headers of requests that say nothing of the operation, and those of answers that the engine may look at.
_USUAL: Final = frozenset({"content-type", "content-length", "accept", "accept-encoding", "user-agent", "host", "connection"})
_TELLING: Final = frozenset({"link", "retry-after", "location", "etag", "content-type", "content-disposition"})
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_PARTS: Final = ("ratelimit", "rate-limit", "cursor", "page", "total")


class Unrecordable(ValueError):
    """A run that no case can be made of; why, as a sentence."""


@dataclass(slots=True)
class _Played:
    """A network that gives the recorded answers in their order."""

    replies: Sequence[RecordedReply]
    requests: list[Request] = field(default_factory=list)

    async def send(self, request: Request) -> Reply:
        """The next answer."""
        if len(self.requests) == len(self.replies):
            raise Unrecordable("With the connection of the cases it would send more requests than the run did.")
        self.requests.append(request)
        return reply_of(self.replies[len(self.requests) - 1], request.url)


def recorded_reply(status: int, headers: Sequence[Sequence[str]], body: str | None) -> dict[str, Any]:
    """An answer as cases hold it. Raises ``Unrecordable`` for a body that was cut or that is no text."""
    text = body or ""
    if len(text) > SHOWN_LIMIT or "\ufffd" in text:
        raise Unrecordable("An answer is too long for a case, or is no text.")
    kept = {name.lower(): value for name, value in headers if _tells(name.lower())}
    kind = kept.get("content-type", "")
    found: dict[str, Any] = {"status": status}
    if kind.partition(";")[0].strip() in {"application/json", ""}:
        kept.pop("content-type", None)
        try:
            found |= {"json": json.loads(text)} if text else {}
        except ValueError:
            found |= {"text": text}
    elif text:
        found["text"] = text
    return found | ({"headers": kept} if kept else {})


def recorded_replies(attempts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The answers of a run's last attempt. Raises ``Unrecordable``."""
    found = []
    for exchange in attempts[-1]["exchanges"] if attempts else ():
        reply = exchange.get("reply")
        if not reply:
            raise Unrecordable("The partner gave no answer: a case holds answers.")
        found.append(recorded_reply(reply["status"], reply["headers"], reply["body"]))
    return found


def _tells(name: str) -> bool:
    return name in _TELLING or any(part in name for part in _PARTS)


async def case_of(partner: Partner, operation: str, connection: CaseConnection | None, given: Mapping[str, Any], replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:  # fmt: skip
    """A case: ``given`` is its title and what it was run with, ``replies`` are the answers. It passes: it was run. Raises ``Unrecordable``."""
    network = _Played([RecordedReply.model_validate(reply, by_alias=True, by_name=False) for reply in replies])
    draft = Case.model_validate({**given, "result": {}}, by_alias=True, by_name=False)
    try:
        outcome = await outcome_of(partner, CaseFile(file="", target=operation, name="", case=draft), connection, network)
    except PolyportError as error:
        outcome = {"error": error.as_record()}
    requests = [_expected(request) for request in network.requests]
    exchanges = [{"request": request, "reply": dict(reply)} for request, reply in zip(requests, replies, strict=False)]
    data: dict[str, Any] = plain({**given, **({"exchanges": exchanges} if exchanges else {}), **_told(outcome)})
    await _prove(partner, operation, connection, data)
    return data


def _told(outcome: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in outcome:
        record = outcome["error"]
        if record["code"] == "validation_failed":
            return {"invalid": [{"path": fault["path"], "code": fault["code"]} for fault in record["fields"]]}
        upstream = record.get("upstream") or {}
        told = {name: upstream[name] for name in ("status", "message") if upstream.get(name)}
        return {"error": {"code": record["code"], "retryable": record["retryable"]} | ({"upstream": told} if told else {})}
    return {name: outcome[name] for name in ("result", "items") if name in outcome}


def _expected(request: Request) -> dict[str, Any]:
    """A request as cases expect it."""
    url, _, query = request.url.partition("?")
    found: dict[str, Any] = {"method": request.method, "url": url}
    headers = {name: value for name, value in request.headers if name.lower() not in _USUAL}
    if headers:
        found["headers"] = headers
    if query:
        found["query"] = _pairs(query)
    return found | _body(request)


def _pairs(text: str) -> dict[str, Any]:
    pairs: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        pairs.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in pairs.items()}


def _body(request: Request) -> dict[str, Any]:
    if not request.body:
        return {}
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    text = request.body.decode("utf-8", "replace")
    if kind == "application/x-www-form-urlencoded":
        return {"form": _pairs(text)}
    try:
        value = read_body(request.header("content-type") or "", request.body)
    except Malformed:
        value = MISSING
    if kind.startswith("multipart/") and isinstance(value, dict):
        return {"multipart": value}
    if kind.endswith("xml") and isinstance(value, dict):
        return {"xml": value}
    return {"json": value} if kind.endswith("json") and value is not MISSING else {"text": text}


def plain(value: Any) -> Any:
    """JSON of nothing but what YAML writes by itself."""
    found: Any = json.loads(_ENCODER.encode(value))
    return found


async def _prove(partner: Partner, operation: str, connection: CaseConnection | None, data: Mapping[str, Any]) -> None:
    """The case is read as its file will be, and run."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "cases" / operation / "case.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml_text(data), "utf-8")
        loaded = load_cases(Path(place))
    if loaded.problems:
        raise Unrecordable(f"What came of it is no case: {loaded.problems[0].message}")
    report = await run_case(partner, loaded.cases[0], connection)
    if report.differences:
        raise Unrecordable(f"Played again, it does not come out the same: {report.differences[0]}")
