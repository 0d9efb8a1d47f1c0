# noqa: A005  it is only ever bench.profile, so it hides nothing
"""Where the CPU time of a run goes. ``python -m bench.profile``: a server under load, watched for some seconds, its top functions printed.

With ``--keep FOLDER`` (``make profile``) the steps of synchronous and of asynchronous runs are put into a page there, with flame graphs beside it.

With py-spy installed the server runs as it is and is sampled from outside; without it, it runs under cProfile, which makes small Python functions look dearer
than they are and sees the event loop's thread only.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from bench.__main__ import VAR
from bench.jobs import Job, Load
from bench.machine import describe_machine
from bench.partner import run_body
from bench.processes import ROOT, NotMeasured, choose_cores
from bench.servers import RUN_PATH, Polyport, sign_in, start_generator, start_polyport, start_upstream
from bench.steps import steps_table

SHOWN: Final = 40
SETTLE: Final = 0.5
_TITLES: Final = {"sync": "A synchronous run", "async": "An asynchronous run: accepted, and worked on by the same process"}
_PAGE: Final = """\
# Where the time of a run goes

Made by `make profile`: {told}; {callers} callers, a partner that answers at once.

A sampling profiler (py-spy) looks at the server under load 500 times a second. Each look counts for the innermost function of the stack that belongs to a step. The microseconds are the shares of what one run
costs in CPU time, user and system, in a job that nobody watched. A busy machine makes all of them larger. What the record waits for its disk is counted with it."""


def main(arguments: Sequence[str]) -> int:
    """Profile and print."""
    if arguments[:1] == ["--served"]:
        return _serve_profiled(Path(arguments[1]), arguments[2:])
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--mode", choices=("sync", "async", "dry"), default="sync")
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--keep", type=Path, help="put a page with the steps, and flame graphs, into this folder")
    given = parser.parse_args(arguments)
    VAR.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=VAR) as name:
        try:
            if given.keep is not None:
                _keep(Path(name), given.keep, given.callers, given.seconds)
            else:
                print(_profile(Path(name), given.mode, given.callers, given.seconds))
        except (NotMeasured, OSError, subprocess.SubprocessError) as error:
            print(f"no profile: {error}", file=sys.stderr)
            return 1
    return 0


def _keep(folder: Path, kept: Path, callers: int, seconds: float) -> None:
    """Write the page and its flame graphs. Raises ``NotMeasured`` without py-spy: other profilers make small functions look dear."""
    sampler = _sampler()
    if sampler is None:
        raise NotMeasured("py-spy is not installed (pip install py-spy)")
    kept.mkdir(parents=True, exist_ok=True)
    parts, machine = [], describe_machine(folder, choose_cores())
    for mode in ("sync", "async"):
        home = folder / mode
        home.mkdir()
        us, stacks = _watched(home, sampler, mode, callers, seconds, kept / f"{mode}.svg")
        parts.append(f"## {_TITLES[mode]}\n\n{steps_table(stacks, us)}\n\n[Flame graph]({mode}.svg)")
    told = f"{machine.date[:10]}, commit {machine.commit or 'unknown'}, {machine.cpu}, {machine.python}, load average {machine.load_average:.1f}"
    (kept / "README.md").write_text("\n\n".join([_PAGE.format(told=told, callers=callers), *parts]) + "\n", "utf-8")
    print(f"{kept / 'README.md'}: {told}")


def _watched(home: Path, sampler: str, mode: str, callers: int, seconds: float, graph: Path) -> tuple[float, list[str]]:
    """CPU time of a run in us, from a job that nobody watches, and the collapsed stacks of a second one; the flame graph of a third is written."""
    cores = choose_cores()
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, home, cores.upstream)
        polyport = sign_in(start_polyport(stack, home, cores.server, upstream.port))
        generator, process = start_generator(stack, home, cores.load), polyport.served.process
        us = 0.0
        for length in (1.0, seconds / 2):  # the first one compiles and connects
            before = process.cpu_seconds()
            load = generator.run(_job(polyport, mode, callers, length))
            if load.errors or not load.total:
                raise NotMeasured(f"the load had errors: {load.first_error}")
            polyport.settle()
            us = (process.cpu_seconds() - before) / load.total * 1e6
        for form, output in (("raw", home / "stacks"), ("flamegraph", graph)):
            caller = threading.Thread(target=generator.run, args=(_job(polyport, mode, callers, seconds + 4 * SETTLE),))
            caller.start()
            time.sleep(SETTLE)
            _sample(sampler, process.popen.pid, seconds, output, form=form, extra=())
            caller.join()
            # The title of a flame graph is the command line, with a folder of this machine.
            output.write_text(output.read_text("utf-8").replace(sampler, "py-spy"), "utf-8")
            polyport.settle()
    return us, (home / "stacks").read_text("utf-8").splitlines()


def _profile(folder: Path, mode: str, callers: int, seconds: float) -> str:
    cores, sampler = choose_cores(), _sampler()
    kept = folder / "profile"
    command = None if sampler else (sys.executable, "-m", "bench.profile", "--served", str(kept))
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, folder, cores.upstream)
        served = start_polyport(stack, folder, cores.server, upstream.port, command)
        polyport = sign_in(served)
        generator = start_generator(stack, folder, cores.load)
        done: list[Load] = []
        job = _job(polyport, mode, callers, seconds + 4 * SETTLE)
        caller = threading.Thread(target=lambda: done.append(generator.run(job)))
        caller.start()
        time.sleep(2 * SETTLE)
        threads = _thread_seconds(served.process.popen.pid)
        if sampler:
            _sample(sampler, served.process.popen.pid, seconds, kept)
        else:
            for pause in (seconds, SETTLE):
                served.process.popen.send_signal(signal.SIGUSR2)
                time.sleep(pause)
        after = _thread_seconds(served.process.popen.pid)
        caller.join()
    if not done or done[0].errors:
        raise NotMeasured(f"the load had errors: {done[0].first_error if done else 'it did not end'}")
    table = _read_samples(kept) if sampler else _read_calls(kept)
    busy = sorted(((after[name] - used, name) for name, used in threads.items() if name in after), reverse=True)
    shares = ", ".join(f"{name} {used:.2f} s" for used, name in busy[:6] if used > 0)
    head = f"{mode}, {callers} callers, {done[0].rate:,.0f} answers/s while watched by {'py-spy' if sampler else 'cProfile'}"
    return f"{head}\nCPU time by thread: {shares}\n\n{table}"


def _job(polyport: Polyport, mode: str, callers: int, seconds: float) -> Job:
    body = run_body(polyport.connection, dry_run=mode == "dry")
    path = f"{RUN_PATH}/{'async' if mode == 'async' else 'sync'}"
    expect = 202 if mode == "async" else 200
    return Job(port=polyport.served.port, path=path, body=body, expect=expect, callers=callers, seconds=seconds, token=polyport.token)


def _sampler() -> str | None:
    """py-spy, if there is one."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _sample(
    sampler: str, pid: int, seconds: float, kept: Path, *, form: str = "raw", extra: Sequence[str] = ("--gil", "--threads")
) -> None:
    command = [
        sampler,
        "record",
        "--pid",
        str(pid),
        "--duration",
        str(round(seconds)),
        "--rate",
        "500",
        "--format",
        form,
        "--output",
        str(kept),
    ]
    subprocess.run([*command, *extra], check=True, capture_output=True, cwd=ROOT, timeout=seconds + 60)


def _read_samples(kept: Path) -> str:
    """Tables from collapsed stacks, one a line: frames from the outside in, and a count."""
    own, inclusive, packages = Counter[str](), Counter[str](), Counter[str]()
    for line in kept.read_text("utf-8").splitlines():
        stack, _space, count = line.rpartition(" ")
        frames = [_without_line(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        packages[_package(frames[-1])] += int(count)
        inclusive.update(dict.fromkeys(frames, int(count)))
    whole = sum(own.values()) or 1
    # What nearly every sample holds is the way to the loop, and tells nothing.
    telling = Counter({name: count for name, count in inclusive.items() if count < whole * 0.9})
    parts = []
    for title, counted in (("own time of a package", packages), ("function, with what it calls", telling), ("own time of a function", own)):
        parts.append(f"share  {title}")
        parts += [f"{count / whole:6.1%} {name}" for name, count in counted.most_common(SHOWN)]
        parts.append("")
    return "\n".join(parts)


def _package(frame: str) -> str:
    """Where a frame's code comes from: ``polyport.engine``, ``aiohttp``, ``asyncio``."""
    parts = frame.rpartition(" (")[2].rstrip(")").split("/")
    return ".".join(parts[: 2 if parts[0] == "polyport" and len(parts) > 2 else 1]).removesuffix(".py")


def _without_line(frame: str) -> str:
    """A frame by its function and file: ``send (polyport/net/send.py)``."""
    name, _space, place = frame.rpartition(" (")
    return f"{name} ({place.partition(':')[0].rstrip(')')})" if name else frame


def _read_calls(kept: Path) -> str:
    text = io.StringIO()
    found = pstats.Stats(str(kept), stream=text)
    found.sort_stats("tottime").print_stats(SHOWN)
    found.sort_stats("cumulative").print_stats(SHOWN)
    return text.getvalue()


def _thread_seconds(pid: int) -> dict[str, float]:
    """CPU time of every thread of a process, from the scheduler, in seconds; the first thread is the event loop's."""
    found: dict[str, float] = {}
    for task in _tasks(pid):
        with contextlib.suppress(OSError):
            name = "event loop" if task.name == str(pid) else f"thread {task.name}"
            found[name] = int((task / "schedstat").read_text("ascii").split()[0]) / 1e9
    return found


def _tasks(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/task").iterdir()


def _serve_profiled(kept: Path, arguments: Sequence[str]) -> int:
    """The server, in this process: the first SIGUSR2 begins the profile, the second ends and keeps it."""
    from polyport.cli import main as polyport  # noqa: PLC0415  the watching process has no use for the server's modules

    profile, watching = cProfile.Profile(), False

    def turn(_signal: int, _frame: FrameType | None) -> None:
        nonlocal watching
        watching = not watching
        if watching:
            profile.enable()
        else:
            profile.disable()
            profile.dump_stats(kept)

    signal.signal(signal.SIGUSR2, turn)
    sys.argv = ["polyport", *arguments]
    polyport()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
