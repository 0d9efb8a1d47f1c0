"""Liveness by file locks, and what becomes of runs when a real process is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import stored
from polyport.queue.database import DatabaseQueue
from polyport.queue.processes import ProcessLock
from polyport.store.records import RunStatus
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

_LIVING = """
import sys
from pathlib import Path
from polyport.queue.processes import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
print(lock.owner, flush=True)
sys.stdin.readline()
lock.release()
"""


def living(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """A real process that holds its lock until it is told or killed; its name in the store."""
    process = subprocess.Popen(  # noqa: S603  the program is this interpreter, the script stands in this file
        [sys.executable, "-c", _LIVING, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path)
    process, owner = living(tmp_path)
    assert (lock.is_alive(owner), lock.is_alive(lock.owner)) == (True, True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not lock.is_alive(owner)
    lock.release()


def test_a_process_that_released_its_lock_is_dead_and_leaves_no_file(tmp_path: Path) -> None:
    process, owner = living(tmp_path)
    process.communicate("\n")
    lock = ProcessLock(tmp_path)
    assert not lock.is_alive(owner)
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_removes_the_files_of_the_dead_and_no_others(tmp_path: Path) -> None:
    lock, neighbour = ProcessLock(tmp_path), ProcessLock(tmp_path)
    process, owner = living(tmp_path)
    process.kill()
    process.communicate()
    lock.sweep()
    assert {path.stem for path in tmp_path.iterdir()} == {lock.owner, neighbour.owner}
    assert (lock.is_alive(neighbour.owner), lock.is_alive(owner)) == (True, False)
    lock.release()
    neighbour.release()


def test_two_that_ask_at_once_do_not_take_each_other_for_the_process(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path)
    process, owner = living(tmp_path)
    process.kill()
    process.communicate()
    script = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_SH)\n"
        "print('asking', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    asking = subprocess.Popen(  # noqa: S603  the program is this interpreter, the script stands here
        [sys.executable, "-c", script, str(tmp_path / f"{owner}.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert asking.stdout is not None
    assert asking.stdout.readline() == "asking\n"
    assert not lock.is_alive(owner)
    asking.communicate("\n")
    lock.release()


def test_processes_that_start_while_others_sweep_keep_their_locks(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom polyport.queue.processes import ProcessLock\n"
        "lock = ProcessLock(Path(sys.argv[1]))\nprint('sweeping', flush=True)\nwhile True: lock.sweep()\n"
    )
    sweeper = subprocess.Popen(  # noqa: S603  the program is this interpreter, the script stands here
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert sweeper.stdout is not None
    assert sweeper.stdout.readline() == "sweeping\n"
    watcher = ProcessLock(tmp_path)
    for _number in range(300):
        lock = ProcessLock(tmp_path)
        assert watcher.is_alive(lock.owner)
        lock.release()
    sweeper.kill()
    sweeper.communicate()
    watcher.release()


async def test_a_killed_processs_runs_are_recovered_and_a_living_ones_are_not(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "polyport.db")
    repo, lock = Repo(database), ProcessLock(tmp_path / "processes")
    queue = DatabaseQueue(database, lock)
    account_id = await stored.account(repo)
    pairs = [await asyncio.to_thread(living, tmp_path / "processes") for _number in range(2)]
    runs = [stored.running(account_id, owner, sending=True) for _process, owner in pairs]
    for run in runs:
        await repo.runs.insert(run)
    assert await queue.recover(5_000) == 0
    pairs[0][0].send_signal(signal.SIGKILL)
    await asyncio.to_thread(pairs[0][0].communicate)
    assert await queue.recover(5_000) == 1
    found = [await repo.runs.get(account_id, run.run_id) for run in runs]
    assert [run.status for run in found if run is not None] == [RunStatus.UNCERTAIN, RunStatus.RUNNING]
    await asyncio.to_thread(pairs[1][0].communicate, "\n")
    lock.release()
    await database.close()
