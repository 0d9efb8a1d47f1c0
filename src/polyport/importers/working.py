"""The work on imports in a process: one at a time, in a process of its own with bounds; progress is noted, and who cancels is heard."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import threading
import time
import zlib
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import structlog

from polyport.importers.documents import Refused
from polyport.importers.fetching import Fetched, fetch, shown
from polyport.importers.jobs import Answers, Given, open_given, questions_digest, seal_given
from polyport.importers.questions import Asking, Question
from polyport.private_partners import FIRST_PRIVATE, FIRST_PRIVATE_OPERATION, LAST_PRIVATE, folder_context
from polyport.runtime import Runtime
from polyport.store.base import Duplicate, Stale
from polyport.store.private_partners import (
    ImportStatus,
    NewVersion,
    PartnerImport,
    PartnerState,
    PartnerVersion,
    PrivatePartner,
)
from polyport.vault import Box

if TYPE_CHECKING:
    from polyport.importers.drift import Change
    from polyport.importers.run import Import, Imported

LOOK_SECONDS: Final = 0.3
RECOVER_SECONDS: Final = 5.0
TIDY_SECONDS: Final = 600.0
TRIES_MOST: Final = 5
FOLDER_LIMIT: Final = 128 * 1024 * 1024
CHANGES_MOST: Final = 2_000
DROPPED_MOST: Final = 5_000
_DIED: Final = "The process that worked on it died again and again: the document may be too much for this machine."
_log: Final = structlog.get_logger("polyport.imports")
T = TypeVar("T")


class _CutError(Exception):
    """The work is not wanted any more."""


@dataclass(slots=True)
class _Cut:
    """Whether the work on an import is to end, and how far it has come; read by its thread, written by the loop and by it."""

    asked: threading.Event
    at: tuple[str, int, int]

    def look(self, step: str, number: int, count: int) -> None:
        """Note how far it is. Raises ``_CutError`` when that is in vain."""
        self.at = (step, number, count)
        if self.asked.is_set():
            raise _CutError


class ImportWorker:
    """Works on imports for one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._imports = runtime.repo.imports
        self._settings = runtime.settings.imports
        self._recovered = self._tidied = -TIDY_SECONDS

    async def work(self) -> None:
        """Give back what dead processes held, then work on the next import, if there is one and few enough are at work."""
        now = time.monotonic()
        if now - self._recovered >= RECOVER_SECONDS:
            self._recovered = now
            await self.recover()
        if now - self._tidied >= TIDY_SECONDS:
            self._tidied = now
            await self._tidy()
        made = await self._imports.claim(self._runtime.owner, most=self._settings.concurrency, now=self._runtime.now_ms())
        if made is None:
            return
        try:
            await self._carry_out(made)
        except (Stale, _CutError):
            _log.info("an import was ended from outside", import_id=made.import_id)
        except Exception:  # noqa: BLE001  whatever it was, the import has to end, and who waits for it to hear of that
            _log.exception("an import could not be worked on", import_id=made.import_id)
            await self._settle(made, ImportStatus.REFUSED, {"reason": "The importer failed: the log of the server says how."})

    async def recover(self) -> None:
        """Give back what nobody works on: of dead processes, and of this one, which works on nothing while it looks."""
        for owner in await self._imports.owners():
            if owner == self._runtime.owner or not self._runtime.is_alive(owner):
                outcome = json.dumps({"reason": _DIED})
                await self._imports.recover(owner, most=TRIES_MOST, outcome=outcome, now=self._runtime.now_ms())

    async def _tidy(self) -> None:
        now, day = self._runtime.now_ms(), int(timedelta(days=1).total_seconds() * 1000)
        await self._imports.tidy(
            asked_before=now - self._settings.answer_days * day, ended_before=now - self._settings.keep_days * day, now=now
        )

    async def _carry_out(self, made: PartnerImport) -> None:
        box = await self._runtime.boxes.of(made.account_id)
        sealed = await self._imports.input(made.import_id)
        given = await asyncio.to_thread(open_given, box, made.import_id, sealed or b"")
        fetched: Fetched | None = None
        try:
            if given.url is not None and given.content is None:
                fetching = fetch(self._runtime.network, given.url, self._settings.document_limit)
                fetched = await self._watched(made, fetching, _Cut(threading.Event(), ("fetch", 0, 0)))
                given = msgspec.structs.replace(given, content=fetched.content, origin=fetched.url)
                made = replace(made, source=shown(fetched.url))
            await self._import(made, given, box, fetched)
        except Refused as refused:
            await self._settle(made, ImportStatus.REFUSED, {"reason": str(refused)})

    async def _import(self, made: PartnerImport, given: Given, box: Box, fetched: Fetched | None) -> None:
        partner = await self._runtime.repo.private_partners.by_slug(made.account_id, made.slug)
        partner_id = partner.partner_id if partner is not None else await self._new_id()
        held = await self._runtime.repo.private_partners.versions(made.account_id, partner_id)
        latest = held[0] if held else None
        basis = next((version for version in held if partner is not None and version.number == partner.live), latest)
        report = await self._report(box, basis)
        before = report["report"] if report is not None else None
        if latest is not None and latest.import_id == made.import_id:  # a process died after it had kept the version
            await self._end(made, given, latest, await self._report(box, latest) or {})
            return
        if latest is not None and fetched is None and latest.digest == given.digest():
            await self._same(made, given, latest)
            return
        from polyport.importers.run import Import  # noqa: PLC0415  most servers never import anything: they start faster and smaller without it

        wanted = Import(
            content=given.content or b"",
            slug=made.slug,
            today=self._runtime.clock().date(),
            source=made.source,
            origin=given.origin,
            base=given.base,
            hosts=given.hosts,
            asks=True,
            seed=f"private/{partner_id}",
            first_id=FIRST_PRIVATE_OPERATION,
            number=partner_id,
            files=given.files,
            elsewhere=fetched is not None,
            overlay=given.overlay,
            before=before,
            packed=True,
        )
        try:
            found = await self._guarded(made, wanted, fetched)
        except Asking as asking:
            told = msgspec.json.decode(latest.answers, type=Answers) if latest is not None else Answers()
            asked = questions_digest(asking.questions)
            if fetched is not None:
                given = msgspec.structs.replace(given, files=dict(fetched.files))
            if told.asked != asked or given.asked == asked:
                await self._ask(made, given, box, asking.questions)
                return
            given = msgspec.structs.replace(given, asked=asked, base=told.base or given.base, hosts=told.hosts)
            await self._import(made, given, box, None)
            return
        if fetched is not None:
            given = msgspec.structs.replace(given, files=dict(fetched.files))
        if latest is not None and latest.digest == given.digest():
            await self._same(made, given, latest)
            return
        await self._keep(made, given, box, found, partner, basis, report)

    async def _guarded(self, made: PartnerImport, wanted: Import, fetched: Fetched | None) -> Imported:
        """The import itself, in a thread that follows its process. Raises ``Refused``, ``Asking``, and what ``_watched`` raises."""
        from polyport.importers.run import READING, import_guarded  # noqa: PLC0415  as above

        cut = _Cut(threading.Event(), (READING, 0, 0))
        read = partial(fetched.read, asyncio.get_running_loop()) if fetched is not None else None
        work = asyncio.to_thread(import_guarded, wanted, self._settings.timeout, self._settings.memory, cut.look, read)
        return await self._watched(made, work, cut)

    async def _watched(self, made: PartnerImport, work: Coroutine[Any, Any, T], cut: _Cut) -> T:
        """Do something, and note meanwhile how far it is. Raises ``Stale``, and gives the work up, when the import was ended from outside."""
        task = asyncio.create_task(work)
        try:
            while True:
                await self._imports.advance(made, *cut.at, self._runtime.now_ms())
                done, _pending = await asyncio.wait({task}, timeout=1.0)
                if done:
                    return task.result()
        finally:
            cut.asked.set()
            task.cancel()

    async def _ask(self, made: PartnerImport, given: Given, box: Box, questions: Sequence[Question]) -> None:
        sealed = await asyncio.to_thread(seal_given, box, made.import_id, given)
        await self._imports.keep_input(made, sealed, self._runtime.now_ms())
        told = [
            {"id": one.id, "text": one.text, "choices": [{"value": choice.value, "label": choice.label} for choice in one.choices]}
            for one in questions
        ]
        await self._settle(made, ImportStatus.NEEDS_ANSWER, {"asked": questions_digest(tuple(questions)), "questions": told})

    async def _same(self, made: PartnerImport, given: Given, version: PartnerVersion) -> None:
        made = replace(made, partner_id=version.partner_id, version=version.number)
        outcome: dict[str, Any] = {"unchanged": True}
        if given.publish and version.published_at is None:
            outcome["reason"] = "This version is there already, as a draft: publish it."
        await self._settle(made, ImportStatus.DONE, outcome)

    async def _keep(
        self,
        made: PartnerImport,
        given: Given,
        box: Box,
        found: Imported,
        partner: PrivatePartner | None,
        basis: PartnerVersion | None,
        before: dict[str, Any] | None,
    ) -> None:
        """Keep what was imported as a version; it serves at once where that was asked for and breaks nobody, or that was asked for too."""
        runtime, now = self._runtime, self._runtime.now_ms()
        described = int(found.report["counts"]["described"])
        made = replace(made, done=described, total=described)
        archive = found.archive or b""
        if len(archive) > FOLDER_LIMIT:
            raise Refused(f"The partner would have more than {FOLDER_LIMIT // 1024**2} MiB: leave parts out with an overlay.")
        serving = basis if partner is not None and partner.live is not None and partner.state is not PartnerState.REMOVED else None
        breaks = sum(change.kind == "breaks" for change in found.changes) if serving is not None else 0
        publishes = given.publish and (not breaks or given.accept_breaking)
        number = partner.newest + 1 if partner is not None else 1
        report: dict[str, Any] = {
            "report": dict(found.report),
            "against": serving.number if serving is not None else None,
            "changes": shown_changes(found.changes) if serving is not None else [],
        }
        version = _version(made, given, found, number=number, breaks=breaks, published=publishes, now=now)
        sealed_report, sealed_folder = await asyncio.to_thread(_sealed, box, version, report, archive)
        dropped = dropped_with(partner, before["report"] if before is not None else None, dict(found.report))
        new = NewVersion(version=version, partner=partner, slug=made.slug, dropped=dropped, report=sealed_report, folder=sealed_folder)
        try:
            await runtime.repo.imports.keep(
                made, new, now=now, partners_most=self._settings.partners, versions_most=self._settings.versions
            )
        except (Stale, Duplicate):
            current = await runtime.repo.imports.get(made.account_id, made.import_id)
            if current is None or current.status is not ImportStatus.RUNNING:
                raise
            most = self._settings.partners
            reason = f"This account has {most} partners of its own, which is as many as it may have; or this one was changed meanwhile: try again."
            raise Refused(reason) from None
        await self._end(made, given, version, report)

    async def _end(self, made: PartnerImport, given: Given, version: PartnerVersion, report: dict[str, Any]) -> None:
        """End an import whose version is kept; where that serves, it does before anybody hears of it."""
        published = version.published_at is not None
        if published:
            await self._runtime.catalog.refresh()
        kinds = Counter(change["kind"] for change in report["changes"])
        outcome: dict[str, Any] = {"changes": kinds, "whole": not report["report"]["leftOut"]}
        if given.publish and not published:
            outcome["reason"] = (
                "It breaks those who use the version that serves, so it is a draft: publish it with accept: breaking, or leave it."
            )
        await self._settle(replace(made, partner_id=version.partner_id, version=version.number), ImportStatus.DONE, outcome)

    async def _settle(self, made: PartnerImport, status: ImportStatus, outcome: dict[str, Any]) -> None:
        now = self._runtime.now_ms()
        waits = status is ImportStatus.NEEDS_ANSWER
        ended = replace(
            made,
            status=status,
            step="answer" if waits else "end",
            outcome=json.dumps(outcome),
            updated_at=now,
            finished_at=None if waits else now,
        )
        await self._imports.settle(ended, owner=self._runtime.owner)

    async def _new_id(self) -> int:
        """An id that no partner has or had. It is random: it says nothing of how many partners others have."""
        while True:
            found = FIRST_PRIVATE + secrets.randbelow(LAST_PRIVATE - FIRST_PRIVATE)
            if not await self._runtime.repo.private_partners.is_taken(found):
                return found

    async def _report(self, box: Box, version: PartnerVersion | None) -> dict[str, Any] | None:
        if version is None:
            return None
        sealed = await self._runtime.repo.private_partners.report(version)
        return await asyncio.to_thread(open_report, box, version, sealed) if sealed is not None else None


def shown_changes(changes: Sequence[Change]) -> list[dict[str, str]]:
    """Changes as they are kept and shown, those that break first."""
    ordered = sorted(changes, key=lambda change: change.kind != "breaks")
    return [{"kind": change.kind, "operation": change.operation, "what": change.what} for change in ordered[:CHANGES_MOST]]


def dropped_with(partner: PrivatePartner | None, before: dict[str, Any] | None, after: dict[str, Any]) -> str | None:
    """Which operations a partner has no more once a version serves: by id, the name and the last version that had it."""
    if partner is None or partner.live is None or before is None:
        return None
    known: dict[str, list[Any]] = json.loads(partner.dropped) if partner.dropped is not None else {}
    known |= {str(one["id"]): [one["name"], partner.live] for one in before["operations"].values()}
    there = {str(one["id"]) for one in after["operations"].values()}
    found = {number: told for number, told in known.items() if number not in there}
    return json.dumps(dict(list(found.items())[-DROPPED_MOST:])) if found else None


def _version(made: PartnerImport, given: Given, found: Imported, *, number: int, breaks: int, published: bool, now: int) -> PartnerVersion:
    report, archive = found.report, found.archive or b""
    return PartnerVersion(
        partner_id=int(report["partnerId"]),
        number=number,
        account_id=made.account_id,
        import_id=made.import_id,
        digest=given.digest(),
        content_hash=hashlib.sha256(archive).hexdigest(),
        source=made.source,
        title=str(report["partnerTitle"])[:200],
        api_version=str(report["version"])[:100],
        counts=json.dumps(report["counts"]),
        answers=msgspec.json.encode(Answers(asked=given.asked, base=given.base, hosts=given.hosts)).decode(),
        breaks=breaks,
        size=len(archive),
        made_by=made.asked_by,
        made_at=now,
        published_by=made.asked_by if published else None,
        published_at=now if published else None,
    )


def _sealed(box: Box, version: PartnerVersion, report: dict[str, Any], archive: bytes) -> tuple[bytes, bytes]:
    text = zlib.compress(json.dumps(report, ensure_ascii=False, default=str).encode(), 6)
    return box.seal(text, report_context(version)), box.seal(archive, folder_context(version.partner_id, version.number))


def report_context(version: PartnerVersion) -> str:
    """What a report is sealed as."""
    return f"partner/{version.partner_id}/{version.number}/report"


def open_report(box: Box, version: PartnerVersion, sealed: bytes) -> dict[str, Any]:
    """The report of a version, with its changes. Raises ``VaultFault``."""
    found: dict[str, Any] = json.loads(zlib.decompress(box.open(sealed, report_context(version))))
    return found
