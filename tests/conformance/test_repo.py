"""What the store keeps about accounts, tokens, connections and runs."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as changed

import stored
from polyport.store.base import Database, Duplicate, Stale
from polyport.store.connections import ConnectionFilter
from polyport.store.records import CachedList, ConnectionStatus, File, LinkStatus, Run, RunProof, RunStatus
from polyport.store.repo import Repo
from polyport.store.runs import RunFilter, Runs

pytestmark = pytest.mark.anyio


async def test_accounts_are_numbered_from_one_and_connections_from_higher_up(repo: Repo) -> None:
    assert [await stored.account(repo, "a@example.com"), await stored.account(repo, "b@example.com")] == [1, 2]
    assert await repo.connections.reserve_id() > 1_000


async def test_a_user_is_found_however_the_address_is_written(repo: Repo, account_id: int) -> None:
    user = await repo.accounts.user_by_email(" Ada@Example.COM ")
    assert user is not None
    assert (user.account_id, user.email) == (account_id, "ada@example.com")
    assert await repo.accounts.user(account_id + 1, user.user_id) is None


async def test_an_address_that_is_taken_makes_no_account(repo: Repo, account_id: int) -> None:
    with pytest.raises(Duplicate):
        await stored.account(repo, "ADA@example.com")
    assert await repo.accounts.count() == 1
    assert [account.account_id for account in await repo.accounts.all()] == [account_id]


async def test_a_new_password_ends_every_sign_in_but_no_api_key(repo: Repo, account_id: int) -> None:
    user = await repo.accounts.user_by_email("ada@example.com")
    assert user is not None
    await repo.tokens.insert(
        stored.token(account_id, b"s", user_id=user.user_id),
        stored.token(account_id, b"r", kind="refresh", user_id=user.user_id),
        stored.token(account_id, b"k", kind="api_key", user_id=user.user_id, family="k"),
    )
    await repo.accounts.set_password(user.user_id, "new")
    assert [await repo.tokens.by_hash(text) is not None for text in (b"s", b"r", b"k")] == [False, False, True]
    changed = await repo.accounts.user(account_id, user.user_id)
    assert changed is not None
    assert changed.password_hash == "new"


async def test_all_sign_ins_of_one_user_can_be_ended(repo: Repo, account_id: int) -> None:
    user = await repo.accounts.user_by_email("ada@example.com")
    assert user is not None
    await repo.tokens.insert(stored.token(account_id, b"s", user_id=user.user_id), stored.token(account_id, b"other", family="other"))
    await repo.tokens.revoke_sessions(user.user_id)
    assert [await repo.tokens.by_hash(text) is not None for text in (b"s", b"other")] == [False, True]


async def test_a_refresh_token_is_exchanged_once(repo: Repo, account_id: int) -> None:
    await repo.tokens.insert(stored.token(account_id, b"old session"), stored.token(account_id, b"used", kind="refresh"))
    exchange = [repo.tokens.replace_family("family", b"used", stored.token(account_id, bytes([number]))) for number in range(5)]
    told = await asyncio.gather(*exchange, return_exceptions=True)
    assert told.count(None) == 1
    assert sum(isinstance(error, Stale) for error in told) == 4
    assert await repo.tokens.by_hash(b"old session") is None


async def test_tokens_of_a_unit_are_kept_together_or_not_at_all(repo: Repo, account_id: int) -> None:
    await repo.tokens.insert(stored.token(account_id, b"taken"))
    with pytest.raises(Duplicate):
        await repo.tokens.insert(stored.token(account_id, b"new"), stored.token(account_id, b"taken"))
    assert await repo.tokens.by_hash(b"new") is None


async def test_api_keys_are_paged_newest_first_and_are_the_accounts_own(repo: Repo, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    keys = [stored.token(account_id, bytes([number]), kind="api_key", title=str(number), expires_at=None) for number in range(5)]
    ids = await repo.tokens.insert(*keys, stored.token(account_id, b"session"))
    page, total = await repo.tokens.api_keys(account_id, limit=2, offset=1)
    assert ([key.title for key in page], total) == (["3", "2"], 5)
    assert await repo.tokens.api_keys(other, limit=9, offset=0) == ([], 0)
    with pytest.raises(Stale):
        await repo.tokens.revoke_api_key(other, ids[0])
    with pytest.raises(Stale):
        await repo.tokens.revoke_api_key(account_id, ids[5])
    await repo.tokens.revoke_api_key(account_id, ids[0])
    assert await repo.tokens.by_hash(bytes([0])) is None


async def test_the_last_use_of_a_token_is_noted(repo: Repo, account_id: int) -> None:
    (token_id,) = await repo.tokens.insert(stored.token(account_id, b"t"))
    await repo.tokens.touch(token_id, 5_000)
    found = await repo.tokens.by_hash(b"t")
    assert found is not None
    assert found.last_used_at == 5_000


async def test_tidying_drops_only_what_has_ended(repo: Repo, account_id: int) -> None:
    told = {b"ended": 1_000, b"living": 9_000, b"endless": None}
    await repo.tokens.insert(*(stored.token(account_id, text, expires_at=at) for text, at in told.items()))
    await repo.tokens.tidy(5_000)
    assert [await repo.tokens.by_hash(text) is not None for text in told] == [False, True, True]


async def test_tries_are_counted_within_a_window_by_all_at_once(repo: Repo) -> None:
    hits = await asyncio.gather(*(repo.throttles.hit("ada", window_ms=1_000, now=5_000) for _number in range(10)))
    assert sorted(hits) == [(number, 6_000) for number in range(1, 11)]
    assert await repo.throttles.hit("bob", window_ms=1_000, now=5_500) == (1, 6_500)
    assert await repo.throttles.hit("ada", window_ms=1_000, now=5_999) == (11, 6_000)
    assert await repo.throttles.hit("ada", window_ms=1_000, now=6_000) == (1, 7_000)
    assert await repo.throttles.hit("ada", window_ms=1_000, now=4_000) == (1, 5_000)  # the clock was wrong before
    await repo.throttles.clear("ada")
    assert await repo.throttles.hit("ada", window_ms=1_000, now=6_001) == (1, 7_001)


async def test_the_epoch_moves_whenever_something_kept_in_memory_may_be_out_of_date(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1_001)
    await repo.connections.insert(record)
    (key_id,) = await repo.tokens.insert(stored.token(account_id, b"k", kind="api_key"))
    changes = [
        repo.tokens.revoke_api_key(account_id, key_id),
        repo.tokens.revoke_family("family"),
        repo.tokens.revoke_sessions(1),
        repo.connections.patch(account_id, 1_001, title="New", metadata="{}", external_user_id=None, now=2_000),
        repo.connections.replace_secrets(record, now=2_000),
        repo.connections.forget_older_lists(1_001, 1),
        repo.connections.delete(account_id, 1_001),
    ]
    for change in changes:
        before = await repo.tokens.epoch()
        await change
        assert await repo.tokens.epoch() == before + 1


async def test_a_connection_comes_back_as_it_was_kept_and_only_to_its_account(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1_001, external_user_id="u1", metadata='{"a": 1}')
    await repo.connections.insert(record)
    assert await repo.connections.get(account_id, 1_001) == record
    assert await repo.connections.get(account_id + 1, 1_001) is None
    with pytest.raises(Stale):
        await repo.connections.delete(account_id + 1, 1_001)
    with pytest.raises(Stale):
        await repo.connections.patch(account_id + 1, 1_001, title="Mine", metadata="{}", external_user_id=None, now=2_000)


@pytest.fixture
async def many(repo: Repo, account_id: int) -> int:
    other = await stored.account(repo, "other@example.com")
    told = [
        stored.connection(account_id, 1, title="beta", partner_id=7, external_user_id="u1"),
        stored.connection(account_id, 2, title="Alpha 100%", status=ConnectionStatus.INVALID),
        stored.connection(account_id, 3, title="\u00c9cole", external_user_id="u1"),
        stored.connection(account_id, 4, title="gamma_1", external_user_id="u2"),
        stored.connection(other, 5, title="beta", partner_id=7, external_user_id="u1"),
    ]
    for record in told:
        await repo.connections.insert(record)
    return account_id


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (ConnectionFilter(), [1, 2, 3, 4]),
        (ConnectionFilter(partner_id=7), [1]),
        (ConnectionFilter(status="invalid"), [2]),
        (ConnectionFilter(external_user_id="u1"), [1, 3]),
        (ConnectionFilter(external_user_id="u1", partner_id=10055), [3]),
        (ConnectionFilter(title="beta"), [1]),
        (ConnectionFilter(title="Beta"), []),
        (ConnectionFilter(title_like="ALPHA"), [2]),
        (ConnectionFilter(title_like="%"), [2]),
        (ConnectionFilter(title_like="_"), [4]),
        (ConnectionFilter(title_like="\u00e9COLE"), [3]),
        (ConnectionFilter(title_like="' OR 1=1 --"), []),
    ],
)
async def test_connections_are_filtered(repo: Repo, many: int, wanted: ConnectionFilter, ids: list[int]) -> None:
    page, total = await repo.connections.page(many, wanted, sort=None, limit=100, offset=0)
    assert ([found.connection_id for found in page], total) == (ids, len(ids))


@pytest.mark.parametrize(
    ("sort", "ids"), [(None, [1, 2, 3, 4]), ("title", [2, 1, 4, 3]), ("-title", [3, 4, 1, 2]), ("-credentialId", [4, 3, 2, 1])]
)
async def test_connections_are_sorted_and_paged(repo: Repo, many: int, sort: str | None, ids: list[int]) -> None:
    pages = [await repo.connections.page(many, ConnectionFilter(), sort=sort, limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [[found.connection_id for found in page] for page, _total in pages] == [ids[:3], ids[3:], []]
    assert {total for _page, total in pages} == {4}


async def test_secrets_are_replaced_once_per_generation_and_what_was_read_with_them_is_forgotten(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await repo.connections.insert(record)
    await repo.connections.put_cached_list(CachedList(connection_id=1, name="owners", sealed=b"x", read_at=1, stale_at=2), generation=1)
    swaps = [repo.connections.replace_secrets(replace(record, sealed=bytes([number])), now=2_000) for number in range(5)]
    told = await asyncio.gather(*swaps, return_exceptions=True)
    assert told.count(None) == 1
    found = await repo.connections.get(account_id, 1)
    assert found is not None
    assert (found.generation, found.sealed) == (2, bytes([told.index(None)]))
    assert await repo.connections.cached_list(1, "owners") is None


async def test_what_a_verify_call_found_says_nothing_about_newer_secrets(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await repo.connections.insert(record)
    await repo.connections.verified(record, stored.finding(account_label="Ada"), now=3_000)
    await repo.connections.replace_secrets(replace(record, account_label="Ada"), now=4_000)
    with pytest.raises(Stale):
        await repo.connections.verified(record, stored.refused(), now=5_000)
    newer = replace(record, generation=2)
    await repo.connections.verified(newer, stored.refused(), now=6_000)
    found = await repo.connections.get(account_id, 1)
    assert found is not None
    assert (found.status, found.account_label, found.last_error) == (ConnectionStatus.INVALID, "Ada", "refused")


async def test_a_finding_moves_the_times_of_a_connection_and_tells_other_processes_of_another_status_alone(
    repo: Repo, account_id: int
) -> None:
    record = stored.connection(account_id, 1)
    await repo.connections.insert(record)
    before = await repo.tokens.epoch()
    await repo.connections.verified(record, stored.finding(check_at=9_000), now=3_000)
    same = await repo.connections.get(account_id, 1)
    assert same is not None
    assert (same.last_verified_at, same.check_at, same.updated_at, await repo.tokens.epoch()) == (3_000, 9_000, 1_000, before)
    await repo.connections.verified(record, stored.refused(check_at=20_000), now=6_000)
    other = await repo.connections.get(account_id, 1)
    assert other is not None
    assert (other.last_verified_at, other.check_at, other.refusals, other.updated_at) == (3_000, 20_000, 2, 6_000)
    assert await repo.tokens.epoch() > before


async def test_of_many_that_would_check_a_connection_one_gets_it(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1, check_at=5_000)
    await repo.connections.insert(record)
    told = await asyncio.gather(
        *(repo.connections.move_check(record, 60_000 + number, refusals=0) for number in range(5)), return_exceptions=True
    )
    assert sum(isinstance(found, Stale) for found in told) == 4
    assert await repo.connections.due_check(record.partner_id, 59_000) is None


async def test_due_checks_are_found_by_partner_the_longest_wait_first(repo: Repo, account_id: int) -> None:
    for number, (partner, check_at) in enumerate([(7, 500), (7, 300), (8, 9_000), (9, None), (12, 400), (12, 9_000)], start=1):
        await repo.connections.insert(stored.connection(account_id, number, partner_id=partner, check_at=check_at))
    assert await repo.connections.due_partners(100) == []
    assert await repo.connections.due_partners(1_000) == [7, 12]
    assert await repo.connections.due_partners(10_000) == [7, 8, 12]
    first = await repo.connections.due_check(7, 1_000)
    assert first is not None
    assert first.connection_id == 2
    await repo.connections.check_soon(3, 1_000)
    await repo.connections.check_soon(4, 1_000)
    assert await repo.connections.due_partners(1_000) == [7, 8, 12]


async def test_the_success_of_a_run_is_noted_with_an_active_connection_that_has_the_same_secrets(repo: Repo, account_id: int) -> None:
    for number, told in enumerate([{"status": ConnectionStatus.PENDING}, {"status": ConnectionStatus.INVALID}, {"generation": 2}], start=1):
        await repo.connections.insert(stored.connection(account_id, number, check_at=500, **told))
    await repo.connections.insert(stored.connection(account_id, 4, check_at=500))
    await repo.connections.insert(stored.connection(account_id, 5))
    for number in (1, 2, 3, 4, 5):
        run = stored.running(account_id, "me", connection_id=number)
        await repo.runs.insert(run)
        ended = stored.running(account_id, "me", run_id=run.run_id, status=RunStatus.SUCCEEDED, finished_at=8_000)
        await repo.runs.finish(ended, RunProof(connection_id=number, generation=1, check_at=90_000))
    found = [await repo.connections.get(account_id, number) for number in (1, 2, 3, 4, 5)]
    assert [(row.status.value, row.last_verified_at, row.check_at) for row in found if row is not None] == [
        ("pending", None, 500),
        ("invalid", None, 500),
        ("active", None, 500),
        ("active", 8_000, 90_000),
        ("active", 8_000, None),
    ]


async def test_the_last_use_of_a_connection_is_noted(repo: Repo, account_id: int) -> None:
    await repo.connections.insert(stored.connection(account_id, 1))
    await repo.connections.touch(1, 7_000)
    found = await repo.connections.get(account_id, 1)
    assert found is not None
    assert found.last_used_at == 7_000


async def test_what_was_read_with_secrets_that_were_replaced_is_not_kept(repo: Repo, account_id: int) -> None:
    record = stored.connection(account_id, 1)
    await repo.connections.insert(record)
    await repo.connections.replace_secrets(record, now=2_000)
    cached = CachedList(connection_id=1, name="owners", sealed=b"x", read_at=1, stale_at=2)
    with pytest.raises(Stale):
        await repo.connections.put_cached_list(cached, generation=1)
    await repo.connections.put_cached_list(cached, generation=2)
    assert await repo.connections.cached_list(1, "owners") == cached


async def test_what_was_read_before_a_time_is_forgotten(repo: Repo, account_id: int) -> None:
    await repo.connections.insert(stored.connection(account_id, 1))
    for name, read_at in (("old", 1), ("new", 5)):
        cached = CachedList(connection_id=1, name=name, sealed=b"x", read_at=read_at, stale_at=9)
        await repo.connections.put_cached_list(cached, generation=1)
    await repo.connections.forget_older_lists(1, 5)
    assert [await repo.connections.cached_list(1, name) is not None for name in ("old", "new")] == [False, True]


async def test_the_status_of_re_reading_moves_only_from_where_it_stands(repo: Repo, account_id: int) -> None:
    await repo.connections.insert(stored.connection(account_id, 1))
    await repo.connections.move_data(1, was=0, becomes=1, due_at=5_000)
    with pytest.raises(Stale):
        await repo.connections.move_data(1, was=0, becomes=1, due_at=5_000)
    found = await repo.connections.get(account_id, 1)
    assert found is not None
    assert found.data_status == 1


async def test_what_is_to_be_read_again_is_taken_once_and_only_its_owner_ends_it(repo: Repo, account_id: int) -> None:
    for number, due_at in ((1, 4_000), (2, 3_000), (3, 9_000)):
        await repo.connections.insert(stored.connection(account_id, number))
        await repo.connections.move_data(number, was=0, becomes=1, due_at=due_at)
    assert await repo.connections.due_data(5_000, limit=5) == [(account_id, 2), (account_id, 1)]
    assert await repo.connections.due_data(5_000, limit=1) == [(account_id, 2)]
    told = await asyncio.gather(*(repo.connections.claim_data(1, f"p{n}", 5_000) for n in range(5)), return_exceptions=True)
    assert sum(isinstance(found, Stale) for found in told) == 4
    owner = f"p{told.index(0)}"
    assert await repo.connections.data_owners() == [owner]
    with pytest.raises(Stale):
        await repo.connections.claim_data(3, "p", 5_000)
    with pytest.raises(Stale):
        await repo.connections.end_data(1, "another", becomes=3, due_at=None, tries=0)
    await repo.connections.end_data(1, owner, becomes=4, due_at=50_000, tries=1)
    assert await repo.connections.due_data(40_000, limit=5) == [(account_id, 2), (account_id, 3)]
    await repo.connections.hasten_data(1, 6_000)
    assert await repo.connections.claim_data(1, "p9", 6_000) == 1


async def test_what_a_dead_process_was_to_read_again_is_given_back(repo: Repo, account_id: int) -> None:
    for number in (1, 2):
        await repo.connections.insert(stored.connection(account_id, number))
        await repo.connections.move_data(number, was=0, becomes=1, due_at=1_000)
        await repo.connections.claim_data(number, f"p{number}", 2_000)
    await repo.connections.requeue_data("p1", 3_000)
    assert await repo.connections.due_data(3_000, limit=5) == [(account_id, 1)]
    assert await repo.connections.data_owners() == ["p2"]


async def test_a_connection_goes_with_all_that_was_read_for_it(repo: Repo, account_id: int) -> None:
    await repo.connections.insert(stored.connection(account_id, 1))
    cached = CachedList(connection_id=1, name="owners", sealed=b"x", read_at=1, stale_at=2)
    await repo.connections.put_cached_list(cached, generation=1)
    await repo.connections.put_cached_list(replace(cached, sealed=b"y"), generation=1)
    assert await repo.connections.cached_list(1, "owners") == replace(cached, sealed=b"y")
    await repo.connections.delete(account_id, 1)
    assert await repo.connections.cached_list(1, "owners") is None
    with pytest.raises(Stale):
        await repo.connections.put_cached_list(cached, generation=1)


async def test_files_belong_to_their_account(repo: Repo, account_id: int) -> None:
    file = File(file_id="file_1", account_id=account_id, name="a.txt", content_type="text/plain", size=1, created_at=1, sealed=b"x")
    await repo.files.insert(file)
    assert await repo.files.get(account_id, "file_1") == file
    assert await repo.files.get(account_id + 1, "file_1") is None
    with pytest.raises(Stale):
        await repo.files.delete(account_id + 1, "file_1")
    await repo.files.delete(account_id, "file_1")
    assert await repo.files.get(account_id, "file_1") is None


async def test_of_many_runs_under_one_key_one_is_accepted(repo: Repo, account_id: int) -> None:
    runs = [stored.run(account_id) for _number in range(30)]
    told = await asyncio.gather(*(repo.runs.insert(run, stored.key(account_id, run)) for run in runs), return_exceptions=True)
    (accepted,) = (run for run, end in zip(runs, told, strict=True) if not isinstance(end, BaseException))
    assert sum(isinstance(error, Duplicate) for error in told) == 29
    key = await repo.runs.key(account_id, "key")
    assert key is not None
    assert key.run_id == accepted.run_id
    assert [run.run_id for run in (await repo.runs.page(account_id, RunFilter(), limit=100)).runs] == [key.run_id]


async def test_two_accounts_may_use_one_key(repo: Repo, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    mine, theirs = stored.run(account_id), stored.run(other)
    await repo.runs.insert(mine, stored.key(account_id, mine))
    await repo.runs.insert(theirs, stored.key(other, theirs))
    assert await repo.runs.get(account_id, theirs.run_id) is None


async def test_keys_are_forgotten_by_age(repo: Repo, account_id: int) -> None:
    run = stored.run(account_id)
    await repo.runs.insert(run, stored.key(account_id, run, "old", at=1_000))
    await repo.runs.insert(newer := stored.run(account_id), stored.key(account_id, newer, "new", at=9_000))
    await repo.runs.forget_key(account_id, "new", before=5_000)
    assert await repo.runs.forget_old_keys(5_000, 10) == 1
    assert [await repo.runs.key(account_id, text) is not None for text in ("old", "new")] == [False, True]


async def test_runs_are_paged_newest_first_without_their_payloads_while_new_ones_arrive(repo: Repo, account_id: int) -> None:
    runs = [stored.run(account_id, at=1_000 + number // 3) for number in range(25)]
    for run in runs:
        await repo.runs.insert(run)
    seen: list[str] = []
    cursor = RunFilter()
    following: str | None = "the first page"
    while following is not None:
        found = await repo.runs.page(account_id, cursor, limit=10)
        page, following = found.runs, found.following
        assert {(run.sealed_input, run.sealed_result, run.sealed_attempts) for run in page} == {(None, None, None)}
        seen += [run.run_id for run in page]
        cursor = RunFilter(before=page[-1].run_id)
        await repo.runs.insert(stored.run(account_id, at=99_000))
    assert seen == [run.run_id for run in reversed(runs)]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (RunFilter(status="failed"), [1]),
        (RunFilter(partner_id=7), [2]),
        (RunFilter(operation_id=8), [3]),
        (RunFilter(connection_id=9), [4]),
        (RunFilter(external_user_id="u1"), [5]),
        (RunFilter(after=f"run_{1_003:012x}", before=f"run_{1_005:012x}"), [4, 3]),
        (RunFilter(status="queued", after=f"run_{1_004:012x}"), [5, 4]),
    ],
)
async def test_runs_are_filtered(repo: Repo, account_id: int, wanted: RunFilter, numbers: list[int]) -> None:
    other = await stored.account(repo, "other@example.com")
    runs = [
        stored.run(other, at=1_004, status=RunStatus.FAILED, partner_id=7, operation_id=8, connection_id=9, external_user_id="u1"),
        stored.run(account_id, at=1_001, status=RunStatus.FAILED),
        stored.run(account_id, at=1_002, partner_id=7),
        stored.run(account_id, at=1_003, operation_id=8),
        stored.run(account_id, at=1_004, connection_id=9),
        stored.run(account_id, at=1_005, external_user_id="u1"),
    ]
    for run in runs:
        await repo.runs.insert(run)
    found = await repo.runs.page(account_id, wanted, limit=10)
    assert [run.run_id for run in found.runs] == [runs[number].run_id for number in numbers]
    assert found.following is None


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_a_page_looks_at_a_bounded_number_of_runs_and_goes_on_where_it_ended(repo: Repo, account_id: int, limit: int) -> None:
    wanted = RunFilter(connection_id=9, status="failed")
    kept: list[str] = []
    for number in range(600):
        fits = number % 150 == 149
        run = stored.run(account_id, at=1_000 + number, connection_id=9, status=RunStatus.FAILED if fits else RunStatus.SUCCEEDED)
        await repo.runs.insert(run)
        kept += [run.run_id] if fits else []
    seen: list[str] = []
    following: str | None = wanted.before
    while following is not None:
        page = await repo.runs.page(account_id, replace(wanted, before=following), limit=limit)
        assert len(page.runs) <= limit
        seen += [run.run_id for run in page.runs]
        following = page.following
    assert seen == kept[::-1]


async def test_several_filters_give_the_runs_that_fit_all_of_them(repo: Repo, account_id: int) -> None:
    values: dict[str, list[Any]] = {
        "status": [RunStatus.FAILED, RunStatus.SUCCEEDED],
        "partner_id": [7, 8],
        "operation_id": [70, 71],
        "connection_id": [9, None],
        "external_user_id": ["u1", "u'2", None],
    }
    runs = [
        stored.run(account_id, at=1_000 + number, **dict(zip(values, told, strict=True)))
        for number, told in enumerate(itertools.product(*values.values()))
    ]
    await repo.runs.insert_many([(run, None) for run in runs])
    for first, second, third in itertools.combinations(values, 3):
        for told in itertools.product(values[first], values[second], [None, *values[third]]):
            asked = {name: value for name, value in zip((first, second, third), told, strict=True) if value is not None}
            fitting = [run.run_id for run in runs if all(getattr(run, name) == value for name, value in asked.items())]
            found = await repo.runs.page(account_id, RunFilter(**asked), limit=100)
            assert ([run.run_id for run in found.runs], found.following) == (fitting[::-1], None)


async def test_a_run_that_changes_while_a_page_is_read_hides_none_of_those_behind_it(database: Database, account_id: int) -> None:
    class Shifting:
        """The database, in which the newest run ends between the look at the indexes and the look at the rows."""

        async def read(self, query: str, given: Any = None) -> Any:
            found = await database.read(query, given)
            if query == "places_that_fit":
                await Repo(database).runs.finish(changed(runs[-1], status=RunStatus.FAILED, finished_at=9_000))
            return found

    runs = [stored.run(account_id, at=1_000 + number, connection_id=9, status=RunStatus.RUNNING, owner="me") for number in range(5)]
    await Repo(database).runs.insert_many([(run, None) for run in runs])
    shifting: Any = Shifting()
    wanted, seen, following = RunFilter(connection_id=9, status="running"), [], RunFilter().before
    while following is not None:
        page = await Runs(shifting).page(account_id, replace(wanted, before=following), limit=2)
        shifting, following = database, page.following
        seen += [run.run_id for run in page.runs]
    assert seen == [run.run_id for run in reversed(runs[:-1])]


async def test_a_link_is_used_once_and_what_it_led_to_is_kept_with_it_or_not_at_all(repo: Repo, account_id: int) -> None:
    link = await repo.links.insert(stored.link(account_id))
    uses = [
        repo.links.use(link, stored.connection(account_id, number), session_hash=b"session", now=2_000) for number in (1_001, 1_002, 1_003)
    ]
    told = await asyncio.gather(*uses, return_exceptions=True)
    held = await repo.links.find(link.link_id, 2_000)
    kept, total = await repo.connections.page(account_id, ConnectionFilter(), sort=None, limit=10, offset=0)
    assert sorted(map(type, told), key=str) == sorted([type(None), Stale, Stale], key=str)
    assert held is not None
    assert (held.status, held.session_hash, held.used_at, total) == (LinkStatus.DONE, b"session", 2_000, 1)
    assert held.connection_id == kept[0].connection_id


async def test_a_link_with_another_token_or_past_its_time_is_not_used(repo: Repo, account_id: int) -> None:
    link = await repo.links.insert(stored.link(account_id, expires_at=5_000))
    for other, now in ((replace(link, token_hash=b"another"), 2_000), (link, 5_000)):
        with pytest.raises(Stale):
            await repo.links.use(other, stored.connection(account_id, 1_001), session_hash=None, now=now)
    assert await repo.connections.get(account_id, 1_001) is None
    held = await repo.links.get(account_id, link.link_id, 5_000)
    assert held is not None
    assert held.status is LinkStatus.EXPIRED
    assert await repo.links.get(account_id + 1, link.link_id, 1_000) is None


async def test_a_link_that_renews_replaces_the_secrets_it_was_made_for_alone(repo: Repo, account_id: int) -> None:
    connection = stored.connection(account_id, 1_001)
    await repo.connections.insert(connection)
    link = await repo.links.insert(stored.link(account_id, renews=True, connection_id=1_001))
    await repo.connections.replace_secrets(replace(connection, sealed=b"second"), now=1_500)
    with pytest.raises(Stale):
        await repo.links.use(link, replace(connection, sealed=b"third"), session_hash=None, now=2_000)
    unused = await repo.links.find(link.link_id, 2_000)
    await repo.links.use(link, replace(connection, generation=2, sealed=b"third"), session_hash=None, now=2_000)
    held = await repo.connections.get(account_id, 1_001)
    assert unused is not None
    assert held is not None
    assert (unused.status, held.sealed, held.generation) == (LinkStatus.WAITING, b"third", 3)


async def test_only_what_changed_since_is_told_of_a_link_that_ended(repo: Repo, account_id: int) -> None:
    link = await repo.links.insert(stored.link(account_id))
    await repo.links.opened(link, 1_100)
    await repo.links.opened(link, 1_200)
    await repo.links.failed(link, "refused", 1_300)
    failed = await repo.links.find(link.link_id, 1_300)
    await repo.links.revoke(link)
    await repo.links.failed(link, "refused again", 1_400)
    revoked = await repo.links.find(link.link_id, 1_400)
    for change in (repo.links.revoke(link), repo.links.regenerate(link, token_hash=b"new", expires_at=9_000)):
        with pytest.raises(Stale):
            await change
    assert failed is not None
    assert revoked is not None
    assert (failed.status, failed.opened_at, failed.last_error) == (LinkStatus.FAILED, 1_100, "refused")
    assert (revoked.status, revoked.last_error) == (LinkStatus.REVOKED, "refused")


async def test_a_sign_in_is_used_once_and_before_its_end(repo: Repo, account_id: int) -> None:
    link = await repo.links.insert(stored.link(account_id))
    for name in (b"once", b"late"):
        await repo.sign_ins.insert(stored.sign_in(link, name, expires_at=9_000))
    await repo.sign_ins.use(b"once", 8_999)
    for name, now in ((b"once", 8_999), (b"late", 9_000)):
        with pytest.raises(Stale):
            await repo.sign_ins.use(name, now)
    await repo.sign_ins.use(b"late", 8_999)


async def test_links_are_dropped_long_after_their_end(repo: Repo, account_id: int) -> None:
    old, young = [await repo.links.insert(stored.link(account_id, expires_at=at)) for at in (5_000, 6_000)]
    await repo.links.tidy(5_001)
    assert await repo.links.find(old.link_id, 9_000) is None
    assert await repo.links.find(young.link_id, 9_000) is not None


async def test_settings_of_an_account_are_replaced_by_who_read_them_last(repo: Repo, account_id: int) -> None:
    empty = await repo.own_settings.get(account_id)
    await repo.own_settings.put(replace(empty, settings='{"a": 1}', updated_at=1))
    with pytest.raises(Duplicate):
        await repo.own_settings.put(replace(empty, settings='{"a": 2}', updated_at=2))
    first = await repo.own_settings.get(account_id)
    await repo.own_settings.put(replace(first, settings='{"a": 3}', updated_at=3))
    with pytest.raises(Stale):
        await repo.own_settings.put(replace(first, settings='{"a": 4}', updated_at=4))
    last = await repo.own_settings.get(account_id)
    assert (empty.settings, first.generation, last.settings, last.generation) == ("{}", 1, '{"a": 3}', 2)


def ended(account_id: int, at: int, **changes: Any) -> Run:
    """A run that ended a second after it was accepted."""
    return stored.run(
        account_id, at=at, **({"status": RunStatus.SUCCEEDED, "attempts": 1, "finished_at": at + 1_000, "sealed_attempts": b"a"} | changes)
    )


async def test_payloads_of_runs_go_by_the_time_of_their_end_a_few_at_once(repo: Repo, account_id: int) -> None:
    runs = [ended(account_id, at=1_000 * number) for number in range(5)]
    late = ended(account_id, at=0, finished_at=99_000)
    waiting = stored.run(account_id, at=0)
    for run in (*runs, late, waiting):
        await repo.runs.insert(run)
    assert [await repo.runs.strip_ended(4_000, limit) for limit in (2, 2, 2)] == [2, 1, 0]
    found = [await repo.runs.get(account_id, run.run_id) for run in (*runs, late, waiting)]
    assert [run is not None and run.sealed_input is None and run.sealed_attempts is None for run in found] == [True] * 3 + [False] * 4


async def test_runs_are_deleted_by_the_time_of_their_end_those_without_payloads_first(repo: Repo, account_id: int) -> None:
    runs = [ended(account_id, at=1_000 * number) for number in range(4)]
    bare = ended(account_id, at=3_500, sealed_input=None)
    waiting = stored.run(account_id, at=0)
    for run in (*runs, bare, waiting):
        await repo.runs.insert(run)
    assert await repo.runs.delete_ended(9_000, 1) == 1
    assert await repo.runs.get(account_id, bare.run_id) is None
    assert await repo.runs.delete_ended(9_000, 2) == 2
    assert await repo.runs.delete_ended(3_000, 9) == 0
    left = (await repo.runs.page(account_id, RunFilter(), limit=9)).runs
    assert {run.run_id for run in left} == {runs[2].run_id, runs[3].run_id, waiting.run_id}


async def test_a_database_says_how_much_it_holds(repo: Repo, account_id: int) -> None:
    before = await repo.runs.bytes_used()
    await repo.runs.insert(stored.run(account_id, sealed_input=b"x" * 1_000_000))
    assert 900_000 < await repo.runs.bytes_used() - before < 1_200_000


async def test_runs_that_wait_beyond_their_time_are_found_and_ended_once(repo: Repo, account_id: int) -> None:
    other = await stored.account(repo, "other@example.com")
    late = [stored.run(account_id, deadline_at=2_000), stored.run(other, deadline_at=1_500, due_at=9_000)]
    others = [stored.run(account_id), stored.run(account_id, deadline_at=5_000), stored.running(account_id, "me", deadline_at=1_500)]
    await repo.runs.insert_many([(run, None) for run in [*late, *others]])
    assert [run.run_id for run in await repo.runs.past_deadline(2_000, 9)] == [late[1].run_id, late[0].run_id]
    assert [run.run_id for run in await repo.runs.past_deadline(2_000, 1)] == [late[1].run_id]
    await repo.runs.expire(late[0], error='{"code": "x"}', now=2_000)
    ended = await repo.runs.get(account_id, late[0].run_id)
    assert ended is not None
    assert (ended.status, ended.finished_at, ended.error) == (RunStatus.FAILED, 2_000, '{"code": "x"}')
    for run in (late[0], *others):
        with pytest.raises(Stale):
            await repo.runs.expire(run, error="{}", now=2_000)
    assert [run.run_id for run in await repo.runs.past_deadline(2_000, 9)] == [late[1].run_id]
    assert list(await repo.database.read("queue_depth_of_account", {"account_id": account_id})) == [(2,)]


async def test_runs_are_counted_as_they_end_and_stay_counted_when_they_are_gone(repo: Repo, account_id: int) -> None:
    day = 86_400_000
    for number, (status, partner_id) in enumerate([("succeeded", 7), ("failed", 7), ("succeeded", 7), ("succeeded", 8)]):
        run = stored.running(account_id, "me", at=day * 3, partner_id=partner_id, attempts=2)
        await repo.runs.insert(run)
        end = day * (4 if number == 2 else 3) + 5
        await repo.runs.finish(changed(run, status=RunStatus(status), finished_at=end, upstream_ms=40))
    cancelled = stored.run(account_id, at=day * 3, partner_id=7)
    await repo.runs.insert(cancelled)
    await repo.runs.cancel(cancelled, error="{}", now=day * 3)
    await repo.runs.delete_ended(day * 9, 100)
    found = await repo.runs.usage(account_id, 3, 4, None)
    assert [(row.day, row.partner_id, row.status, row.runs, row.attempts, row.upstream_ms) for row in found] == [
        (3, 7, "cancelled", 1, 0, 0),
        (3, 7, "failed", 1, 2, 40),
        (3, 7, "succeeded", 1, 2, 40),
        (3, 8, "succeeded", 1, 2, 40),
        (4, 7, "succeeded", 1, 2, 40),
    ]
    assert [row.day for row in await repo.runs.usage(account_id, 4, 9, 7)] == [4]
    assert await repo.runs.usage(account_id + 1, 0, 9, None) == []
