"""Grants outlive the connection that is open in memory, until its secrets are replaced or it is gone."""

from dataclasses import replace

import pytest

from engines import open_bench
from polyport.engine import desk as desks
from polyport.engine.caller import GrantHolder, HeldGrant
from polyport.engine.connect import checked_fields
from polyport.errors import ValidationFailed
from polyport.kinds.auth.base import Grant
from polyport.vault import VaultFault
from samples import field, partner

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(tmp_path, anyio_backend):
    async with open_bench(tmp_path) as opened:
        yield opened


async def record_of(bench):
    return await bench.engine.runtime.connections.record(bench.account, bench.connection)


async def test_those_used_last_are_kept(bench, monkeypatch):
    monkeypatch.setattr(desks, "CALLERS_MOST", 2)
    record = await record_of(bench)
    for number in range(3):
        bench.desk.keep_grant(replace(record, connection_id=number), GrantHolder())
    assert [key[1] for key in bench.desk._grants] == [1, 2]


async def test_a_grant_is_dropped_with_its_connection_and_not_with_the_warm_state(bench):
    record = await record_of(bench)
    holder = GrantHolder(held=HeldGrant(grant=Grant(values={}), renew_at=None))
    bench.desk.keep_grant(record, holder)
    bench.desk.forget()
    assert bench.desk._grants[(record.account_id, record.connection_id, record.generation)] is holder
    bench.desk.drop_grant(record)
    bench.desk.drop_grant(record)
    assert (record.account_id, record.connection_id, record.generation) not in bench.desk._grants


async def test_a_grant_is_kept_sealed_with_the_time_of_its_renewal(bench):
    record, book = await record_of(bench), bench.engine.runtime.connections
    grant = Grant(values={"access_token": "canary-a", "refresh_token": "canary-r"}, learned={"site": "eu"}, expires_at=4_600.0)
    kept = book.seal_grant(record, grant, now=1_000_000)
    assert (kept.connection_id, kept.generation, kept.expires_at, kept.refresh_at) == (record.connection_id, 1, 4_600_000, 4_540_000)
    assert b"canary" not in kept.sealed
    assert book.open_grant(record, kept) == grant


@pytest.mark.parametrize(
    ("grant", "refresh_at"),
    [
        (Grant(values={"refresh_token": "r"}, expires_at=1_010.0), 1_009_000),
        (Grant(values={"refresh_token": "r"}, expires_at=900.0), 900_000),
        (Grant(values={"refresh_token": "r"}), None),
        (Grant(values={"access_token": "a"}, expires_at=1_010.0), None),
    ],
)
async def test_a_short_grant_is_renewed_in_its_last_tenth_and_one_without_an_end_or_a_refresh_token_never(bench, grant, refresh_at):
    record, book = await record_of(bench), bench.engine.runtime.connections
    assert book.seal_grant(record, grant, now=1_000_000).refresh_at == refresh_at


async def test_a_grant_of_another_connection_does_not_open(bench):
    record, book = await record_of(bench), bench.engine.runtime.connections
    kept = book.seal_grant(record, Grant(values={}), now=1)
    with pytest.raises(VaultFault):
        book.open_grant(replace(record, connection_id=record.connection_id + 1), kept)
    with pytest.raises(VaultFault):
        book.open_grant(record, replace(kept, sealed=record.sealed))


# What stands around a field

AROUND = [
    field("shop", prefix="https://", suffix=".example.com", pattern="[a-z]+"),
    field("mail", suffix="@example.com"),
    field("n", "integer"),
]


@pytest.mark.parametrize(
    "given",
    ["acme", "https://acme.example.com", "https://acme.example.com/", " acme.example.com ", "https://acme"],
)
def test_whoever_gives_the_whole_text_gives_the_part_between(given):
    made = partner(connection={"fields": AROUND, "auth": [{"name": "none", "label": "None", "scheme": {"kind": "none"}}]})
    choice = made.file.connection.auth[0]
    assert checked_fields(made, choice, {"shop": given, "mail": "ada@example.com", "n": 1}) == {"shop": "acme", "mail": "ada", "n": 1}


@pytest.mark.parametrize("given", ["http://acme.example.com", "acme.evil.com", 5])
def test_anything_else_meets_the_pattern(given):
    made = partner(connection={"fields": AROUND, "auth": [{"name": "none", "label": "None", "scheme": {"kind": "none"}}]})
    with pytest.raises(ValidationFailed):
        checked_fields(made, made.file.connection.auth[0], {"shop": given})
