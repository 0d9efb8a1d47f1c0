"""The program ``polyport``, begun by a process that has read its modules already.

Reading them is most of what a start takes, and tests start the program hundreds of times. What begins here is a process of its own like any other: with its own
environment, folder, outputs, signals and end, a child of the tests. That the program starts from nothing is shown where it is begun ``anew`` (see processes.py),
and by every machine without Linux, where all are.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

TESTS: Final = Path(__file__).parents[1]
PROGRAM: Final = Path(sys.executable).parent / "polyport"
READS_FIRST: Final = sys.platform.startswith("linux")

_WAITING: Final = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from e2e.starter import wait_for_work; wait_for_work(int(sys.argv[1]))"
_ASKED_LATE: Final = (
    "httptools",
    "phonenumbers",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
_SET_CHILD_SUBREAPER: Final = 36
_OPEN: Final = threading.Lock()


class Running(Protocol):
    """What tests need of a process: ``subprocess.Popen`` has it, and so has ``Begun``."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Begun:
    """A process that is a child of this one, though another made it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._reading = threading.Lock()

    def poll(self) -> int | None:
        """The exit code; ``None`` while it runs."""
        with self._reading:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises ``TimeoutExpired``."""
        if self.poll() is None:
            ended = os.pidfd_open(self.pid)
            try:
                watch = select.poll()
                watch.register(ended, select.POLLIN)
                watch.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(ended)
        found = self.poll()
        if found is None:
            raise subprocess.TimeoutExpired(str(PROGRAM), timeout or 0)
        return found

    def send_signal(self, number: int, /) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def begin(
    arguments: Sequence[object],
    *,
    env: Mapping[str, str],
    outputs: tuple[int, int],
    given: int | None = None,
    cwd: Path | None = None,
    powerless: bool = False,
) -> Running:
    """Begin the program. ``given`` and ``outputs`` are the files of its standard input (nothing, if ``None``), output and errors.

    ``powerless`` takes root's power over files from it: what nobody may write it may not write either.
    """
    with Path(os.devnull).open("rb") as nothing, _OPEN:
        line = _reader()
        asked = {"arguments": [*map(str, arguments)], "env": dict(env), "cwd": str(cwd or Path.cwd()), "powerless": powerless}
        content = json.dumps(asked).encode()
        _take_orphans(True)
        try:
            socket.send_fds(line, [len(content).to_bytes(4, "big")], [nothing.fileno() if given is None else given, *outputs])
            line.sendall(content)
            told = line.recv(4, socket.MSG_WAITALL)
        finally:
            _take_orphans(False)
    assert len(told) == 4, "the process that begins others has ended"
    return Begun(int.from_bytes(told, "big"))


async def ended(process: Running) -> int:
    """The exit code of a process, once it has ended, while other things go on."""
    return await asyncio.to_thread(process.wait)


@cache
def _reader() -> socket.socket:
    """The line to the process that reads the modules; it ends with this one."""
    ours, theirs = socket.socketpair()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("POLYPORT_") and name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _WAITING, str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(command, env=kept, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603  our own program

    def leave() -> None:
        ours.close()
        process.wait()

    atexit.register(leave)
    return ours


def _take_orphans(taken: bool) -> None:
    """Whether processes whose parent has ended become children of this one: so those that are begun get here."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, int(taken), 0, 0, 0)


_STANDING_IN: Final = """#!{python} -SE
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({door!r})
content = json.dumps({{"arguments": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}).encode()
socket.send_fds(line, [len(content).to_bytes(4, "big")], [0, 1, 2])
line.sendall(content)
pid = int.from_bytes(line.recv(4), "big")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _frame: os.kill(pid, number))
sys.exit((line.recv(1) or b"\\1")[0])
"""


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[Path]:
    """A program ``polyport`` in the folder, for shells: what is asked of it is begun here, with its folder, environment and files, and gets its signals."""
    program = folder / "polyport"
    if not READS_FIRST:
        program.symlink_to(PROGRAM)
        yield program
        return
    door = f"\0polyport-tests-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(door)
        listener.listen()
        program.write_text(_STANDING_IN.format(python=sys.executable, door=door))
        program.chmod(0o700)
        threading.Thread(target=_stand_in, args=(listener,), daemon=True).start()
        yield program
        listener.shutdown(socket.SHUT_RDWR)


def _stand_in(listener: socket.socket) -> None:
    while True:
        try:
            line, _address = listener.accept()
        except OSError:  # it was shut
            return
        threading.Thread(target=_begin_for, args=(line,), daemon=True).start()


def _begin_for(line: socket.socket) -> None:
    with line:
        size, files, _flags, _address = socket.recv_fds(line, 4, 3)
        asked = json.loads(line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        process = begin(asked["arguments"], env=asked["env"], outputs=(files[1], files[2]), given=files[0], cwd=Path(asked["cwd"]))
        for file in files:
            os.close(file)
        line.sendall(process.pid.to_bytes(4, "big"))
        code = process.wait()
        with contextlib.suppress(OSError):  # who asked may be gone
            line.sendall(bytes([code if code >= 0 else 128 - code]))


# In the process that reads


def wait_for_work(number: int) -> None:
    """Read all modules, then begin the program as often as asked."""
    sys.path.remove(str(TESTS))
    _read_modules()
    line = socket.socket(fileno=number)
    while True:
        size, files, _flags, _address = socket.recv_fds(line, 4, 3)
        if not size:
            sys.exit()
        asked = json.loads(line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        ours, theirs = os.pipe()
        middle = os.fork()
        if middle == 0:
            child = os.fork()
            if child == 0:
                break
            os.write(theirs, child.to_bytes(4, "big"))
            os._exit(0)
        pid = os.read(ours, 4)
        os.waitpid(middle, 0)  # from here on it is a child of who asked
        for file in (*files, ours, theirs):
            os.close(file)
        line.sendall(pid)
    for place, file in enumerate(files):
        os.dup2(file, place)
    for file in (*files, ours, theirs):
        os.close(file)
    line.close()
    _become(asked)


def _read_modules() -> None:
    import polyport  # noqa: PLC0415  the tests themselves need not read it here

    for found in pkgutil.walk_packages(polyport.__path__, "polyport."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in _ASKED_LATE:
        importlib.import_module(name)
    folders = importlib.import_module("polyport.cli.folders")
    folders.neighbours(folders.bundled()[0])  # what commands about a folder hold it against
    gc.freeze()  # what is here stays, and is shared as long as nobody touches it


def _become(asked: dict[str, Any]) -> None:
    from polyport.cli import main  # noqa: PLC0415  see above

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where a shell let all of them ignore it
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    if asked["powerless"]:
        _give_up_power_over_files()
    sys.argv = [str(PROGRAM), *asked["arguments"]]
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  told as the interpreter tells it
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    # The end of an interpreter, without taking every module apart: that takes longer than most commands.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _give_up_power_over_files() -> None:
    """CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, out of the sets of this process."""
    system = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert system.capget(head, sets) == 0
    for place in range(3):
        sets[place] &= ~0b110
    assert system.capset(head, sets) == 0
