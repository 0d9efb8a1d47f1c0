"""The life of runs as a machine that anything may happen to, in any order, on a real database: what has to hold after every step holds."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engines import CREATE, PUT, open_bench
from polyport.errors import Conflict
from polyport.net.message import NetworkFault, Reply, Request
from polyport.queue.departures import Departures
from polyport.store.base import Stale
from polyport.store.records import FINAL, Run, RunStatus
from samples import json_reply

STEPS = {  # what may follow what; "" is a run that is not there yet
    "": {"queued", "succeeded", "failed", "uncertain"},  # a synchronous run is seen at its end
    "queued": {"running", "cancelled", "failed"},  # failed: its time was over
    "running": {"queued", "waiting", "succeeded", "failed", "uncertain", "cancelled"},
    "waiting": {"running", "cancelled", "failed"},
}
ANSWERS = ("fine", "refused", "later", "broken", "cut", "unreachable")
HARMLESS = {"later", "unreachable"}  # the partner did not begin, or nothing left: another send may follow
DEAD = "1-dead"


class Life(RuleBasedStateMachine):
    """Runs of one account. ``sends`` are what the partner would have seen of each, ``seen`` the status that each had last."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.ms = 1_800_000_000_000
        self.exit = contextlib.AsyncExitStack()
        self.seen: dict[str, str] = {}
        self.once: dict[str, bool] = {}
        self.sends: dict[str, list[str]] = {}
        self.records: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.under_way: dict[str, Run] = {}
        self.answer, self.at = "fine", ""

    def teardown(self) -> None:
        self.do(self.exit.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def reply(self, _request: Request) -> Reply:
        self.sends[self.at].append(self.answer)
        if self.answer in {"cut", "unreachable"}:
            raise NetworkFault("no answer", reached=self.answer == "cut", timed_out=False)
        bodies = {"fine": ('{"id": 1}', 200), "refused": ('{"error": "no"}', 422), "broken": ("{}", 500), "later": ("{}", 503)}
        body, status = bodies[self.answer]
        return json_reply(body, status, **({"retry_after": "1"} if self.answer == "later" else {}))

    @initialize()
    def open(self) -> None:
        clock = lambda: datetime.fromtimestamp(self.ms / 1000, UTC)  # noqa: E731  a clock that the machine turns
        self.bench = self.do(self.exit.enter_async_context(open_bench(self.folder, clock=clock)))
        self.bench.line.answer = self.reply
        self.runtime = self.bench.engine.runtime
        self.noted = self.note_anew()

    def note_anew(self) -> Departures:
        """What the process that will be dead notes of what it sends."""
        return Departures(self.folder / "processes" / f"{DEAD}.sent", 64)

    def accepted(self, run: Run, operation: int) -> None:
        self.once[run.run_id] = operation == CREATE
        self.sends.setdefault(run.run_id, [])

    @rule(operation=st.sampled_from([CREATE, PUT]), key=st.sampled_from([None, "a", "b"]), timeout=st.sampled_from([None, 30_000]))
    def start(self, operation: int, key: str | None, timeout: int | None) -> None:
        key = key and f"{key}{operation}{timeout}"
        ask = self.bench.ask(operation, mode="async", idempotency_key=key, timeout_ms=timeout)
        earlier, run, _prepared = self.do(self.bench.engine.start(ask))
        if key is not None:
            assert self.keys.setdefault(key, run.run_id) == run.run_id
        if earlier is None:
            self.accepted(run, operation)

    @rule(operation=st.sampled_from([CREATE, PUT]), answer=st.sampled_from(["fine", "refused", "cut"]))
    def run_sync(self, operation: int, answer: str) -> None:
        if operation == PUT and answer == "cut":
            return  # it would be tried again at once, in real time
        self.answer, self.at = answer, "sync"
        self.sends["sync"] = []
        done = self.do(self.bench.engine.run_sync(self.bench.ask(operation)))
        self.accepted(done.run, operation)
        self.sends[done.run.run_id] = self.sends.pop("sync")

    @rule(many=st.integers(1, 3), dies=st.booleans())
    def claim(self, many: int, dies: bool) -> None:
        owner = DEAD if dies else self.runtime.owner
        for run in self.do(self.runtime.queue.claim(owner, many, self.ms)):
            assert run.run_id not in self.under_way
            self.under_way[run.run_id] = run

    def of(self, *, dead: bool) -> list[Run]:
        return [run for run in self.under_way.values() if (run.owner == DEAD) is dead]

    @precondition(lambda self: self.of(dead=False))
    @rule(answer=st.sampled_from(ANSWERS), which=st.integers(0, 9))
    def attempt(self, answer: str, which: int) -> None:
        found = self.of(dead=False)
        run = found[which % len(found)]
        self.answer, self.at = answer, run.run_id
        del self.under_way[run.run_id]
        before = len(self.sends[run.run_id])
        self.do(self.bench.engine.run_once(run))
        self.records[run.run_id] = self.records.get(run.run_id, 0) + len(self.sends[run.run_id]) - before

    @precondition(lambda self: self.of(dead=True))
    @rule(which=st.integers(0, 9), left=st.booleans())
    def the_dead_sent(self, which: int, left: bool) -> None:
        """A process that dies marks what it is about to send, and sends or not."""
        found = self.of(dead=True)
        run = found[which % len(found)]
        if "died" in self.sends[run.run_id]:
            return
        if self.once[run.run_id]:
            try:
                self.do(self.runtime.repo.runs.mark_sending(run))
            except Stale:
                return  # it was asked to stop
        if left:
            if self.once[run.run_id]:
                self.noted.note(run.run_id)
            self.sends[run.run_id].append("died")

    @rule(left=st.booleans())
    def a_process_is_killed(self, left: bool) -> None:
        """All of it at once: what it claimed, marked, and sent or not; another one finds it dead."""
        self.claim(2, dies=True)
        self.statuses_move_along_the_edges_alone_and_the_end_is_the_end()
        for which in range(len(self.of(dead=True))):
            self.the_dead_sent(which, left=left)
        self.recover()

    @rule()
    def recover(self) -> None:
        """Another process finds who is dead."""
        self.do(self.runtime.queue.recover(self.ms))
        self.noted = self.note_anew()  # what there was is forgotten with the dead
        for run in self.of(dead=True):
            del self.under_way[run.run_id]

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        run_id = sorted(self.seen)[which % len(self.seen)]
        ended = self.seen[run_id] in FINAL
        try:
            run = self.do(self.bench.engine.ledger.cancel(self.bench.account, run_id))
        except Conflict:
            assert ended
        else:
            assert not ended
            assert run.cancel_at is not None

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0, 99))
    def replay(self, which: int) -> None:
        run_id = sorted(self.seen)[which % len(self.seen)]
        try:
            _earlier, run, _prepared = self.do(self.bench.engine.replay(self.bench.account, run_id))
        except Conflict:
            assert self.seen[run_id] not in FINAL
        else:
            assert self.seen[run_id] in FINAL
            assert run.run_id not in self.sends  # a fresh run; the old one stays as it is
            self.accepted(run, CREATE if self.once[run_id] else PUT)

    @rule(seconds=st.sampled_from([1, 60, 3_600]))
    def time_passes(self, seconds: int) -> None:
        self.ms += seconds * 1000

    @rule()
    def whose_time_is_over_is_ended(self) -> None:
        self.do(self.bench.engine.ledger.expire())
        for run_id in self.sends:
            run = self.do(self.runtime.repo.runs.get(self.bench.account, run_id))
            assert run.deadline_at is None or run.deadline_at > self.ms or run.status not in {"queued", "waiting"}

    @invariant()
    def statuses_move_along_the_edges_alone_and_the_end_is_the_end(self) -> None:
        for run_id in self.sends:
            run = self.do(self.runtime.repo.runs.get(self.bench.account, run_id))
            assert run is not None
            before = self.seen.get(run_id, "")
            assert run.status == before or run.status in STEPS.get(before, ()), (before, run.status)
            assert (run.finished_at is not None) == (run.status in FINAL)
            assert (run.owner is not None) == (run.status == RunStatus.RUNNING) or run.status in FINAL or run.status == RunStatus.WAITING
            self.seen[run_id] = run.status
        ((waiting,),) = self.do(self.runtime.repo.database.read("queue_depth"))
        assert waiting == sum(status in {"queued", "waiting"} for status in self.seen.values())
        usage = self.do(self.runtime.repo.runs.usage(self.bench.account, 0, 1 << 40, None))
        assert sum(row.runs for row in usage) == sum(status in FINAL for status in self.seen.values())

    @invariant()
    def what_may_not_be_repeated_is_not_sent_again(self) -> None:
        for run_id, sends in self.sends.items():
            if self.once[run_id]:
                assert set(sends[:-1]) <= HARMLESS, sends
                if self.seen[run_id] == RunStatus.SUCCEEDED:
                    assert sends[-1:] == ["fine"]
                if self.seen[run_id] == RunStatus.UNCERTAIN:
                    assert sends[-1] in {"cut", "broken", "died"}  # no doubt about what never left
                if self.seen[run_id] in {RunStatus.CANCELLED, RunStatus.FAILED}:
                    assert set(sends) <= {*HARMLESS, "refused"}, (self.seen[run_id], sends)

    @invariant()
    def every_attempt_that_sent_is_on_record(self) -> None:
        for run_id, count in self.records.items():
            if self.seen[run_id] in FINAL:
                run = self.do(self.runtime.repo.runs.get(self.bench.account, run_id))
                assert sum(len(each["exchanges"]) for each in self.do(self.bench.engine.ledger.attempts(run))) == count
                assert run.attempts >= (count > 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a machine is given up wherever it is
def test_whatever_happens_to_runs_in_whatever_order_their_life_keeps_its_rules():
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415  it is a test by itself otherwise

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=12, stateful_step_count=25, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        ),
    )
