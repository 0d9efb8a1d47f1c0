"""What a process notes of its requests, as those read it who find it dead."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polyport.queue import departures
from polyport.queue.departures import Departures, read_departures

RUNS = [f"run_{number:032x}" for number in range(6)]

_SENDING = """
import sys
from pathlib import Path
from polyport.queue.departures import Departures
noted = Departures(Path(sys.argv[1]), 8)
for run in sys.argv[2:]:
    noted.note(run)
noted.forget(sys.argv[2])
print("noted", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "7-abc.sent"


def test_what_a_killed_process_had_noted_is_read_but_for_what_is_on_record(path: Path) -> None:
    process = subprocess.Popen(  # noqa: S603  the program is this interpreter, the script stands in this file
        [sys.executable, "-c", _SENDING, str(path), *RUNS[:4]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "noted\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert read_departures(path) == set(RUNS[1:4])


def test_a_place_is_used_again_and_a_run_takes_one_place_however_often_it_sends(path: Path) -> None:
    noted = Departures(path, 1)
    for run in RUNS:
        noted.note(run)
        noted.note(run)
        assert read_departures(path) == {run}
        noted.forget(run)
        noted.forget(run)
        assert read_departures(path) == set()


def test_where_one_could_not_be_noted_nothing_is_known(path: Path) -> None:
    noted = Departures(path, 2)
    for run in RUNS[:3]:
        noted.note(run)
    noted.forget(RUNS[0])
    assert read_departures(path) is None


def test_a_copy_another_boot_of_the_machine_and_a_file_that_is_cut_tell_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Departures(path, 4).note(RUNS[0])
    copy = tmp_path / "copy.sent"
    shutil.copyfile(path, copy)
    assert (read_departures(path), read_departures(copy), read_departures(tmp_path / "none.sent")) == ({RUNS[0]}, None, None)
    later = tmp_path / "boot_id"
    later.write_text("f3b0c442-98fc-4c14-9afb-f4c8996fb924\n")
    with monkeypatch.context() as changed:
        changed.setattr(departures, "_BOOT", later)
        assert read_departures(path) is None
    with path.open("r+b") as file:
        file.truncate(100)
    assert read_departures(path) is None


@pytest.mark.parametrize("trouble", ["no boot", "no folder", "taken"])
def test_where_no_file_can_be_had_nothing_is_noted_and_nothing_is_known(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(departures, "_BOOT", tmp_path / "none" if trouble == "no boot" else departures._BOOT)
    place = tmp_path / "none" / path.name if trouble == "no folder" else path
    if trouble == "taken":
        path.write_bytes(b"x")
    noted = Departures(place, 4)
    noted.note(RUNS[0])
    noted.forget(RUNS[0])
    noted.close()
    noted.close()
    assert read_departures(place) is None
    assert place.exists() == (trouble == "taken")
