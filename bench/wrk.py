"""wrk (Debian) as the load generator: a C program, so that what it takes of its core is little and what it measures is not its own delay.

It runs one job of ``bench.load``. Without it, and for jobs shorter than a second, which it cannot do, our own generator does the same.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

import msgspec

from bench.jobs import PATIENCE, Job, Load, try_once

_SCRIPT: Final = """\
wrk.method = {method}
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
{token}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nFOUND {{"requests":%d,"us":%d,"p50":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
"""


class _Found(msgspec.Struct, frozen=True):
    """What wrk tells: requests answered, microseconds, and kinds of errors."""

    requests: int
    us: int
    p50: int
    p99: int
    connect: int
    read: int
    write: int
    timeout: int
    status: int

    def errors(self) -> dict[str, int]:
        """The kinds of errors that there were."""
        kinds = ("connect", "read", "write", "timeout", "status")
        return {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}


def find_wrk() -> str | None:
    """The program, where it is installed."""
    return shutil.which("wrk")


def wrk_version(program: str) -> str:
    """Its version, as it says it."""
    told = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout.split()
    return told[1].removeprefix("debian/") if len(told) > 1 else "of unknown version"


def can_run(job: Job) -> bool:
    """Whether wrk can do this job: it counts whole seconds, and it ends without waiting for answers that are under way."""
    return job.seconds >= 1 and job.seconds == int(job.seconds) and not job.warmup and not job.whole and not job.bodies and not job.pace


def run_wrk(program: str, job: Job, folder: Path) -> Load:
    """Run a job. One request before it is read to its end: wrk itself tells statuses from 400 on from the rest, no more."""
    first = try_once(job)
    if first:
        return _nothing(first)
    script = folder / "job.lua"
    token = f"wrk.headers.Authorization = {_lua(f'Bearer {job.token}')}" if job.token else ""
    script.write_text(_SCRIPT.format(method=_lua(job.method), body=_lua(job.body), token=token), "utf-8")
    url = f"http://127.0.0.1:{job.port}{job.path}"
    command = [
        program,
        "-t1",
        f"-c{job.callers}",
        f"-d{int(job.seconds)}s",
        f"--timeout={int(PATIENCE)}s",
        "--latency",
        "-s",
        str(script),
        url,
    ]
    began, used = time.monotonic(), _children_seconds()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=job.seconds + 2 * PATIENCE)
    ended = time.monotonic()
    busy = (_children_seconds() - used) / (ended - began)
    told = next((line.removeprefix("FOUND ") for line in done.stdout.splitlines() if line.startswith("FOUND ")), None)
    if told is None:
        return _nothing(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:300]}")
    found = msgspec.json.decode(told, type=_Found)
    errors = found.errors()
    return Load(
        rate=found.requests / (found.us / 1e6),
        p50=found.p50 / 1000,
        p99=found.p99 / 1000,
        total=found.requests - found.status + 1,
        errors=sum(errors.values()),
        first_error=f"{json.dumps(errors)} {try_once(job)}" if errors else "",
        began=began,
        ended=ended,
        busy=busy,
        more=job.callers,
        generator="wrk",
    )


def _nothing(why: str) -> Load:
    now = time.monotonic()
    return Load(rate=0, p50=0, p99=0, total=0, errors=1, first_error=why, began=now, ended=now, busy=0, more=0, generator="wrk")


def _lua(text: str) -> str:
    """A text as Lua writes it."""
    escaped = "".join(f"\\{byte:03d}" if byte < 32 or byte > 126 or byte in b"\"'\\" else chr(byte) for byte in text.encode())
    return f'"{escaped}"'


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
