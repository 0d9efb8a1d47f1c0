"""The load generator: callers on kept-alive connections, each sending its next request when it has the answer (a closed loop).

wrk does what it can do, where it is installed; the generator in here does the rest. Run as ``python -m bench.load``: one job a line on standard input, one
result a line on standard output. ``Generator`` is the other end of that pipe.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import resource
import signal
import sys
import time
from array import array
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httptools
import msgspec
import uvloop

from bench.jobs import PATIENCE, Job, Load
from bench.processes import Process
from bench.wrk import can_run, find_wrk, run_wrk


class _Caller(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_body", "_job", "_parser", "_sent_at", "_transport", "_turn", "done")

    def __init__(self, job: _Work, number: int) -> None:
        self._job = job
        self._turn = number * job.step / job.callers
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: Any = None
        self._sent_at = 0.0
        self._body = b""
        self.done = False  # it has nothing more to send

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send_next(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        self._job.lost(self, exc)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._job.fail(str(error))
            self._transport.close()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._body = body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        now, job = time.perf_counter(), self._job
        status = self._parser.get_status_code()
        if status == job.expect:
            job.note(now, now - self._sent_at)
        else:
            job.fail(f"{status} {self._body[:300].decode(errors='replace')}")
        if now < job.stop_at:
            self._send_next(now)
        else:
            self._finish()

    def _send_next(self, now: float) -> None:
        """Send at once, or at this caller's next turn where there is a pace."""
        job = self._job
        if not job.step:
            self._send(now)
            return
        due = job.start + self._turn
        self._turn += job.step
        if due >= job.stop_at:
            self._finish()
        elif due <= now:
            self._send(due)
        else:
            asyncio.get_running_loop().call_later(due - now, self._send, due)

    def _finish(self) -> None:
        self.done = True
        self._transport.close()

    def _send(self, since: float) -> None:
        self._sent_at = since
        self._transport.write(self._job.request())


class _Work:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        token = f"Authorization: Bearer {job.token}\r\n" if job.token else ""
        head = (
            f"{job.method} {job.path} HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\n{token}Content-Type: application/json\r\nContent-Length: "
        )
        bodies = [body.encode() for body in (job.body, *job.bodies)]
        self._requests = itertools.cycle([f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies])
        self.expect = job.expect
        self.callers = job.callers
        self.step = job.callers / job.pace if job.pace else 0.0
        self.start = 0.0
        self._job = job
        self._latencies = array("d")
        self._late = array("d")
        self._total = 0
        self._errors = 0
        self._first_error = ""
        self._open = job.callers
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count_from = 0.0
        self.stop_at = 0.0

    def request(self) -> bytes:
        """What to send next."""
        return next(self._requests)

    def note(self, now: float, latency: float) -> None:
        """An expected answer."""
        self._total += 1
        if self._count_from <= now < self.stop_at:
            self._latencies.append(latency)
        elif now >= self.stop_at:
            self._late.append(latency)

    def fail(self, what: str) -> None:
        """An answer that was not expected, or none."""
        self._errors += 1
        self._first_error = self._first_error or what

    def lost(self, caller: _Caller, error: Exception | None) -> None:
        """A caller has gone: at the end of its time, or before because the other side closed."""
        if not caller.done:
            self.fail(f"the connection was closed: {error}")
        self._open -= 1
        if self._open <= 0 and not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> Load:
        """Run the job."""
        job, loop = self._job, asyncio.get_running_loop()
        began, used = time.monotonic(), _cpu_seconds()
        self.start = time.perf_counter()
        self._count_from = self.start + job.warmup
        self.stop_at = self._count_from + job.seconds
        connecting = (loop.create_connection(partial(_Caller, self, number), "127.0.0.1", job.port) for number in range(job.callers))
        for made in await asyncio.gather(*connecting, return_exceptions=True):
            if isinstance(made, BaseException):
                self.fail(f"no connection: {made}")
                self.lost_before()
        try:
            await asyncio.wait_for(self._ended, job.warmup + job.seconds + PATIENCE)
        except TimeoutError:
            self.fail(f"{self._open} callers had no answer {PATIENCE:.0f} seconds after the end")
        ended = time.monotonic()
        # What is so slow that nothing came in time has the answers that came late, and the time until they had come.
        ordered, seconds = (sorted(self._latencies), job.seconds) if self._latencies else (sorted(self._late), ended - began)
        return Load(
            rate=len(ordered) / seconds,
            p50=_percentile(ordered, 0.50),
            p99=_percentile(ordered, 0.99),
            total=self._total,
            errors=self._errors,
            first_error=self._first_error,
            began=began,
            ended=ended,
            busy=(_cpu_seconds() - used) / (ended - began),
        )

    def lost_before(self) -> None:
        """A caller never had a connection."""
        self._open -= 1
        if self._open <= 0 and not self._ended.done():
            self._ended.set_result(None)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _percentile(ordered: list[float], share: float) -> float:
    """The latency, in milliseconds, that this share of the answers did not exceed; 0 when there was none."""
    return ordered[min(len(ordered), math.ceil(len(ordered) * share)) - 1] * 1000 if ordered else 0.0


async def _run(job: Job) -> Load:
    return await _Work(job).run()


class Generator:
    """The load generator's process, as the benchmark talks to it."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def run(self, job: Job) -> Load:
        """Run a job to its end. Raises ``OSError`` when the process has died."""
        popen = self.process.popen
        if popen.stdin is None or popen.stdout is None:
            raise OSError("the load generator has no pipes")
        popen.stdin.write(msgspec.json.encode(job) + b"\n")
        popen.stdin.flush()
        line = popen.stdout.readline()
        if not line:
            raise OSError("the load generator has ended")
        return msgspec.json.decode(line, type=Load)


def main() -> None:
    """Take jobs until standard input ends."""
    signal.signal(signal.SIGTERM, lambda *_told: sys.exit())  # so that the folder does not stay behind
    program = find_wrk()
    with TemporaryDirectory(prefix="bench-load-") as folder:
        for line in sys.stdin.buffer:
            job = msgspec.json.decode(line, type=Job)
            done = run_wrk(program, job, Path(folder)) if program is not None and can_run(job) else uvloop.run(_run(job))
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
