"""Partners of accounts' own, their versions, and the imports that make them: records, and what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from polyport.store.base import Database, DbRow, Statement
from polyport.store.rows import build, columns, params

_BUMP: Final = Statement(query="bump_epoch")
_ERASED: Final = Statement(query="note_erasure")


class PartnerState(StrEnum):
    """Where an account's own partner stands. Before its first version serves it is a draft; a removed one is there no more."""

    DRAFT = "draft"
    LIVE = "live"
    DEPRECATED = "deprecated"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivatePartner:
    """A partner that an account imported for itself. ``live`` is the version that serves, ``newest`` the last number that was given out.

    ``deprecation`` is the JSON of what its users are told, ``dropped`` that of operations which earlier versions had: by id, the name and the last version with
    it. ``generation`` counts the changes.
    """

    partner_id: int
    account_id: int
    slug: str
    title: str
    state: PartnerState
    live: int | None
    newest: int
    deprecation: str | None
    dropped: str | None
    generation: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerVersion:
    """What an import made of a partner.

    ``digest`` is of all that went in, ``content_hash`` of the folder that came out; ``breaks`` counts what breaks those who use the version that was live
    when it was made. ``counts`` and ``answers`` are JSON.
    """

    partner_id: int
    number: int
    account_id: int
    import_id: str
    digest: str
    content_hash: str
    source: str
    title: str
    api_version: str
    counts: str
    answers: str
    breaks: int
    size: int
    made_by: str
    made_at: int
    published_by: str | None
    published_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A version that serves an account: which partner, which version, what it holds, what its users are told and which operations it has no more (JSON)."""

    account_id: int
    partner_id: int
    slug: str
    number: int
    content_hash: str
    deprecation: str | None
    dropped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """What uses a partner; each is counted up to ten thousand."""

    connections: int
    links: int
    runs: int


class ImportStatus(StrEnum):
    """Where an import stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_ANSWER = "needs_answer"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerImport:
    """One import. ``step`` is what is being done, ``done`` of ``total`` operations are read. ``outcome`` is the JSON of what came of it: a reason, questions.

    ``owner`` is the process that works on it, ``tries`` how often one began.
    """

    import_id: str
    account_id: int
    slug: str
    source: str
    asked_by: str
    status: ImportStatus
    step: str
    done: int
    total: int
    owner: str | None
    tries: int
    partner_id: int | None
    version: int | None
    outcome: str | None
    created_at: int
    updated_at: int
    finished_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version to be kept, with what is sealed of it; ``partner`` is how its partner stands before, ``None`` for a new one. One that is published serves at once."""

    version: PartnerVersion
    partner: PrivatePartner | None
    slug: str
    dropped: str | None
    report: bytes = field(repr=False)
    folder: bytes = field(repr=False)


def _partner(row: DbRow) -> PrivatePartner:
    values = dict(zip(columns(PrivatePartner), row, strict=True))
    return PrivatePartner(**(values | {"state": PartnerState(values["state"])}))


def _version(row: DbRow) -> PartnerVersion:
    return PartnerVersion(**dict(zip(columns(PartnerVersion), row, strict=True)))


def _import(row: DbRow) -> PartnerImport:
    values = dict(zip(columns(PartnerImport), row, strict=True))
    return PartnerImport(**(values | {"status": ImportStatus(values["status"])}))


@dataclass(frozen=True, slots=True)
class PrivatePartners:
    """Partners of accounts' own. What changes which version serves bumps the cache epoch."""

    database: Database

    async def get(self, account_id: int, partner_id: int) -> PrivatePartner | None:
        """One partner of an account, also a removed one."""
        rows = await self.database.read("private_partner", {"account_id": account_id, "partner_id": partner_id})
        return _partner(rows[0]) if rows else None

    async def by_slug(self, account_id: int, slug: str) -> PrivatePartner | None:
        """The same by its slug."""
        rows = await self.database.read("private_partner_by_slug", {"account_id": account_id, "slug": slug})
        return _partner(rows[0]) if rows else None

    async def all(self, account_id: int) -> list[PrivatePartner]:
        """All partners of an account but for those that were removed."""
        return [_partner(row) for row in await self.database.read("private_partners", {"account_id": account_id})]

    async def serving(self) -> list[Serving]:
        """The versions that serve, of all accounts."""
        return [Serving(**dict(zip(columns(Serving), row, strict=True))) for row in await self.database.read("serving_partners")]

    async def is_taken(self, partner_id: int) -> bool:
        """Whether some account has a partner with this id."""
        return bool(await self.database.read("partner_is_taken", {"partner_id": partner_id}))

    async def version(self, account_id: int, partner_id: int, number: int) -> PartnerVersion | None:
        """One version."""
        given = {"account_id": account_id, "partner_id": partner_id, "number": number}
        return build(PartnerVersion, await self.database.read("partner_version", given))

    async def versions(self, account_id: int, partner_id: int) -> list[PartnerVersion]:
        """All versions, the newest first."""
        return [_version(row) for row in await self.database.read("partner_versions", {"account_id": account_id, "partner_id": partner_id})]

    async def report(self, version: PartnerVersion) -> bytes | None:
        """The report of a version, sealed."""
        return await self._sealed("partner_version_report", version.account_id, version.partner_id, version.number)

    async def folder(self, account_id: int, partner_id: int, number: int) -> bytes | None:
        """The folder of a version, sealed."""
        return await self._sealed("partner_version_folder", account_id, partner_id, number)

    async def _sealed(self, query: str, account_id: int, partner_id: int, number: int) -> bytes | None:
        rows = await self.database.read(query, {"account_id": account_id, "partner_id": partner_id, "number": number})
        return bytes(rows[0][0]) if rows else None

    async def update(self, partner: PrivatePartner, *, published: PartnerVersion | None = None) -> None:
        """Put the record in place of that of its ``generation``, and note of a version that it serves now. Raises ``Stale`` when somebody else was first."""
        statements = [Statement(query="update_private_partner", params=params(partner, "slug", "created_at"), expect=1)]
        if published is not None:
            statements.append(_publish(published))
        await self.database.write(*statements, _BUMP)

    async def uses(self, partner: PrivatePartner, now: int) -> Uses:
        """What uses a partner."""
        given = {"account_id": partner.account_id, "partner_id": partner.partner_id, "now": now}
        return Uses(**dict(zip(columns(Uses), (await self.database.read("uses_of_partner", given))[0], strict=True)))

    async def remove(self, partner: PrivatePartner, now: int) -> None:
        """Remove a partner with all its versions. Raises ``Stale`` when something uses it, or somebody else changed it first."""
        given = {"account_id": partner.account_id, "partner_id": partner.partner_id, "generation": partner.generation, "now": now}
        await self.database.write(
            Statement(query="remove_private_partner", params=given, expect=1),
            Statement(query="delete_partner_versions", params=given),
            _ERASED,
            _BUMP,
        )


def _publish(version: PartnerVersion) -> Statement:
    return Statement(
        query="publish_partner_version",
        params={key: getattr(version, key) for key in ("partner_id", "number", "account_id", "published_by", "published_at")},
        expect=1,
    )


@dataclass(frozen=True, slots=True)
class Imports:
    """Imports under way and those that ended lately."""

    database: Database

    async def insert(self, made: PartnerImport, sealed_input: bytes, *, most: int) -> None:
        """Keep a new import. Raises ``Stale`` when the account has ``most`` under way, ``Duplicate`` when one of this slug is."""
        given = {**params(made), "sealed_input": sealed_input, "most": most}
        await self.database.write(Statement(query="insert_import", params=given, expect=1))

    async def get(self, account_id: int, import_id: str) -> PartnerImport | None:
        """One import of an account."""
        rows = await self.database.read("import", {"account_id": account_id, "import_id": import_id})
        return _import(rows[0]) if rows else None

    async def input(self, import_id: str) -> bytes | None:
        """What an import was given, sealed; ``None`` when it has ended."""
        rows = await self.database.read("import_input", {"import_id": import_id})
        return bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    async def page(
        self, account_id: int, *, status: str | None, slug: str | None, limit: int, offset: int, before: str | None = None
    ) -> tuple[Sequence[PartnerImport], int]:
        """Imports of an account, the newest first, and how many there are. ``before``: the id to go on from."""
        given: dict[str, Any] = {"account_id": account_id, "status": status, "slug": slug}
        count = (await self.database.read("count_imports", given))[0][0]
        rows = await self.database.read("imports", given | {"limit": limit, "offset": offset, "before": before})
        return [_import(row) for row in rows], int(count)

    async def claim(self, owner: str, *, most: int, now: int) -> PartnerImport | None:
        """Take the next import for this owner, while fewer than ``most`` are at work anywhere."""
        if not await self.database.read("import_waits"):
            return None
        told = await self.database.write(Statement(query="claim_import", params={"owner": owner, "most": most, "now": now}))
        return _import(told[0][0]) if told[0] else None

    async def advance(self, made: PartnerImport, step: str, done: int, total: int, now: int) -> None:
        """Note how far an import has come. Raises ``Stale`` when it was ended meanwhile."""
        await self.database.write(_advance(made, step, done, total, now))

    async def keep_input(self, made: PartnerImport, sealed_input: bytes, now: int) -> None:
        """Put what was read in place of what was given. Raises ``Stale`` as above."""
        given = {"import_id": made.import_id, "owner": made.owner, "source": made.source, "sealed_input": sealed_input, "now": now}
        await self.database.write(Statement(query="keep_import_input", params=given, expect=1))

    async def settle(self, made: PartnerImport, *, owner: str) -> None:
        """How an import stands after the work of its owner. Raises ``Stale`` as above."""
        await self.database.write(_settle(made, owner))

    async def keep(self, made: PartnerImport, new: NewVersion, *, now: int, partners_most: int, versions_most: int) -> None:
        """Keep the version that an import made; of many versions the oldest that nothing needs are dropped.

        Raises ``Stale`` when the import was ended, the partner changed, or the account has ``partners_most`` meanwhile, ``Duplicate`` when the id is taken.
        """
        version = new.version
        given = {"account_id": version.account_id, "partner_id": version.partner_id, "most": versions_most - 1}
        held = {**params(version), "sealed_report": new.report, "sealed_folder": new.folder}
        await self.database.write(
            _advance(made, "publish", made.done, made.total, now),
            _standing(new, partners_most),
            Statement(query="delete_older_versions", params=given),
            Statement(query="insert_partner_version", params=held, expect=1),
            _BUMP,
        )

    async def answer(self, made: PartnerImport, sealed_input: bytes, now: int) -> None:
        """Let an import go on. Raises ``Stale`` when it does not wait for this answer any more."""
        given = {
            "account_id": made.account_id,
            "import_id": made.import_id,
            "asked_at": made.updated_at,
            "sealed_input": sealed_input,
            "now": now,
        }
        await self.database.write(Statement(query="answer_import", params=given, expect=1))

    async def cancel(self, account_id: int, import_id: str, now: int) -> None:
        """End an import. Raises ``Stale`` when it has ended."""
        given = {"account_id": account_id, "import_id": import_id, "now": now}
        await self.database.write(Statement(query="cancel_import", params=given, expect=1), _ERASED)

    async def owners(self) -> list[str]:
        """The processes that work on imports."""
        return [str(row[0]) for row in await self.database.read("import_owners")]

    async def recover(self, owner: str, *, most: int, outcome: str, now: int) -> None:
        """Give back what a dead process worked on; what ``most`` processes died of ends with this outcome."""
        given = {"owner": owner, "most": most, "outcome": outcome, "now": now}
        await self.database.write(Statement(query="recover_imports", params=given))

    async def tidy(self, *, asked_before: int, ended_before: int, now: int) -> None:
        """End what waits for an answer since before a time, drop what ended before another."""
        await self.database.write(
            Statement(query="forget_questions", params={"before": asked_before, "now": now}),
            Statement(query="delete_old_imports", params={"before": ended_before}),
        )


def _advance(made: PartnerImport, step: str, done: int, total: int, now: int) -> Statement:
    given = {"import_id": made.import_id, "owner": made.owner, "step": step, "done": done, "total": total, "now": now}
    return Statement(query="advance_import", params=given, expect=1)


def _settle(made: PartnerImport, owner: str) -> Statement:
    names = ("import_id", "status", "step", "partner_id", "version", "outcome", "updated_at", "finished_at")
    return Statement(query="settle_import", params={name: getattr(made, name) for name in names} | {"owner": owner}, expect=1)


def _standing(new: NewVersion, most: int) -> Statement:
    """The partner as it stands with a version more."""
    version, before = new.version, new.partner
    serves = version.published_at is not None
    if before is None:
        before = PrivatePartner(
            partner_id=version.partner_id,
            account_id=version.account_id,
            slug=new.slug,
            title=version.title,
            state=PartnerState.DRAFT,
            live=None,
            newest=version.number,
            deprecation=None,
            dropped=None,
            generation=1,
            created_at=version.made_at,
            updated_at=version.made_at,
        )
    comes = before.state in {PartnerState.DRAFT, PartnerState.REMOVED}
    state = (PartnerState.LIVE if serves else PartnerState.DRAFT) if comes else before.state
    after = replace(before, state=state, live=version.number if serves else before.live, newest=version.number, updated_at=version.made_at)
    if serves or before.state is PartnerState.REMOVED:
        after = replace(after, title=version.title, dropped=new.dropped)
    if new.partner is None:
        return Statement(query="insert_private_partner", params={**params(after), "most": most}, expect=1)
    if before.state is PartnerState.REMOVED:
        return Statement(
            query="revive_private_partner", params={**params(after, "slug", "created_at", "deprecation"), "most": most}, expect=1
        )
    return Statement(query="update_private_partner", params=params(after, "slug", "created_at"), expect=1)
