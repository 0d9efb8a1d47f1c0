"""Rotation of the master key over a real database: what it moves, what it refuses, and that no table is forgotten."""

import base64
import json
import os
import re

import pytest

import stored
from polyport.connections import scope_of
from polyport.errors import SetupError
from polyport.keyfile import KeyFile
from polyport.queue.processes import ProcessLock
from polyport.rotation import SCOPES, drop, one_at_a_time, rotate
from polyport.runtime import DATABASE, create_account, open_safe
from polyport.settings import load_settings
from polyport.store.base import StoreUnavailable
from polyport.vault import Keyring, Tampered

pytestmark = pytest.mark.anyio


def key_text():
    return base64.b64encode(os.urandom(32)).decode()


def settings_of(folder, **more):
    return load_settings({}, data=folder, **more)


async def account(safe, email="ada@example.com"):
    return await create_account(safe.repo, safe.keys.vault, title="x", email=email, password="long enough", now=1)


async def connection(safe, account_id):
    number = await safe.repo.connections.reserve_id()
    wrapped = safe.keys.vault.new_key(scope_of(account_id, number))
    sealed = safe.keys.vault.box(scope_of(account_id, number), wrapped).seal(b"{}", "fields")
    await safe.repo.connections.insert(stored.connection(account_id, number, data_key=wrapped, sealed=sealed))
    return number


def quiet(_text):
    pass


async def census(safe):
    return {key["keyId"]: key["dataKeys"] for key in await safe.keys.census()}


async def opens(safe, account_id, number):
    record = await safe.repo.connections.get(account_id, number)
    return safe.keys.vault.box(scope_of(account_id, number), record.data_key).open(record.sealed, "fields") == b"{}"


@pytest.fixture
def tables(tmp_path):
    """Every table with a column of wrapped keys, as the schema has it now."""

    async def look():
        async with open_safe(settings_of(tmp_path)):
            pass
        with stored.opened_file(tmp_path / DATABASE) as database:
            names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found = {name for name in names if any("data_key" in row[1] for row in database.execute(f"PRAGMA table_info({name})"))}
            schema = {row[0]: row[1] for row in database.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}
        return found, schema

    return look


async def test_every_table_with_data_keys_is_rotated_counted_and_fenced(tables):
    found, schema = await tables()

    assert found == set(SCOPES)
    for name in found:
        assert f"'{name}'" in schema["data_keys"], "the view data_keys does not know this table"
        assert f"'{name}'" in schema["data_key_census"], "the view data_key_census does not know this table"
        for event in ("BEFORE INSERT", "BEFORE UPDATE OF data_key"):
            assert any(f"{event} ON {name}" in sql for sql in schema.values() if "retired_at IS NOT NULL" in sql), f"no trigger {event}"


async def test_a_rotation_moves_every_data_key_and_the_old_key_can_go(tmp_path):
    settings = settings_of(tmp_path)
    async with open_safe(settings) as safe:
        owner = await account(safe)
        numbers = [await connection(safe, owner) for _number in range(250)]
        old = safe.keys.vault.key_ids[0]
        done = await rotate(safe.keys, quiet)
        assert (done.moved, done.unreadable, done.idle) == (251, (), (old,))
        assert await census(safe) == {done.key_id: {"accounts": 1, "connections": 250}, old: {}}
        await drop(safe.keys, old)
        assert safe.keys.vault.key_ids == (done.key_id,)
    async with open_safe(settings) as safe:
        assert safe.keys.vault.key_ids == KeyFile(tmp_path).read().ids == (done.key_id,)
        assert all([await opens(safe, owner, number) for number in numbers])
        assert [key["dropped"] for key in await safe.keys.census()] == [False, True]


async def test_a_rotation_that_was_cut_off_goes_on_with_the_same_key(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        owner = await account(safe)
        for _number in range(3):
            await connection(safe, owner)
        new = KeyFile(tmp_path).add()
        told = []
        done = await rotate(safe.keys, told.append)
        assert done.key_id == new
        assert len(KeyFile(tmp_path).read().ids) == 2
        # The moment after the change-over, before anything was wrapped: a key that leads and has nothing.
        leading = KeyFile(tmp_path).add()
        await safe.keys.follow()
        await safe.repo.keys.lead(bytes.fromhex(leading), 5)
        await safe.keys.follow()
        again = await rotate(safe.keys, told.append)
        assert (again.key_id, again.moved) == (leading, 4)
        assert f"Going on with the rotation to key {leading}." in told
        assert len(KeyFile(tmp_path).read().ids) == 3
        assert (await rotate(safe.keys, quiet)).key_id not in {new, leading}


async def test_the_key_that_seals_and_a_key_that_is_needed_stay(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        await account(safe)
        [only] = safe.keys.vault.key_ids
        with pytest.raises(SetupError, match="the one that seals"):
            await drop(safe.keys, only)
        with pytest.raises(SetupError, match="no key 0123456789abcdef here"):
            await drop(safe.keys, "0123456789abcdef")
        leading = KeyFile(tmp_path).add()
        await safe.keys.follow()
        await safe.repo.keys.lead(bytes.fromhex(leading), 5)
        await safe.keys.follow()
        with pytest.raises(SetupError, match=r"still needed by data keys \(1 of accounts\)"):
            await drop(safe.keys, only)
        assert KeyFile(tmp_path).read().ids == (only, leading)


async def test_a_key_that_never_sealed_can_be_taken_out(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        await account(safe)
        spare = KeyFile(tmp_path).add()
        await safe.keys.follow()
        await drop(safe.keys, spare)
        assert len(KeyFile(tmp_path).read().ids) == 1


async def test_nothing_is_sealed_under_a_key_that_was_dropped_however_late(tmp_path):
    settings = settings_of(tmp_path)
    async with open_safe(settings) as safe:
        owner = await account(safe)
        number = await connection(safe, owner)
        late = await safe.repo.connections.get(owner, number)
        number = await safe.repo.connections.reserve_id()
        sleeper = stored.connection(owner, number, data_key=safe.keys.vault.new_key(scope_of(owner, number)))
        old = safe.keys.vault.key_ids[0]
        await rotate(safe.keys, quiet)
        await drop(safe.keys, old)
        with pytest.raises(StoreUnavailable, match="retired"):
            await safe.repo.connections.insert(sleeper)
        now = await safe.repo.connections.get(owner, late.connection_id)
        held = (await safe.repo.keys.under("connections", now.data_key[1:9], after=0, limit=1))[0]
        with pytest.raises(StoreUnavailable, match="retired"):
            await safe.repo.keys.rewrap("connections", held, late.data_key)
        assert await safe.repo.connections.get(owner, number) is None


async def test_a_dropped_key_seals_never_again(tmp_path):
    first, second = key_text(), key_text()
    async with open_safe(settings_of(tmp_path, master_key=first)) as safe:
        await account(safe)
    async with open_safe(settings_of(tmp_path, master_key=f"{second},{first}")) as safe:
        await rotate(safe.keys, quiet)
        await drop(safe.keys, Keyring.parse(first).ids[0])
        await rotate_refused(safe, "cannot add one")
    async with open_safe(settings_of(tmp_path, master_key=f"{first},{second}")) as safe:
        assert safe.keys.vault.key_ids[0] == Keyring.parse(second).ids[0]


async def rotate_refused(safe, words):
    with pytest.raises(SetupError, match=words):
        await rotate(safe.keys, quiet, patience=0.3)


async def test_a_server_with_only_a_dropped_key_does_not_begin(tmp_path):
    first, second = key_text(), key_text()
    async with open_safe(settings_of(tmp_path, master_key=f"{first},{second}")) as safe:
        await rotate(safe.keys, quiet)
        await drop(safe.keys, Keyring.parse(first).ids[0])
    with pytest.raises(SetupError, match="was dropped from this data"):
        async with open_safe(settings_of(tmp_path, master_key=first)):
            pass


async def test_with_keys_from_the_setting_the_steps_are_told_and_work(tmp_path):
    first, second = key_text(), key_text()
    old, new = Keyring.parse(first).ids[0], Keyring.parse(second).ids[0]
    async with open_safe(settings_of(tmp_path, master_key=first)) as safe:
        owner = await account(safe)
        number = await connection(safe, owner)
        with pytest.raises(SetupError) as caught:
            await rotate(safe.keys, quiet)
        assert re.search(rf"polyport keys new.*restart.*polyport keys rotate.*polyport keys drop {old}", str(caught.value), re.DOTALL)
    async with open_safe(settings_of(tmp_path, master_key=f"{second},{first}")) as safe:
        assert safe.keys.vault.key_ids == (old, new), (
            "until the rotation the present key seals: other processes may not have the new one yet"
        )
        assert (await rotate(safe.keys, quiet)).moved == 2
        assert safe.keys.vault.key_ids == (new, old)
    async with open_safe(settings_of(tmp_path, master_key=second)) as safe:
        assert await opens(safe, owner, number)


async def test_a_process_that_has_not_the_new_key_holds_the_rotation_up_and_is_named(tmp_path):
    first, second = key_text(), key_text()
    async with open_safe(settings_of(tmp_path, master_key=first)) as behind:
        await account(behind)
        async with open_safe(settings_of(tmp_path, master_key=f"{second},{first}")) as safe:
            await rotate_refused(safe, rf"Process {os.getpid()} does not have key .*restart it with the new POLYPORT_MASTER_KEY")
            assert (await census(safe))[Keyring.parse(first).ids[0]] == {"accounts": 1}


async def test_a_process_that_does_not_follow_is_waited_for_and_named(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        await account(safe)
        deaf = ProcessLock(tmp_path / "processes")
        await rotate_refused(safe, "see whether it is stuck")
        deaf.tell("[]")
        await rotate_refused(safe, "see whether it is stuck")
        deaf.release()
        await rotate(safe.keys, quiet)
        assert len(KeyFile(tmp_path).read().ids) == 2


async def test_the_key_file_is_not_touched_beside_processes_with_a_setting(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        await account(safe)
        text = KeyFile(tmp_path).path.read_text()
        async with open_safe(settings_of(tmp_path, master_key=text.strip())):
            await rotate_refused(safe, "has its keys from POLYPORT_MASTER_KEY")
        assert KeyFile(tmp_path).path.read_text() == text


async def test_a_process_that_still_seals_with_a_key_holds_back_its_end(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        await account(safe)
        old = safe.keys.vault.key_ids[0]
        await rotate(safe.keys, quiet)
        slow = ProcessLock(tmp_path / "processes")
        slow.tell(json.dumps({"keys": list(safe.keys.vault.key_ids), "seals": old, "file": True}))
        with pytest.raises(SetupError, match=f"still seals with key {old}"):
            await drop(safe.keys, old, patience=0.3)
        slow.release()
        await drop(safe.keys, old)


async def test_what_cannot_be_opened_stays_as_it_is_and_is_named(tmp_path):
    first, second, third = key_text(), key_text(), key_text()
    async with open_safe(settings_of(tmp_path, master_key=first)) as safe:
        owner = await account(safe)
        lost, spoilt = await connection(safe, owner), await connection(safe, owner)
        foreign = Keyring.parse(third).wrap(scope_of(owner, lost).encode(), bytes(32))
        await replace_key(safe, lost, foreign)
        broken = bytearray((await safe.repo.connections.get(owner, spoilt)).data_key)
        broken[-1] ^= 1
        await replace_key(safe, spoilt, bytes(broken))
    async with open_safe(settings_of(tmp_path, master_key=f"{second},{first}")) as safe:
        done = await rotate(safe.keys, quiet)
        assert done.moved == 1
        assert [text.partition(":")[0] for text in sorted(done.unreadable)] == [
            f"1 of connections are under key {Keyring.parse(third).ids[0]}, which is not here",
            f"connections {spoilt}",
        ]
        assert (await safe.repo.connections.get(owner, lost)).data_key == foreign
        with pytest.raises(Tampered):
            await opens(safe, owner, spoilt)
        by_id = {key["keyId"]: key for key in await safe.keys.census()}
        assert by_id[Keyring.parse(third).ids[0]] == {
            "keyId": Keyring.parse(third).ids[0],
            "seals": False,
            "held": False,
            "since": None,
            "dropped": False,
            "dataKeys": {"connections": 1},
        }


async def replace_key(safe, number, data_key):
    counts = [found for found in await safe.repo.keys.counts() if found.holder == "connections"]
    for found in counts:
        for held in await safe.repo.keys.under("connections", found.key_id, after=0, limit=100):
            if held.id == number:
                assert await safe.repo.keys.rewrap("connections", held, data_key)
                return
    raise AssertionError(number)


async def test_a_data_key_that_somebody_else_moved_is_left_alone(tmp_path):
    async with open_safe(settings_of(tmp_path)) as safe:
        owner = await account(safe)
        number = await connection(safe, owner)
        [held] = await safe.repo.keys.under("connections", bytes.fromhex(safe.keys.vault.key_ids[0]), after=0, limit=10)
        other = safe.keys.vault.new_key(scope_of(owner, number))
        assert await safe.repo.keys.rewrap("connections", held, other)
        assert not await safe.repo.keys.rewrap("connections", held, held.data_key)
        assert (await safe.repo.connections.get(owner, number)).data_key == other


def test_two_commands_do_not_change_the_keys_at_once(tmp_path):
    with one_at_a_time(tmp_path), pytest.raises(SetupError, match="Another command"), one_at_a_time(tmp_path):
        pass
    with one_at_a_time(tmp_path):
        pass
