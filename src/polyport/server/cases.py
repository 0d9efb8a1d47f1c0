"""Saving a run as a case of its partner, in the folder of partners that somebody works on. Native; for those who write partners."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs
from pydantic import Field

from polyport.engine.desk import Bench, read_positions
from polyport.engine.hidden import hidden_names, without_hidden
from polyport.engine.operation import DirectLists, Program, select, understand
from polyport.engine.record import decode
from polyport.errors import Conflict, Fault, NotFound, PolyportError, ValidationFailed
from polyport.manifest.load import load_partner, partner_folders
from polyport.manifest.model import Partner
from polyport.net.message import Network, Reply, Request
from polyport.redaction import Redactor
from polyport.server.routing import Answer, Body, Call, Endpoint
from polyport.store.records import FINAL, Run

if TYPE_CHECKING:
    from polyport.manifest.cases import Cases

SECRET: Final = "made-up-secret"  # noqa: S105  what stands in a case for a secret of its input
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)


class CaseBody(Body):
    """What the case is called. ``name`` is that of its file: small letters, digits and ``_``."""

    name: str = Field(min_length=1, max_length=64, examples=["with_two_addresses"])
    title: str = Field(min_length=1, max_length=200, examples=["A person with two addresses"])


class CaseAnswer(Body):
    """The case that was written: its file in the partner's folder, how many exchanges it holds, and how it ends."""

    file: str
    exchanges: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Workplace:
    """A partner's folder that somebody works on, as it is now."""

    folder: Path
    partner: Partner
    cases: Cases


class _Listening:
    """A network that remembers the answers."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.heard: list[Reply] = []

    async def send(self, request: Request) -> Reply:
        """Send it on."""
        reply = await self._network.send(request)
        self.heard.append(reply)
        return reply


async def save(call: Call) -> Answer:
    """POST /runs/{runId}/case."""
    from polyport.testing.recorded import Unrecordable, case_of, recorded_replies  # noqa: PLC0415  only those who write partners need it

    run, content = await _input(call)
    body = call.body(CaseBody)
    if not _NAME.fullmatch(body.name):
        raise ValidationFailed.of(Fault(path="name", code="wrong_format", message="Small letters, digits and _, a letter first."))
    place = await _workplace(call, run)
    program = await call.engine.desk.program(call.principal.account_id, run.operation_id)
    operation = program.operation.name
    given = _given(body.title, program, content)
    try:
        replies = [*await _lists(call, program, content), *recorded_replies(await call.engine.ledger.attempts(run))]
        made = await case_of(place.partner, operation, place.cases.connection, given, replies)
    except Unrecordable as error:
        raise Conflict(f"No case can be made of this run. {error}") from None
    file = f"cases/{operation}/{body.name}.yaml"
    await asyncio.to_thread(_write, place.folder / file, made)
    ends = next(name for name in ("result", "items", "error", "invalid") if name in made)
    return Answer(data={"file": f"{place.folder.name}/{file}", "exchanges": len(made.get("exchanges", ())), "outcome": ends}, status=201)


async def _input(call: Call) -> tuple[Run, Mapping[str, Any]]:
    run = await call.engine.runtime.repo.runs.get(call.principal.account_id, call.text("runId"))
    if run is None:
        raise NotFound("There is no run with this id.")
    if run.status not in FINAL:
        raise Conflict(f"The run has not ended: its status is {run.status}.")
    if run.sealed_input is None:
        raise Conflict("The input of this run is no longer kept.")
    box = await call.engine.desk.box(run.account_id)
    return run, decode(box.open(run.sealed_input, f"run/{run.run_id}/input"))


async def _workplace(call: Call, run: Run) -> _Workplace:
    root = call.engine.runtime.settings.development
    found = await asyncio.to_thread(_find, Path(root), run.partner_id) if root else None
    if found is None:
        raise Conflict("Cases are saved for partners in the folder that POLYPORT_DEVELOPMENT names; this one is not in it.")
    if found.cases.connection is None and found.partner.file.connection is not None:
        raise Conflict("The partner has no cases/connection.yaml: write the made-up connection of its cases first.")
    return found


def _find(root: Path, partner_id: int) -> _Workplace | None:
    from polyport.manifest.cases import load_cases  # noqa: PLC0415  the server starts faster without it

    for place in partner_folders(root):
        loaded = load_partner(place)
        if loaded.partner is not None and loaded.partner.file.id == partner_id:
            folder = root / place.name
            return _Workplace(folder=folder, partner=loaded.partner, cases=load_cases(folder))
    return None


def _given(title: str, program: Program, content: Mapping[str, Any]) -> dict[str, Any]:
    """What a case says of how it is run; secrets of the input are made up."""
    selectors = read_positions(program, content["credentialData"]).selectors
    given: dict[str, Any] = {"title": title, "input": without_hidden(hidden_names(program.schema), content["runnerData"] or {}, SECRET)}
    if selectors:
        given["selectors"] = [selectors.get(position) for position in range(1, max(selectors) + 1)]
    return given | {name: content[name] for name in ("window", "cursor", "limit") if content.get(name) is not None}


async def _lists(call: Call, program: Program, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers with the lists that the input needs, read now: runs take them from what is kept, a case reads them first."""
    from polyport.testing.recorded import recorded_reply  # noqa: PLC0415  as above

    positions = read_positions(program, content["credentialData"])
    bench: Bench = await call.engine.desk.bench(call.principal.account_id, program.partner, positions.connection_id)
    listening = _Listening(bench.caller.network)
    lists = DirectLists(structs.replace(bench.caller, network=listening))
    with contextlib.suppress(PolyportError):  # what cannot be read now is missed when the case is played
        chosen = await select(program, positions.selectors, lists)
        await understand(program, content["runnerData"] or {}, lists, chosen.values)
    redactor = Redactor(bench.caller.secrets)
    return [
        recorded_reply(reply.status, list(reply.headers), redactor.text(reply.body.decode("utf-8", "replace"))) for reply in listening.heard
    ]


def _write(path: Path, made: Mapping[str, Any]) -> None:
    """The file, whole or not at all, and never over another one. Raises ``Conflict``."""
    from polyport.manifest.writing import yaml_text  # noqa: PLC0415  as above

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".case.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(yaml_text(made))
            Path(draft).chmod(0o644)
            os.link(draft, path)
        finally:
            Path(draft).unlink()
    except FileExistsError:
        raise Conflict(f"There is a case called {path.stem} already: give this one another name.") from None
    except OSError as error:
        raise Conflict(
            f"The case cannot be written ({error.strerror}): let the user that runs Polyport write in the partner's folder."
        ) from None


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/runs/{runId}/case",
        handler=save,
        tag="Runs",
        summary="Save a run as a case of its partner",
        description=(
            "For those who write partners: only where the setting `development` names a folder, and the partner is in it. The recorded answers are played with the "
            "made-up connection of the partner's cases; what is sent then, and what comes of it, is the case. It is written only if it passes."
        ),
        scope="admin",
        body=CaseBody,
        answer=CaseAnswer,
        status=201,
        errors=("conflict", "connection_invalid", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
    ),
)
