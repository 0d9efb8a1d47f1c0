"""Runs a partner's cases through the real engine over a network that holds the case's exchanges. ``python -m polyport.testing.cases FOLDER``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from polyport.engine.caller import Caller, open_caller
from polyport.engine.calls import list_choices, read_list, verify
from polyport.engine.operation import (
    DirectLists,
    act,
    build_scope,
    compile_operation,
    compute,
    read_reading,
    read_trigger,
    select,
    understand,
)
from polyport.engine.outcome import in_doubt
from polyport.engine.retry import decide, policy_of
from polyport.engine.trace import CallFailed
from polyport.errors import PolyportError, ValidationFailed
from polyport.kinds.fields import FileValue, coerce_datetime
from polyport.kinds.filenames import name_in_url
from polyport.manifest.cases import Case, CaseConnection, CaseFile, Exchange, ExpectedRequest, RecordedReply, load_cases
from polyport.manifest.load import load_partner
from polyport.manifest.model import Action, Partner, Trigger
from polyport.net.message import Network, Reply, Request
from polyport.paths import MISSING
from polyport.testing.bodies import Malformed, read_body
from polyport.testing.differences import differences, shown, text_differences
from polyport.testing.keys import read_token, with_keys

CASE_UUID: Final = "00000000-0000-4000-8000-000000000001"
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(slots=True, kw_only=True)
class CaseNetwork:
    """A network that answers with the case's exchanges, in order, and notes what differs from what was expected."""

    exchanges: tuple[Exchange, ...]
    differences: list[str] = field(default_factory=list)
    sent: int = 0
    requests: list[Request] = field(default_factory=list)

    async def send(self, request: Request) -> Reply:
        """Compare one request with the next expected one, and give its answer."""
        self.requests.append(request)
        if self.sent >= len(self.exchanges):
            self.differences.append(f"one request more than expected: {request.method} {request.url}")
            return Reply(status=599)
        expected = self.exchanges[self.sent]
        self.sent += 1
        self.differences.extend(f"request {self.sent}: {text}" for text in _compare(expected.request, request))
        return reply_of(expected.reply, request.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What came of one case: ``differences`` is empty when it passed. ``requests`` are those that were sent."""

    file: str
    title: str
    differences: tuple[str, ...]
    requests: tuple[Request, ...] = ()


async def run_case(partner: Partner, found: CaseFile, shared: CaseConnection | None) -> CaseReport:
    """Run one case; never raises for what stands in it."""
    case = found.case
    network = CaseNetwork(exchanges=case.exchanges)
    differences: list[str] = []
    try:
        outcome = await outcome_of(partner, found, case.connection or shared, network)
    except PolyportError as error:
        outcome = {"error": error.as_record()}
    except ValueError as error:
        outcome = {"unusable": str(error)}
    differences.extend(network.differences)
    if network.sent < len(case.exchanges):
        differences.append(f"only {network.sent} of {len(case.exchanges)} expected requests were sent")
    differences.extend(_compare_outcome(case, outcome))
    return CaseReport(file=found.file, title=case.title, differences=tuple(differences), requests=tuple(network.requests))


async def run_cases(folder: Path) -> tuple[list[CaseReport], list[str]]:
    """Run all cases of a folder: the reports, and the problems that kept cases from running."""
    loaded, cases = load_partner(folder), load_cases(folder)
    problems = [str(problem) for problem in (*loaded.problems, *cases.problems)]
    if loaded.partner is None:
        return [], problems
    return [await run_case(loaded.partner, found, cases.connection) for found in cases.cases], problems


def open_case_caller(partner: Partner, connection: CaseConnection | None, network: Network, now: str) -> Caller:
    """A caller with the case's connection, over the case's network and clock."""
    clock: datetime = coerce_datetime(now)
    caller = open_caller(
        partner,
        connection.auth if connection is not None else None,
        with_keys(connection.fields) if connection is not None else {},
        network,
        replaced=None,
        timeout=30,
        clock=lambda: clock,
    )
    return replace(caller, fresh_id=lambda: CASE_UUID)


async def outcome_of(partner: Partner, found: CaseFile, connection: CaseConnection | None, network: Network) -> dict[str, Any]:
    """What comes of a case over a network. Raises the error of ours that it ends with before a request, and ``ValueError`` for what cannot be used."""
    case = found.case
    caller = open_case_caller(partner, connection, network, case.now)
    if found.target == "verify":
        return {"account": await verify(caller)}
    if found.target.startswith("lists/"):
        spec = partner.lists.get(found.target.removeprefix("lists/"))
        if spec is None:
            return {"missing": f"there is no list for {found.target}"}
        choices = list_choices(spec, await read_list(caller, spec, case.input, case.query))
        return {"options": [{"key": key, "label": label} for key, label in choices.items]}
    operation = next((operation for operation in partner.operations if operation.name == found.target), None)
    if operation is None:
        return {"missing": f"there is no operation {found.target}"}
    return await _run(partner, operation, case, caller)


async def _run(partner: Partner, operation: Action | Trigger, case: Case, caller: Caller) -> dict[str, Any]:
    program = compile_operation(partner, operation)
    lists = DirectLists(caller)
    chosen = await select(program, dict(enumerate(case.selectors, start=1)), lists)
    if chosen.faults:
        raise ValidationFailed.of(*chosen.faults)
    selected = chosen.values
    understood = await understand(program, case.input, lists, selected)
    if understood.checked.faults:
        raise ValidationFailed.of(*understood.checked.faults)
    for holder, key, file, _where in understood.checked.files:
        name = file.name or name_in_url(file.url or "") or "file"
        content = f"(the content of {file.url or file.file_id})".encode()
        holder[key] = FileValue(content=content, name=name, content_type=file.content_type)
    scope = build_scope(program, caller, understood, selected)
    if program.compute is not None:
        return {"result": compute(program, understood.schema, scope).result}
    try:
        if isinstance(operation, Trigger):
            reading = read_reading(case.window, case.cursor, case.limit)
            done = await read_trigger(caller, program, understood, scope, reading, lambda _trace: None)
            return {"items": done.result["items"], "nextCursor": done.result["nextCursor"]}
        return {"result": _shown_files((await act(caller, program, understood, scope, lambda _trace: None)).result)}
    except CallFailed as failed:
        decision = decide(failed.failure, repeatable=operation.repeatable, attempt=1, policy=policy_of(None, 1), left_ms=None, jitter=0)
        error = failed.failure.error
        return {"error": (in_doubt(error) if decision.status == "uncertain" else error).as_record()}


def _compare(expected: ExpectedRequest, request: Request) -> list[str]:
    found: list[str] = []
    url, _, query = request.url.partition("?")
    if (expected.method, expected.url) != (request.method, url):
        found.append(f"expected {expected.method} {expected.url}, got {request.method} {url}")
    found.extend(differences(_pairs_wanted(expected.query), _pairs(query), "query"))
    found.extend(
        f"header {name}: expected {shown(value)}, " + ("but it is missing" if got is None else f"got {shown(got)}")
        for name, value in expected.headers.items()
        if (got := request.header(name)) != value
    )
    return found + _compare_body(expected, request)


def _pairs(query: str) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        pairs.setdefault(name, []).append(value)
    return pairs


def _pairs_wanted(wanted: Mapping[str, str | list[str]]) -> dict[str, list[str]]:
    return {name: value if isinstance(value, list) else [value] for name, value in wanted.items()}


def _compare_body(expected: ExpectedRequest, request: Request) -> list[str]:
    body = request.body or b""
    if "json_body" in expected.model_fields_set:
        try:
            got = msgspec.json.decode(body) if body else None
        except msgspec.DecodeError:
            return [f"body: expected JSON, got {shown(body[:400].decode('utf-8', 'replace'))}"]
        return differences(expected.json_body, got, "body")
    text = body.decode("utf-8", "replace")
    if expected.form is not None:
        return _compare_form(expected, _pairs(text))
    if expected.multipart is not None or expected.xml is not None:
        return _compare_value(expected.multipart if expected.multipart is not None else expected.xml, request, body)
    if expected.text is not None:
        return text_differences(expected.text.strip(), text.replace("\r\n", "\n").strip(), "body")
    return [] if not body else [f"body: expected none, got {shown(text[:400])}"]


def _compare_form(expected: ExpectedRequest, pairs: dict[str, list[str]]) -> list[str]:
    """Compare the parameters of a form; of those that are signed tokens, what they say."""
    found: list[str] = []
    for name, token in expected.tokens.items():
        given = pairs.pop(name, [])
        try:
            header, claims = read_token(given[0] if len(given) == 1 else "")
        except ValueError:
            found.append(f"form.{name}: expected a signed token, got {shown(given)}")
        else:
            found += differences(token.claims, claims, f"form.{name}.claims") + _subset(token.header, header, f"form.{name}.header")
    return found + differences(_pairs_wanted(expected.form or {}), pairs, "form")


def _compare_value(wanted: Any, request: Request, body: bytes) -> list[str]:
    """Compare parts or elements by name; of an object inside, what is wanted."""
    try:
        got = read_body(request.header("content-type") or "", body)
    except Malformed:
        got = MISSING
    if not isinstance(got, dict):
        return [f"body: expected {shown(wanted)}, got {shown(body[:400].decode('utf-8', 'replace'))}"]
    found = [f"body.{name}: not expected, got {shown(got[name])}" for name in got if name not in wanted]
    found += [f"body.{name}: expected {shown(wanted[name])}, but it is missing" for name in wanted if name not in got]
    return found + _subset({name: value for name, value in wanted.items() if name in got}, got, "body")


def is_like(wanted: Mapping[str, Any], got: Any) -> bool:
    """Whether a body has just these parts or elements; of an object inside one, what is wanted counts."""
    return isinstance(got, dict) and got.keys() == wanted.keys() and not _subset(wanted, got, "")


def _compare_outcome(case: Case, outcome: Mapping[str, Any]) -> list[str]:
    if case.invalid is not None or case.error is not None:
        record = outcome.get("error")
        if record is None:
            return [f"expected an error, got {shown(outcome)}"]
        if case.invalid is not None:
            got = [{"path": fault["path"], "code": fault["code"]} for fault in record.get("fields", [])]
            if record["code"] != "validation_failed":
                return [f"expected the faults {shown(case.invalid)}, got {shown(record)}"]
            return differences(sorted(case.invalid, key=str), sorted(got, key=str), "invalid")
        return _subset(case.error, record, "error")
    for name in ("result", "items", "options", "account"):
        wanted = getattr(case, name)
        if wanted is not None and name not in outcome:
            return [f"expected {name} {shown(wanted)}, got {shown(outcome)}"]
        if wanted is not None:
            return differences(wanted, outcome[name], name)
    return []


def _subset(wanted: Any, got: Any, place: str) -> list[str]:
    """Compare only what is wanted: objects key by key, lists element by element."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [text for key, value in wanted.items() for text in _subset(value, got.get(key), f"{place}.{key}")]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [text for index, value in enumerate(wanted) for text in _subset(value, got[index], f"{place}[{index}]")]
    return differences(wanted, got, place)


def _shown_files(value: Any) -> Any:
    """A result in which each file is what would be told of it; every kept file has the same id."""
    if isinstance(value, FileValue):
        told = {"name": value.name, "contentType": value.content_type or "application/octet-stream", "size": len(value.content or b"")}
        return {"fileId": "file_1", **told}
    if isinstance(value, dict):
        return {key: _shown_files(inner) for key, inner in value.items()}
    return [_shown_files(inner) for inner in value] if isinstance(value, list) else value


def reply_of(recorded: RecordedReply, url: str) -> Reply:
    """A recorded answer as one of the network."""
    usual = "application/octet-stream" if recorded.base64 is not None else "application/json" if recorded.text is None else "text/plain"
    headers = {"content-type": usual} | {name.lower(): value for name, value in recorded.headers.items()}
    body = b""
    if recorded.base64 is not None:
        body = recorded.base64
    elif recorded.text is not None:
        body = recorded.text.encode()
    elif "json_body" in recorded.model_fields_set:
        body = _ENCODER.encode(recorded.json_body)
    return Reply(status=recorded.status, headers=tuple(headers.items()), body=body, url=url)


def failure_lines(report: CaseReport) -> list[str]:
    """How a case that failed is shown: its file and title, then each difference, indented."""
    return [f"FAILED {report.file} ({report.title})", *(f"    {line}" for text in report.differences for line in text.splitlines())]


def main(arguments: list[str]) -> int:
    """Run the cases of the folders named; 0 when all pass."""
    failed = 0
    for name in arguments:
        reports, problems = asyncio.run(run_cases(Path(name)))
        failed += len(problems) + sum(bool(report.differences) for report in reports)
        sys.stdout.writelines(f"{problem}\n" for problem in problems)
        for report in reports:
            sys.stdout.writelines(f"{line}\n" for line in (failure_lines(report) if report.differences else ()))
        sys.stdout.write(f"{name}: {len(reports)} cases, {sum(not report.differences for report in reports)} passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
