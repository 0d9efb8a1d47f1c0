"""Backup and restore of a data folder: what is checked before anything is touched, and what becomes of runs that had not ended."""

import base64
import json
import os
import shutil
import stat

import pytest

import stored
from polyport.backups import back_up, restore
from polyport.connections import scope_of
from polyport.errors import PolyportError, SetupError
from polyport.keyfile import KEY_FILE, KeyFile
from polyport.queue.database import DatabaseQueue
from polyport.queue.processes import FolderLock
from polyport.rotation import drop, rotate
from polyport.runtime import DATABASE, create_account, open_safe
from polyport.settings import load_settings
from polyport.store.copies import IDS_LEFT_OUT
from polyport.store.records import RunStatus
from polyport.vault import Keyring

pytestmark = pytest.mark.anyio


def settings_of(folder, **more):
    return load_settings({}, data=folder, **more)


async def connection(safe, account_id):
    number = await safe.repo.connections.reserve_id()
    wrapped = safe.keys.vault.new_key(scope_of(account_id, number))
    await safe.repo.connections.insert(stored.connection(account_id, number, data_key=wrapped))
    return number


@pytest.fixture
async def filled(tmp_path):
    """Settings of a folder with an account, a connection, and one run of every kind; the run ids by what they are."""
    settings = settings_of(tmp_path / "data")
    async with open_safe(settings) as safe:
        account = await create_account(safe.repo, safe.keys.vault, title="x", email="ada@example.com", password="long enough", now=1)
        number = await connection(safe, account)
        runs = {
            "queued": stored.run(account),
            "waiting": stored.run(account, status=RunStatus.WAITING, due_at=1 << 50),
            "sending": stored.running(account, "dead", sending=True),
            "harmless": stored.run(account, repeatable=True),
            "done": stored.run(account, status=RunStatus.SUCCEEDED, finished_at=5, sealed_result=b"result"),
        }
        for run in runs.values():
            await safe.repo.runs.insert(run)
    return settings, account, number, runs


def moved(settings, tmp_path, *, key=True):
    """Settings of another folder, with the key of the first."""
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    if key:
        shutil.copy(settings.data / KEY_FILE, other / KEY_FILE)
    return settings_of(other)


async def test_a_backup_is_one_whole_file_for_its_owner_alone(tmp_path, filled):
    settings, *_ = filled
    target = tmp_path / "backup.db"
    copy = back_up(settings, target)
    assert (copy.accounts, copy.connections, copy.runs, copy.in_doubt, copy.repeatable) == (1, 1, 5, 3, 1)
    assert copy.key_ids == KeyFile(settings.data).read().ids
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"data", "backup.db"}
    assert base64.b64decode((settings.data / KEY_FILE).read_text()) not in target.read_bytes()
    assert (settings.data / KEY_FILE).read_text().strip().encode() not in target.read_bytes()


async def test_a_backup_replaces_a_file_only_when_told_to(tmp_path, filled):
    settings, *_ = filled
    target = tmp_path / "backup.db"
    target.write_text("precious")
    with pytest.raises(SetupError, match="--force"):
        back_up(settings, target)
    assert target.read_text() == "precious"
    back_up(settings, target, force=True)
    assert target.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("target", ["nowhere/backup.db", "."])
async def test_a_backup_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path, filled, target):
    settings, *_ = filled
    with pytest.raises(SetupError):
        back_up(settings, tmp_path / target, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


async def test_a_backup_of_nothing_is_refused(tmp_path):
    with pytest.raises(SetupError, match="no server's data"):
        back_up(settings_of(tmp_path / "empty"), tmp_path / "backup.db")
    assert list(tmp_path.iterdir()) == []


async def test_what_had_not_ended_ends_and_what_had_ended_stays_to_the_byte(tmp_path, filled):
    settings, account, number, runs = filled
    back_up(settings, tmp_path / "backup.db")
    there = moved(settings, tmp_path)
    done = restore(there, tmp_path / "backup.db")
    assert (done.copy.in_doubt, done.copy.repeatable, done.aside, done.unreadable) == (3, 1, None, ())
    async with open_safe(there) as safe:
        queue = DatabaseQueue(safe.repo.database, safe.processes)
        assert await queue.claim(safe.processes.owner, 100, 1 << 60) == ()
        assert await queue.recover(9_000) == 4
        found = {name: await safe.repo.runs.get(account, run.run_id) for name, run in runs.items()}
        assert found["done"] == runs["done"]
        for name in ("queued", "waiting", "sending"):
            error = PolyportError.from_record(json.loads(found[name].error))
            assert (found[name].status, found[name].sending, found[name].owner) == (RunStatus.UNCERTAIN, False, None)
            assert (error.details.outcome, error.retryable) == ("uncertain", False)
            assert "restored from a backup" in error.message
        error = PolyportError.from_record(json.loads(found["harmless"].error))
        assert (found["harmless"].status, error.retryable) == (RunStatus.FAILED, True)
        assert await safe.repo.database.read("next_due") == [(None,)]
        record = await safe.repo.connections.get(account, number)
        safe.keys.vault.box(scope_of(account, number), record.data_key)


async def test_ids_that_were_given_out_after_the_backup_are_not_given_out_again(tmp_path, filled):
    settings, account, number, _runs = filled
    back_up(settings, tmp_path / "backup.db")
    async with open_safe(settings) as safe:
        later = [await connection(safe, account) for _number in range(3)]
    restore(settings, tmp_path / "backup.db")
    async with open_safe(settings) as safe:
        assert await safe.repo.connections.get(account, later[0]) is None
        assert await safe.repo.connections.reserve_id() == number + IDS_LEFT_OUT + 1
        user = await safe.repo.accounts.user_by_email("ada@example.com")
        [token] = await safe.repo.tokens.insert(stored.token(account, b"new", user_id=user.user_id))
        other = await create_account(safe.repo, safe.keys.vault, title="y", email="b@example.com", password="long enough", now=1)
        assert (token, other) == (1, account + IDS_LEFT_OUT + 1), "a table that never had a row gave out no id"


async def test_the_database_from_before_is_kept_beside(tmp_path, filled):
    settings, account, _number, _runs = filled
    back_up(settings, tmp_path / "backup.db")
    async with open_safe(settings) as safe:
        late = await connection(safe, account)
    done = restore(settings, tmp_path / "backup.db")
    assert done.aside is not None
    assert {path.name for path in done.aside.iterdir()} == {DATABASE}
    assert stat.S_IMODE(done.aside.stat().st_mode) == 0o700
    with stored.opened_file(done.aside / DATABASE) as old:
        assert old.execute("SELECT COUNT(*) FROM connections WHERE connection_id = ?", (late,)).fetchone() == (1,)
    assert {path.name for path in settings.data.iterdir() if path.is_file()} == {DATABASE, KEY_FILE, "in-use"}


async def test_a_damaged_database_is_replaced_and_kept_with_its_log(tmp_path, filled):
    settings, account, number, _runs = filled
    back_up(settings, tmp_path / "backup.db")
    place = settings.data / DATABASE
    place.write_bytes(b"rubbish" * 1000)
    place.with_name(f"{DATABASE}-wal").write_bytes(b"more rubbish")
    done = restore(settings, tmp_path / "backup.db")
    assert (done.aside / DATABASE).read_bytes() == b"rubbish" * 1000
    assert not place.with_name(f"{DATABASE}-wal").exists()
    async with open_safe(settings) as safe:
        assert await safe.repo.connections.get(account, number) is not None


def refused(settings, source, words, **more):
    before = {path: path.read_bytes() for path in settings.data.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(SetupError, match=words):
        restore(settings, source, **more)
    after = {path: path.read_bytes() for path in settings.data.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert before == {path: content for path, content in after.items() if path.name != "in-use" or path in before}


async def test_what_is_no_backup_is_refused_before_anything_is_touched(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    refused(settings, tmp_path / "none.db", "There is no file")
    (tmp_path / "text.db").write_text("hello, this is no database at all" * 100)
    refused(settings, tmp_path / "text.db", "not a database")
    (tmp_path / "other.db").touch()
    with stored.opened_file(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE things (id)")
    refused(settings, tmp_path / "other.db", "no database of Polyport")
    (tmp_path / "cut.db").write_bytes((tmp_path / "backup.db").read_bytes()[:20_000])
    refused(settings, tmp_path / "cut.db", "damaged|malformed")
    content = bytearray((tmp_path / "backup.db").read_bytes())
    content[8192 : 8192 + 4096] = os.urandom(4096)
    (tmp_path / "spoilt.db").write_bytes(content)
    refused(settings, tmp_path / "spoilt.db", "damaged|malformed|file is")
    shutil.copy(tmp_path / "backup.db", tmp_path / "newer.db")
    with stored.opened_file(tmp_path / "newer.db") as newer:
        newer.execute("PRAGMA user_version=9999")
    refused(settings, tmp_path / "newer.db", "newer Polyport")


async def test_a_backup_whose_keys_are_not_here_is_refused(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    there = moved(settings, tmp_path, key=False)
    refused(there, tmp_path / "backup.db", f"put the {KEY_FILE}")
    assert not (there.data / KEY_FILE).exists()
    KeyFile(there.data).open()
    [needed] = KeyFile(settings.data).read().ids
    refused(there, tmp_path / "backup.db", rf"2 data keys (.|\n)*accounts 1: Master key {needed} is needed")
    refused(there, tmp_path / "backup.db", needed, force=True)


async def test_the_key_may_come_from_the_setting(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    key = (settings.data / KEY_FILE).read_text().strip()
    there = settings_of(tmp_path / "other", master_key=key)
    restore(there, tmp_path / "backup.db")
    async with open_safe(there) as safe:
        assert await safe.repo.accounts.count() == 1
    assert not (there.data / KEY_FILE).exists()


async def test_a_backup_with_a_lost_connection_is_restored_only_when_told_to(tmp_path, filled):
    settings, account, number, _runs = filled
    foreign = Keyring(os.urandom(32)).wrap(scope_of(account, number).encode(), bytes(32))
    with stored.opened_file(settings.data / DATABASE) as database:
        database.execute("UPDATE connections SET data_key = ?", (foreign,))
    back_up(settings, tmp_path / "backup.db")
    refused(settings, tmp_path / "backup.db", rf"connections {number}: (.|\n)*--force")
    assert restore(settings, tmp_path / "backup.db", force=True).unreadable[0].startswith(f"connections {number}: ")


async def test_a_backup_from_before_a_rotation_needs_the_old_key(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    old_text = (settings.data / KEY_FILE).read_text().strip()
    async with open_safe(settings) as safe:
        old = safe.keys.vault.key_ids[0]
        await rotate(safe.keys, lambda _text: None)
        await drop(safe.keys, old)
    refused(settings, tmp_path / "backup.db", old)
    file = settings.data / KEY_FILE
    file.write_text(f"{file.read_text().strip()},{old_text}")
    restore(settings, tmp_path / "backup.db")
    async with open_safe(settings) as safe:
        assert safe.keys.vault.key_ids[0] == old, "the database of that time says what sealed then"
        done = await rotate(safe.keys, lambda _text: None)
        assert (done.moved, done.key_id) == (2, Keyring.parse(file.read_text()).ids[0])


async def test_nothing_is_restored_under_a_process_that_works_and_nothing_starts_under_a_restore(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    async with open_safe(settings):
        refused(settings, tmp_path / "backup.db", rf"at work on .*process {os.getpid()}.*stop it first")
        back_up(settings, tmp_path / "another.db")
    at_work = FolderLock(settings.data, alone=True)
    with pytest.raises(SetupError, match="A restore is at work"):
        async with open_safe(settings):
            pass
    with pytest.raises(SetupError, match="A restore is at work"):
        back_up(settings, tmp_path / "third.db")
    refused(settings, tmp_path / "backup.db", "at work on")
    at_work.release()
    restore(settings, tmp_path / "backup.db")


async def test_a_plain_copy_made_with_other_tools_can_be_restored_too(tmp_path, filled):
    settings, account, number, _runs = filled
    shutil.copy(settings.data / DATABASE, tmp_path / "plain.db")
    restore(settings, tmp_path / "plain.db")
    async with open_safe(settings) as safe:
        assert await safe.repo.connections.get(account, number) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_what_root_restores_belongs_to_the_owner_of_the_folder(tmp_path, filled):
    settings, *_ = filled
    back_up(settings, tmp_path / "backup.db")
    os.chown(settings.data, 4321, 4322)
    restore(settings, tmp_path / "backup.db")
    assert ((settings.data / DATABASE).stat().st_uid, (settings.data / DATABASE).stat().st_gid) == (4321, 4322)
