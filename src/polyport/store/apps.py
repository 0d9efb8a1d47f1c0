"""OAuth apps: what ``Repo`` says about them in terms of a ``Database``."""

from __future__ import annotations

from dataclasses import dataclass

from polyport.store.base import Database, DbRow, Statement
from polyport.store.records import OAuthApp
from polyport.store.rows import build, columns, params

_BUMP = Statement(query="bump_epoch")


def _app(row: DbRow) -> OAuthApp:
    return OAuthApp(**dict(zip(columns(OAuthApp), row, strict=True)))


@dataclass(frozen=True, slots=True)
class OAuthApps:
    """OAuth apps of accounts and of the installation; every change bumps the cache epoch."""

    database: Database

    async def get(self, account_id: int | None, partner_id: int) -> OAuthApp | None:
        """The app of an account for a partner, or that of the installation."""
        return build(OAuthApp, await self.database.read("oauth_app", {"account_id": account_id, "partner_id": partner_id}))

    async def serving(self, account_id: int, partner_id: int, auth: str) -> OAuthApp | None:
        """The app by which an account's customers sign in: its own, else the installation's."""
        given = {"account_id": account_id, "partner_id": partner_id, "auth": auth}
        return build(OAuthApp, await self.database.read("serving_oauth_app", given))

    async def all(self, account_id: int | None) -> list[OAuthApp]:
        """The apps that an account sees, those of the installation among them."""
        return [_app(row) for row in await self.database.read("oauth_apps", {"account_id": account_id})]

    async def put(self, app: OAuthApp) -> None:
        """Keep an app in place of the one of its ``generation``, 0 where there was none. Raises ``Stale`` or ``Duplicate`` when somebody else did so first."""
        if app.generation:
            changed = Statement(query="update_oauth_app", params=params(app, "app_id", "created_at"), expect=1)
        else:
            changed = Statement(query="insert_oauth_app", params=params(app, "app_id", "generation"))
        await self.database.write(changed, _BUMP)

    async def delete(self, account_id: int | None, partner_id: int) -> None:
        """Drop an app. Raises ``Stale`` when there is none."""
        given = {"account_id": account_id, "partner_id": partner_id}
        await self.database.write(Statement(query="delete_oauth_app", params=given, expect=1), _BUMP)
