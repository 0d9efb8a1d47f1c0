"""The other side of asynchronous runs: queues of jobs, each with a job that does nothing, beside Polyport's runs that are accepted, worked off and recorded."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.peers.install import install_queues
from bench.processes import Cores, NotMeasured, Process, free_port, pinned, start_process

_HERE: Final = Path(__file__).parent
_POSTGRES: Final = ("/usr/lib/postgresql",)
_READY_SECONDS: Final = 60.0
_JOBS_SECONDS: Final = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Jobs that were put and done: how many a second by the callers' and by the workers' clock, CPU time of all processes of the system for each, in us."""

    accepted: float
    finished: float
    cpu_us: float
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue that runs: its name, what keeps its jobs, the command that puts jobs, its processes."""

    name: str
    kept: str
    put: Sequence[str]
    environment: dict[str, str]
    processes: tuple[Process, ...]

    def run(self, jobs: int, core: int) -> Batch:
        """Put so many jobs from another core, and wait for them."""
        used = sum(process.cpu_seconds() for process in self.processes)
        with pinned(core):
            done = subprocess.run(
                [*self.put, str(jobs)], env=self.environment, capture_output=True, text=True, timeout=_JOBS_SECONDS, check=False
            )
        if done.returncode:
            raise NotMeasured(f"{self.name}: {done.stderr.strip()[-300:]}")
        times = msgspec.json.decode(done.stdout, type=dict[str, float])
        return Batch(
            accepted=jobs / (times["accepted"] - times["began"]),
            finished=jobs / (times["ended"] - times["began"]),
            cpu_us=(sum(process.cpu_seconds() for process in self.processes) - used) / (jobs + 1) * 1e6,
            jobs=jobs,
        )


def start_celery(stack: contextlib.ExitStack, folder: Path, cores: Cores, *, durable: bool) -> Queue:
    """Celery on Redis. ``durable``: Redis writes each job to its disk before it says so; else it keeps nothing, as Debian sets it up between snapshots."""
    server = shutil.which("redis-server")
    if server is None:
        raise NotMeasured("redis-server is not installed")
    python, port = install_queues(), free_port()
    home = folder / f"redis-{port}"
    home.mkdir()
    kept = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
    log = stack.enter_context((folder / "celery.log").open("ab"))
    command = [server, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(home), "--save", "", *kept]
    redis = start_process("redis", command, cores.server, log=log)
    stack.callback(redis.stop)
    _wait_for_port(redis, port)
    environment = _environment(f"redis://127.0.0.1:{port}/0")
    command = [str(python), "-m", "celery", "--app", "celery_job", "--workdir", str(_HERE), "worker", "--loglevel", "warning"]
    worker = start_process("celery", command, cores.server, log=log, environment=environment)
    stack.callback(worker.stop)
    return Queue(
        name="Celery on Redis",
        kept="on disk, each job" if durable else "in memory",
        put=[str(python), str(_HERE / "celery_job.py")],
        environment=environment,
        processes=(redis, worker),
    )


def start_procrastinate(stack: contextlib.ExitStack, folder: Path, cores: Cores) -> Queue:
    """Start procrastinate on a PostgreSQL of its own."""
    _find_postgres()
    python = install_queues()
    postgres, url = _start_postgres(stack, folder, cores.server)
    environment = _environment(url)
    put = [str(python), str(_HERE / "procrastinate_job.py")]
    done = subprocess.run([*put, "tables"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NotMeasured(f"procrastinate: {done.stderr.strip()[-300:]}")
    log = stack.enter_context((folder / "procrastinate.log").open("ab"))
    worker = start_process("procrastinate", [*put, "work"], cores.server, log=log, environment=environment)
    stack.callback(worker.stop)
    return Queue(
        name="procrastinate on PostgreSQL", kept="on disk, each job", put=put, environment=environment, processes=(postgres, worker)
    )


def _environment(url: str) -> dict[str, str]:
    """Without what leads Python to our own packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "POLYPORT_"))}
    return kept | {"QUEUE_URL": url}


def _start_postgres(stack: contextlib.ExitStack, folder: Path, core: int) -> tuple[Process, str]:
    binaries = _find_postgres()
    home, port = folder / "postgres", free_port()
    home.mkdir()
    as_user = _as_postgres(folder, home)
    data = home / "data"
    made = subprocess.run(
        [*as_user, str(binaries / "initdb"), "--auth=trust", "--username=bench", "--encoding=UTF8", "-D", str(data)],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if made.returncode:
        raise NotMeasured(f"initdb: {made.stderr.strip()[-300:]}")
    log = stack.enter_context((folder / "postgres.log").open("ab"))
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    process = start_process("postgres", [*as_user, str(binaries / "postgres"), "-D", str(data), *given], core, log=log)
    stack.callback(process.stop)
    _wait_for_port(process, port)
    return process, f"postgresql://bench@127.0.0.1:{port}/postgres"


def _find_postgres() -> Path:
    found = [path.parent for root in _POSTGRES for path in sorted(Path(root).glob("*/bin/initdb"), reverse=True)]
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise NotMeasured("PostgreSQL is not installed")
    return found[0] if found else Path(str(on_path)).parent


def _as_postgres(folder: Path, home: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then as the user that its package made, who may go through the folders above."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise NotMeasured("PostgreSQL does not run as root, and there is no user postgres") from None
    folder.chmod(0o711)
    os.chown(home, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _wait_for_port(process: Process, port: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.popen.poll() is not None:
            raise NotMeasured(f"{process.name} ended with exit code {process.popen.returncode} before it answered")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise NotMeasured(f"{process.name} gave no answer within {_READY_SECONDS:.0f} seconds")


STARTS: Final[dict[str, Callable[[contextlib.ExitStack, Path, Cores], Queue]]] = {
    "Celery on Redis, in memory": lambda stack, folder, cores: start_celery(stack, folder, cores, durable=False),
    "Celery on Redis, on disk": lambda stack, folder, cores: start_celery(stack, folder, cores, durable=True),
    "procrastinate on PostgreSQL": start_procrastinate,
}
