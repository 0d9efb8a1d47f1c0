"""Imports into a running server: accepted, worked on by one process at a time, asked about where something is open, and kept as a version of a partner."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from polyport.errors import Conflict, Fault, Forbidden, NotFound, ValidationFailed
from polyport.importers.documents import clean_text
from polyport.importers.fetching import shown
from polyport.importers.questions import Question
from polyport.runtime import Runtime
from polyport.store.base import Duplicate, Stale
from polyport.store.private_partners import ImportStatus, PartnerImport
from polyport.vault import Box

UNDER_WAY_MOST: Final = 20  # imports of one account that have not ended


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """All that an import is given, and what it has read since: sealed while it lasts.

    ``origin`` is where the document came from at the end of all redirects, once it was fetched; ``answers`` are those to its questions.
    """

    url: str | None = None
    content: bytes | None = None
    files: Mapping[str, bytes] = {}
    overlay: bytes | None = None
    base: str | None = None
    hosts: tuple[str, ...] | None = None
    publish: bool = True
    accept_breaking: bool = False
    origin: str | None = None
    asked: str | None = None

    def __repr__(self) -> str:
        return "<Given>"

    def digest(self) -> str:
        """What tells one input from another: the same again makes no new version."""
        files = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in self.files.items())
        parts = [hashlib.sha256(self.content or b"").hexdigest(), files, hashlib.sha256(self.overlay or b"").hexdigest(), self.origin]
        return hashlib.sha256(msgspec.json.encode([*parts, self.base, self.hosts])).hexdigest()


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered to which questions (by their digest): the same questions are not asked again."""

    asked: str | None = None
    base: str | None = None
    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImport:
    """What a caller asks for."""

    account_id: int
    slug: str
    asked_by: str
    given: Given


def seal_given(box: Box, import_id: str, given: Given) -> bytes:
    """What an import was given, as ciphertext. It may be large: call it in a thread."""
    return box.seal(zlib.compress(msgspec.msgpack.encode(given), 1), f"import/{import_id}/input")


def open_given(box: Box, import_id: str, sealed: bytes) -> Given:
    """What ``seal_given`` sealed. Raises ``VaultFault``."""
    return msgspec.msgpack.decode(zlib.decompress(box.open(sealed, f"import/{import_id}/input")), type=Given)


def questions_digest(questions: tuple[Question, ...]) -> str:
    """What tells one set of questions from another."""
    return hashlib.sha256(repr([(one.id, [choice.value for choice in one.choices]) for one in questions]).encode()).hexdigest()[:32]


def new_import_id(now_ms: int) -> str:
    """An import's id: its order is that of time."""
    return f"imp_{now_ms:012x}{secrets.token_hex(8)}"


async def start_import(runtime: Runtime, new: NewImport) -> PartnerImport:
    """Accept an import. Raises ``Forbidden`` where the operator wants none, ``Conflict``, ``ValidationFailed`` for a slug of a partner of everybody, ``Overloaded``."""
    if not runtime.settings.imports.partners:
        raise Forbidden("This server takes no imports: its operator has turned them off.")
    with contextlib.suppress(NotFound):
        await runtime.catalog.seen_by(None).find(new.slug)
        message = "There is a partner with this slug for everybody: choose another one."
        raise ValidationFailed.of(Fault(path="slug", code="taken", message=message))
    now = runtime.now_ms()
    made = PartnerImport(
        import_id=new_import_id(now),
        account_id=new.account_id,
        slug=new.slug,
        source=clean_text(shown(new.given.url), 300) if new.given.url is not None else "",
        asked_by=new.asked_by,
        status=ImportStatus.QUEUED,
        step="queue",
        done=0,
        total=0,
        owner=None,
        tries=0,
        partner_id=None,
        version=None,
        outcome=None,
        created_at=now,
        updated_at=now,
        finished_at=None,
    )
    box = await runtime.boxes.of(new.account_id)
    sealed = await asyncio.to_thread(seal_given, box, made.import_id, new.given)
    try:
        await runtime.repo.imports.insert(made, sealed, most=UNDER_WAY_MOST)
    except Duplicate:
        raise Conflict(f'An import of "{new.slug}" is under way: wait for it, answer it, or cancel it.') from None
    except Stale:
        raise Conflict(f"This account has {UNDER_WAY_MOST} imports under way: wait for some of them, answer or cancel them.") from None
    return made


async def read_import(runtime: Runtime, account_id: int, import_id: str) -> PartnerImport:
    """One import. Raises ``NotFound``."""
    found = await runtime.repo.imports.get(account_id, import_id)
    if found is None:
        raise NotFound("There is no import with this id.")
    return found


async def cancel_import(runtime: Runtime, account_id: int, import_id: str) -> PartnerImport:
    """End an import; what it has made already stands. Raises ``NotFound``, or ``Conflict`` when it has ended."""
    found = await read_import(runtime, account_id, import_id)
    try:
        await runtime.repo.imports.cancel(account_id, import_id, runtime.now_ms())
    except Stale:
        raise Conflict(f"This import has ended: it is {found.status.value}.") from None
    return await read_import(runtime, account_id, import_id)


async def answer_import(runtime: Runtime, found: PartnerImport, answers: Mapping[str, Any]) -> PartnerImport:
    """Answer all that an import asks. Raises ``Conflict`` when it asks nothing, ``ValidationFailed`` with every fault."""
    account_id, import_id = found.account_id, found.import_id
    if found.status is not ImportStatus.NEEDS_ANSWER:
        raise Conflict(f"This import asks nothing: it is {found.status.value}.")
    outcome = json.loads(found.outcome or "{}")
    faults = list(_faults(outcome["questions"], answers))
    if faults:
        raise ValidationFailed.of(*faults)
    box = await runtime.boxes.of(account_id)
    sealed = await runtime.repo.imports.input(import_id)
    if sealed is None:
        raise Conflict("Somebody else has answered or cancelled this import.")
    given = await asyncio.to_thread(open_given, box, import_id, sealed)
    base, hosts = answers.get("base", given.base), answers.get("hosts")
    given = msgspec.structs.replace(given, base=base, hosts=tuple(hosts) if hosts is not None else given.hosts, asked=str(outcome["asked"]))
    try:
        sealed = await asyncio.to_thread(seal_given, box, import_id, given)
        await runtime.repo.imports.answer(found, sealed, runtime.now_ms())
    except Stale:
        raise Conflict("Somebody else has answered or cancelled this import.") from None
    return await read_import(runtime, account_id, import_id)


def _faults(questions: list[dict[str, Any]], answers: Mapping[str, Any]) -> list[Fault]:
    found: list[Fault] = []
    asked = {question["id"]: question for question in questions}
    found += [Fault(path=f"answers.{name}", code="unknown_field", message="This is not asked.") for name in answers if name not in asked]
    for name, question in asked.items():
        if name not in answers:
            found.append(Fault(path=f"answers.{name}", code="required", message=question["text"]))
        elif name == "hosts":
            choices = {choice["value"] for choice in question["choices"]}
            found += [
                Fault(path=f"answers.hosts[{place}]", code="unknown_option", message="This host is none of the choices.")
                for place, host in enumerate(answers["hosts"])
                if host not in choices
            ]
        elif (fault := base_fault(answers["base"], [choice["value"] for choice in question["choices"]])) is not None:
            found.append(Fault(path="answers.base", code="wrong_format", message=fault))
    return found


_NO_ADDRESS: Final = "An address begins with https:// and holds no user, no query and no parts that vary."


def base_fault(base: str, choices: list[str]) -> str | None:
    """What is wrong with an address of the API that somebody gave, if it is none of the choices."""
    if base in choices:
        return None
    try:
        parts = urlsplit(base)
        plain = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return _NO_ADDRESS
    if not plain or parts.query or parts.fragment or not base.isprintable() or any(char in " {}" for char in base):
        return _NO_ADDRESS
    return None
