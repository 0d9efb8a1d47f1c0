"""Where the time of a run goes, by the steps that a run is made of: collapsed stacks of a profiler in, a table out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

REST: Final = "the order of the steps, and what stands before them"
LOOP: Final = "the event loop"
# Threads that wait for work look busy to a profiler now and then.
_WAITING: Final = (
    "_worker (concurrent/futures/thread.py",
    "Threads._work (polyport/store/threads.py",
    "Condition.wait (threading.py",
    "wait (threading.py",
    "Queue.get (queue.py",
    "get (queue.py",
)
SERVER: Final = "HTTP of our own server (uvicorn, starlette)"
# The innermost function of a stack that stands here gives its step: by file and name, or by the file alone.
STEPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("parse the request", ("wire.py read_body", "wire.py parse_json", "asks.py")),
    ("authenticate, count for rate limits", ("server/access.py", "server/rates.py")),
    ("load: operation, connection", ("desk.py Desk.runnable", "desk.py Desk.bench", "desk.py read_positions")),
    ("schema: custom fields, lists", ("operation.py _with_custom", "engine/lists.py")),
    ("validate", ("validate.py Validator.check", "engine/files.py")),
    ("render and sign", ("calls.py prepare", "operation.py build_scope")),
    ("send: our own HTTP client", ("polyport/net/", "aiohttp/")),
    ("budgets, breakers, bulkheads", ("engine/gate.py", "polyport/budgets.py", "polyport/breakers.py", "polyport/bulkheads.py")),
    ("read the answer", ("calls.py _understood", "results.py read_item")),
    ("redact the exchange", ("engine/trace.py",)),
    (
        "record: make, seal, write",
        (
            "engine/intake.py",
            "engine/ledger.py",
            "polyport/store/",
            "polyport/vault.py",
            "polyport/queue/",
            "thread.py _WorkItem.run",
            "thread.py ThreadPoolExecutor.submit",
        ),
    ),
    ("reply", ("routing.py _response", "server/runs.py finished", "server/runs.py _accepted")),
    (SERVER, ("uvicorn/", "cli/guard.py", "cli/exchange.py", "starlette/")),
)


def step_of(frames: Sequence[str]) -> str:
    """The step that a stack belongs to; its frames from the outside in, as ``name (file:line)``."""
    entered = False
    for frame in reversed(frames):
        name, _space, place = frame.rpartition(" (")
        file = place.partition(":")[0]
        entered = entered or (file.startswith("polyport/") and not file.startswith("polyport/cli/"))
        for step, marks in STEPS:
            if step == SERVER and entered:
                continue
            if any(_fits(mark, name, file) for mark in marks):
                return step
    return REST if entered else LOOP


def _fits(mark: str, name: str, file: str) -> bool:
    place, _space, wanted = mark.partition(" ")
    return f"{place}" in file if not wanted else file.endswith(place) and name == wanted


def steps_table(lines: Sequence[str], us: float) -> str:
    """The table, as Markdown; ``lines`` are collapsed stacks, ``us`` is the CPU time of one run."""
    counted = Counter[str]()
    for line in lines:
        stack, _space, count = line.rpartition(" ")
        if stack.rpartition(";")[2].startswith(_WAITING):
            continue
        counted[step_of(stack.split(";"))] += int(count)
    whole = sum(counted.values()) or 1
    order = [*(step for step, _marks in STEPS), REST, LOOP]
    width = max(map(len, order))
    rows = [f"| {'step'.ljust(width)} | share  | us    |", f"| {'-' * width} | ------ | ----- |"]
    rows += [f"| {step.ljust(width)} | {counted[step] / whole:6.1%} | {counted[step] / whole * us:5.0f} |" for step in order]
    return "\n".join([*rows, f"| {'all'.ljust(width)} | 100.0% | {us:5.0f} |"])
