"""Links and what accounts have set for themselves: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from polyport.store.base import Database, DbRow, Statement
from polyport.store.grants import authorised_by
from polyport.store.herald import Herald
from polyport.store.records import AccountSettings, Connection, Link, LinkStatus, StoredGrant
from polyport.store.rows import After, build, columns, params, params_after

_BUMP = Statement(query="bump_epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFilter:
    """What a list of links is filtered by; ``None`` means any."""

    partner_id: int | None = None
    status: int | None = None
    external_user_id: str | None = None
    title: str | None = None
    title_like: str | None = None


def _link(row: DbRow) -> Link:
    values = dict(zip(columns(Link), row, strict=True))
    return Link(**(values | {"status": LinkStatus(values["status"]), "renews": bool(values["renews"])}))


@dataclass(frozen=True, slots=True)
class Links:
    """Links of accounts. Every change is a compare-and-swap on the status and the token."""

    database: Database
    herald: Herald

    async def insert(self, link: Link) -> Link:
        """Keep a new link (its ``link_id`` is ignored); the link with its id."""
        rows = await self.database.write(Statement(query="insert_link", params=params(link, "link_id"), expect=1))
        return replace(link, link_id=int(rows[0][0][0]))

    async def get(self, account_id: int, link_id: int, now: int) -> Link | None:
        """One link of an account, as it stands at a time."""
        rows = await self.database.read("link", {"account_id": account_id, "link_id": link_id, "now": now})
        return _link(rows[0]) if rows else None

    async def find(self, link_id: int, now: int) -> Link | None:
        """A link of any account: whoever asks for it this way has to show its token."""
        rows = await self.database.read("link_by_id", {"link_id": link_id, "now": now})
        return _link(rows[0]) if rows else None

    async def page(
        self, account_id: int, wanted: LinkFilter, *, sort: str | None, limit: int, offset: int, after: After | None = None, now: int
    ) -> tuple[list[Link], int]:
        """A page of links and how many there are. ``sort``: ``title``, ``-title``, ``id``, or newest first. ``after``: the title and the id to go on from."""
        given = {"account_id": account_id, "now": now, **params(wanted)}
        rows = await self.database.read("links", {**given, "sort": sort, "limit": limit, "offset": offset, **params_after(after)})
        total = await self.database.read("count_links", given)
        return [_link(row) for row in rows], int(total[0][0])

    async def regenerate(self, link: Link, *, token_hash: bytes, expires_at: int) -> None:
        """Another token in place of the old one. Raises ``Stale`` for a link that was used or revoked."""
        given = {"link_id": link.link_id, "account_id": link.account_id, "token_hash": token_hash, "expires_at": expires_at}
        await self.database.write(Statement(query="regenerate_link", params=given, expect=1))

    async def revoke(self, link: Link) -> None:
        """End a link. Raises ``Stale`` for a link that was used or revoked."""
        given = {"link_id": link.link_id, "account_id": link.account_id}
        await self.database.write(Statement(query="revoke_link", params=given, expect=1))

    async def opened(self, link: Link, now: int) -> None:
        """Note that somebody looks at a link's page; only the first time counts."""
        await self.database.write(Statement(query="open_link", params=_of(link, now)))

    async def failed(self, link: Link, message: str, now: int) -> None:
        """Note that a try came to nothing, unless the link has ended since."""
        await self.database.write(Statement(query="fail_link", params={**_of(link, now), "last_error": message}))

    async def use(
        self, link: Link, connection: Connection, grant: StoredGrant | None = None, *, session_hash: bytes | None, now: int
    ) -> None:
        """Use a link up, for the connection it asks for, with what the partner granted to it: made, or renewed in place of its ``generation``; all of it or nothing.

        Raises ``Stale`` when somebody else used the link first, when it ended, or when the connection was changed or deleted meanwhile.
        """
        changed = (
            Statement(query="replace_secrets", params={**params(connection), "now": now}, expect=1)
            if link.renews
            else Statement(query="insert_connection", params=params(connection))
        )
        finished = replace(
            link,
            status=LinkStatus.DONE,
            connection_id=connection.connection_id,
            last_error=None,
            opened_at=link.opened_at or now,
            used_at=now,
        )
        told = (
            *await self.herald.connection("connection.updated" if link.renews else "connection.created", connection),
            *await self.herald.link(finished),
        )
        used = {**_of(link, now), "connection_id": connection.connection_id, "session_hash": session_hash}
        await self.database.write(
            Statement(query="use_link", params=used, expect=1),
            changed,
            authorised_by(connection.connection_id, grant),
            Statement(query="delete_cached_lists", params={"connection_id": connection.connection_id}),
            *told,
            _BUMP,
        )
        if told:
            self.herald.announce()

    async def tidy(self, before: int) -> None:
        """Drop links that ended before a time, a few at once."""
        await self.database.write(Statement(query="delete_old_links", params={"before": before}))


def _of(link: Link, now: int) -> dict[str, object]:
    return {"link_id": link.link_id, "token_hash": link.token_hash, "now": now}


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """What accounts have set for themselves."""

    database: Database

    async def get(self, account_id: int) -> AccountSettings:
        """The settings of an account; empty ones of generation 0 where it has none."""
        found = build(AccountSettings, await self.database.read("account_settings", {"account_id": account_id}))
        return found or AccountSettings(account_id=account_id, settings="{}", generation=0, updated_at=0)

    async def put(self, settings: AccountSettings) -> None:
        """Put these in place of those of their ``generation``. Raises ``Stale`` or ``Duplicate`` when somebody else did so first."""
        if settings.generation:
            await self.database.write(Statement(query="update_account_settings", params=params(settings), expect=1))
        else:
            await self.database.write(Statement(query="insert_account_settings", params=params(settings, "generation")))
