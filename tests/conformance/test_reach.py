"""What a call of one end user finds, changes and makes: nothing of anybody else, whatever it asks for."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import stored
from polyport.store.base import Stale
from polyport.store.connections import ConnectionFilter
from polyport.store.links import LinkFilter
from polyport.store.reach import limit_reach, only_user, within_reach
from polyport.store.records import File, IdempotencyKey
from polyport.store.repo import Repo
from polyport.store.runs import RunFilter

pytestmark = pytest.mark.anyio


async def as_user(user: str | None, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Do something as a call of an end user does: in a context of its own."""

    async def call() -> Any:
        limit_reach(user)
        return await work()

    return await asyncio.create_task(call())


def file(account_id: int, name: str, user: str | None) -> File:
    return File(
        file_id=name, account_id=account_id, name=name, content_type="text/plain", size=1, created_at=1, external_user_id=user, sealed=b"x"
    )


@pytest.fixture
async def owners(repo: Repo, account_id: int) -> dict[str, Any]:
    """One thing of each kind of the user ``ada``."""
    connection = stored.connection(account_id, 2_000, external_user_id="ada")
    await repo.connections.insert(connection)
    link = await repo.links.insert(stored.link(account_id, external_user_id="ada"))
    run = stored.run(account_id, external_user_id="ada")
    await repo.runs.insert(run)
    await repo.files.insert(file(account_id, "file_ada", "ada"))
    return {"connection": connection, "link": link, "run": run}


async def test_a_reach_is_that_of_its_context_alone() -> None:
    async def look() -> tuple[str | None, bool, bool, bool]:
        return only_user(), within_reach("ada"), within_reach("bob"), within_reach(None)

    assert await as_user("ada", look) == ("ada", True, False, False)
    assert await look() == (None, True, True, True)


@pytest.mark.parametrize(("user", "seen"), [("ada", True), ("bob", False), (None, True)])
async def test_things_are_found_by_their_user_and_by_the_account(
    repo: Repo, account_id: int, owners: dict[str, Any], user: str, seen: bool
):
    async def look() -> list[bool]:
        return [
            await repo.connections.get(account_id, owners["connection"].connection_id) is not None,
            await repo.links.get(account_id, owners["link"].link_id, 5) is not None,
            await repo.runs.get(account_id, owners["run"].run_id) is not None,
            await repo.files.get(account_id, "file_ada") is not None,
            bool((await repo.connections.page(account_id, ConnectionFilter(), sort=None, limit=9, offset=0))[1]),
            bool((await repo.connections.page(account_id, ConnectionFilter(external_user_id="ada"), sort=None, limit=9, offset=0))[0]),
            bool((await repo.links.page(account_id, LinkFilter(), sort=None, limit=9, offset=0, now=5))[1]),
            bool((await repo.runs.page(account_id, RunFilter(), limit=9)).runs),
            bool((await repo.runs.page(account_id, RunFilter(external_user_id="ada"), limit=9)).runs),
        ]

    assert await as_user(user, look) == [seen] * 9


ORDERS = [None, "-credentialId", "title", "-title"]


@pytest.mark.parametrize(("user", "seen"), [("ada", True), ("bob", False), (None, True)])
async def test_no_order_and_no_filter_of_a_list_nor_a_count_tells_of_what_is_anothers(
    repo: Repo, account_id: int, owners: dict[str, Any], user: str, seen: bool
):
    connection = owners["connection"]
    filters = [ConnectionFilter(), ConnectionFilter(partner_id=connection.partner_id), ConnectionFilter(external_user_id="ada")]

    async def look() -> set[bool]:
        pages = [
            await repo.connections.page(account_id, wanted, sort=sort, limit=9, offset=0)
            for wanted, sort in itertools.product(filters, ORDERS)
        ]
        assert {len(found) == total for found, total in pages} == {True}
        return {
            *(bool(found) for found, _total in pages),
            bool(await repo.connections.by_status(account_id)),
            bool(await repo.connections.unverified(account_id)),
            bool(await repo.connections.titles(account_id, [connection.connection_id])),
        }

    assert await as_user(user, look) == {seen}


async def test_nobody_else_cancels_or_stops_a_run(repo: Repo, account_id: int, owners: dict[str, Any]) -> None:
    under_way = stored.running(account_id, "p1", external_user_id="ada")
    await repo.runs.insert(under_way)
    for work in (lambda: repo.runs.cancel(owners["run"], error="{}", now=3), lambda: repo.runs.ask_to_stop(under_way, 3)):
        with pytest.raises(Stale):
            await as_user("bob", work)
        await as_user("ada", work)


async def test_nobody_else_changes_them(repo: Repo, account_id: int, owners: dict[str, Any]) -> None:
    connection, link = owners["connection"], owners["link"]
    attempts: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: repo.connections.patch(account_id, connection.connection_id, title="t", metadata="{}", external_user_id="bob", now=3),
        lambda: repo.connections.replace_secrets(connection, now=3),
        lambda: repo.connections.verified(connection, stored.refused(), now=3),
        lambda: repo.connections.delete(account_id, connection.connection_id),
        lambda: repo.links.regenerate(link, token_hash=b"n", expires_at=9),
        lambda: repo.links.revoke(link),
        lambda: repo.files.delete(account_id, "file_ada"),
    ]
    for attempt in attempts:
        with pytest.raises(Stale):
            await as_user("bob", attempt)
    await as_user(
        "ada", lambda: repo.connections.patch(account_id, connection.connection_id, title="t", metadata="{}", external_user_id="bob", now=3)
    )
    found = await repo.connections.get(account_id, connection.connection_id)
    assert found is not None
    assert (found.title, found.external_user_id) == ("t", "ada")


async def test_what_is_made_within_a_reach_is_that_users_whatever_the_record_says(repo: Repo, account_id: int) -> None:
    async def make() -> tuple[int, int]:
        await repo.connections.insert(stored.connection(account_id, 2_001))
        link = await repo.links.insert(stored.link(account_id, external_user_id="ada"))
        await repo.runs.insert(stored.run(account_id))
        await repo.files.insert(file(account_id, "file_1", "ada"))
        return 2_001, link.link_id

    connection_id, link_id = await as_user("bob", make)
    found = [
        await repo.connections.get(account_id, connection_id),
        await repo.links.get(account_id, link_id, 5),
        (await repo.runs.page(account_id, RunFilter(), limit=1)).runs[0],
        await repo.files.get(account_id, "file_1"),
    ]
    assert [each.external_user_id for each in found if each is not None] == ["bob"] * 4


async def test_units_of_many_callers_in_one_commit_keep_each_its_own_reach(repo: Repo, account_id: int) -> None:
    runs = {user: stored.run(account_id) for user in ("ada", "bob", None, "eve")}
    await asyncio.gather(*(as_user(user, lambda run=run: repo.runs.insert(run)) for user, run in runs.items()))  # type: ignore[misc]  # mypy takes the default for an argument
    for user, run in runs.items():
        found = await repo.runs.get(account_id, run.run_id)
        assert found is not None
        assert found.external_user_id == user


async def test_the_same_key_of_two_users_and_of_the_account_is_three_keys(repo: Repo, account_id: int) -> None:
    def key(run_id: str) -> IdempotencyKey:
        return IdempotencyKey(account_id=account_id, key="k", digest=b"d", run_id=run_id, created_at=1)

    for user in ("ada", "bob", None):
        run = stored.run(account_id)
        await as_user(user, lambda run=run: repo.runs.insert(run, key(run.run_id)))  # type: ignore[misc]  # as above
        found = await as_user(user, lambda: repo.runs.key(account_id, "k"))
        assert found.run_id == run.run_id
    await as_user("ada", lambda: repo.runs.forget_key(account_id, "k", before=2))
    assert await as_user("ada", lambda: repo.runs.key(account_id, "k")) is None
    assert await as_user("bob", lambda: repo.runs.key(account_id, "k")) is not None
    await repo.runs.forget_old_keys(before=2, limit=10)
    assert await repo.runs.key(account_id, "k") is None


async def test_a_connection_that_goes_to_another_user_is_no_longer_renewed_by_links_of_the_first(
    repo: Repo, account_id: int, owners: dict[str, Any]
) -> None:
    connection_id = owners["connection"].connection_id
    renewing = stored.link(account_id, external_user_id="ada", connection_id=connection_id, renews=True)
    link = await repo.links.insert(renewing)
    given = {"title": "t", "metadata": json.dumps({}), "now": 3}
    await repo.connections.patch(account_id, connection_id, external_user_id="ada", **given)
    assert (await repo.links.get(account_id, link.link_id, 5)).status == link.status  # type: ignore[union-attr]  # it is there
    await repo.connections.patch(account_id, connection_id, external_user_id="bob", **given)
    assert (await repo.links.get(account_id, link.link_id, 5)).status == 5  # type: ignore[union-attr]  # it is there
