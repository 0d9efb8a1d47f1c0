"""Opening and closing everything a process needs."""

import sys

import pytest

from polyport.catalog import Catalog
from polyport.errors import SetupError
from polyport.keyfile import KEY_FILE
from polyport.runtime import create_account, make_first_account, open_runtime
from polyport.settings import load_settings
from polyport.store.base import Duplicate
from polyport.store.log_file import LogFile

pytestmark = pytest.mark.anyio
NONE = Catalog([], [], "http://127.0.0.1")  # partners are not the matter here


def settings_of(path, **overrides):
    return load_settings({}, data=path, bootstrap={"email": "First@Example.com", "password": "a-good-password"}, **overrides)


async def test_the_first_account_is_made_once(tmp_path):
    settings = settings_of(tmp_path)
    made = await make_first_account(settings, lambda: "never used")
    assert made is not None
    assert (made.email, made.password) == ("first@example.com", None)
    assert await make_first_account(settings, lambda: "never used") is None
    async with open_runtime(settings, catalog=NONE) as runtime:
        assert await runtime.repo.accounts.count() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux brings files to the disk for a process that goes on")
@pytest.mark.parametrize(("serves", "workers", "by_kernel"), [(True, 1, True), (True, 2, False), (False, 1, False)])
async def test_only_a_server_of_one_process_leaves_it_to_the_kernel_to_bring_commits_to_the_disk(tmp_path, serves, workers, by_kernel):
    async with open_runtime(settings_of(tmp_path, workers=workers), catalog=NONE, serves=serves) as runtime:
        await runtime.repo.database.ready()
        assert isinstance(runtime.repo.database._log, LogFile) is by_kernel


async def test_a_password_is_made_up_and_told_where_none_is_given(tmp_path):
    settings = load_settings({}, data=tmp_path)
    made = await make_first_account(settings, lambda: "made-up-password")
    assert made is not None
    assert (made.email, made.password) == ("admin@localhost", "made-up-password")


async def test_a_password_that_is_too_short_is_refused_before_anything_is_made(tmp_path):
    settings = load_settings({}, data=tmp_path, bootstrap={"email": "a@b.example", "password": "short"})
    with pytest.raises(SetupError, match="at least 8 characters"):
        await make_first_account(settings, lambda: "never used")
    async with open_runtime(settings, catalog=NONE) as runtime:
        assert await runtime.repo.accounts.count() == 0


async def test_two_starts_at_the_same_time_make_one_account(tmp_path, monkeypatch):
    settings = settings_of(tmp_path)
    await make_first_account(settings, lambda: "never used")

    async def none_yet(_self) -> int:
        return 0

    # The race itself cannot be timed from outside: what the loser saw is put in its place, the unique key is the real one.
    monkeypatch.setattr("polyport.store.accounts.Accounts.count", none_yet)
    assert await make_first_account(settings, lambda: "never used") is None


async def test_a_lost_key_file_is_said_and_not_replaced_by_a_new_one(tmp_path):
    settings = settings_of(tmp_path)
    await make_first_account(settings, lambda: "never used")
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(SetupError, match="the key that seals it is gone"):
        await make_first_account(settings, lambda: "never used")
    with pytest.raises(SetupError, match="the key that seals it is gone"):
        async with open_runtime(settings, catalog=NONE):
            pass
    assert not (tmp_path / KEY_FILE).exists()


async def test_another_master_key_is_refused_with_the_id_of_the_right_one(tmp_path):
    settings = settings_of(tmp_path)
    await make_first_account(settings, lambda: "never used")
    other = settings_of(tmp_path, master_key="A" * 43 + "=")
    with pytest.raises(SetupError, match="not the one this data was sealed with"):
        async with open_runtime(other, catalog=NONE):
            pass


async def test_the_data_folder_is_for_its_owner_only(tmp_path):
    settings = settings_of(tmp_path / "data")
    await make_first_account(settings, lambda: "never used")
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


async def test_an_e_mail_address_is_taken_once(tmp_path):
    settings = settings_of(tmp_path)
    await make_first_account(settings, lambda: "never used")
    async with open_runtime(settings, catalog=NONE) as runtime:
        with pytest.raises(Duplicate):
            await create_account(runtime.repo, runtime.vault, title="x", email="FIRST@example.com", password="another-password", now=1)
