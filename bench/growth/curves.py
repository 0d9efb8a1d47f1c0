"""The curves. Each takes a folder of its own and the limits of how far to go, and gives its points."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import apsw

from bench.catalogue import copy_partners
from bench.growth.partner import FIELDS, MANY, ROWS, SIZED, TEXT, TOKEN, item, run_body, write_answers, write_partner
from bench.growth.served import CALLERS, Point, generating, measure_points, run_job, serving
from bench.measure import Plan, Subject, measure_drain
from bench.paging import build
from bench.processes import Cores, wait_until_idle
from bench.servers import Polyport, Stage, Upstream, open_stage, start_upstream

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
FIELD_COUNTS: Final = (10, 30, 100, 300, 1_000, 2_000)
ROW_COUNTS: Final = (1, 10, 100, 1_000, 10_000)
STORED: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
CONNECTIONS: Final = (1, 10, 100, 1_000, 10_000, 100_000)
PARTNERS: Final = (30, 100, 300, 1_000, 1_500)
WORKERS: Final = (1, 2, 4)
SPREAD: Final = 20_000  # bodies that are sent in turn, at most: more than a server keeps open
DATABASE: Final = "polyport.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how: ``most`` is the largest x, ``stored`` that of stored runs, ``seconds`` the length of a job."""

    folder: Path
    cores: Cores
    seconds: float
    most: float
    stored: float

    def upto(self, values: Sequence[int], most: float | None = None) -> list[int]:
        """The values that are not too large; the first two in any case."""
        return [value for index, value in enumerate(values) if index < 2 or value <= (most or self.most)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """``x`` says what grows, ``why`` why the curve is as it is; ``measure`` gives the points."""

    title: str
    x: str
    why: str
    measure: Callable[[Setting], list[Point]]


@contextlib.contextmanager
def _one_server(setting: Setting, fields: Sequence[int] = ()) -> Iterator[tuple[Polyport, Upstream]]:
    partners = write_partner(setting.folder, fields)
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, setting.folder, setting.cores.upstream)
        polyport, _seconds = stack.enter_context(serving(setting.folder, setting.cores.server, upstream.port, str(partners), "data"))
        yield polyport, upstream


def _of_operations(
    setting: Setting, told: Sequence[tuple[int, int, object]], answers: tuple[Sequence[int], Sequence[int]] | None = None
) -> list[Point]:
    """Points on one server: x, the operation, its input."""
    fields = [x for x, operation, _data in told if operation == FIELDS + x]
    with _one_server(setting, fields) as (polyport, upstream), generating(setting.folder, setting.cores) as generator:
        if answers is not None:
            write_answers(upstream.answers(), *answers)
        jobs = {
            float(x): run_job(polyport, operation, [run_body(polyport.connection, data)], setting.seconds) for x, operation, data in told
        }
        return measure_points(polyport, generator, jobs)


def _payload(setting: Setting) -> list[Point]:
    return _of_operations(setting, [(size, TEXT, {"text": "x" * size}) for size in setting.upto(SIZES)])


def _answer(setting: Setting) -> list[Point]:
    sizes = setting.upto(SIZES)
    return _of_operations(setting, [(size, SIZED, {"size": size}) for size in sizes], (sizes, ()))


def _fields(setting: Setting) -> list[Point]:
    told = [(count, FIELDS + count, {f"f{number}": f"value {number}" for number in range(count)}) for count in setting.upto(FIELD_COUNTS)]
    return _of_operations(setting, told)


def _rows(setting: Setting) -> list[Point]:
    return _of_operations(
        setting, [(count, ROWS, {"items": [item(number) for number in range(count)]}) for count in setting.upto(ROW_COUNTS)]
    )


def _rows_read(setting: Setting) -> list[Point]:
    counts = setting.upto(ROW_COUNTS)
    return _of_operations(setting, [(count, MANY, {"count": count}) for count in counts], ((), counts))


def _stored(setting: Setting) -> list[Point]:
    """One data folder for each number of runs: with its indexes built, the runs of the measurement come on top."""
    found: list[Point] = []
    partners = write_partner(setting.folder, ())
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, setting.folder, setting.cores.upstream)
        generator = stack.enter_context(generating(setting.folder, setting.cores))
        for count in setting.upto(STORED, setting.stored):
            data = f"data-{count}"
            with serving(setting.folder, setting.cores.server, upstream.port, str(partners), data):
                pass
            build(setting.folder / data / DATABASE, count, fresh=False)
            with serving(setting.folder, setting.cores.server, upstream.port, str(partners), data) as (polyport, _seconds):
                job = run_job(polyport, TEXT, [run_body(polyport.connection, {"text": "x" * 500})], setting.seconds)
                found += measure_points(polyport, generator, {float(count): job})
            for file in (setting.folder / data).glob(f"{DATABASE}*"):
                file.unlink()
    return found


def _connections(setting: Setting) -> list[Point]:
    found: list[Point] = []
    partners = write_partner(setting.folder, ())
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, setting.folder, setting.cores.upstream)
        generator = stack.enter_context(generating(setting.folder, setting.cores))
        for count in setting.upto(CONNECTIONS):
            with serving(setting.folder, setting.cores.server, upstream.port, str(partners), "data"):
                pass
            numbers = add_connections(setting.folder / "data", count)
            random.Random(1).shuffle(numbers)  # noqa: S311  it says which are asked for, it protects nothing
            with serving(setting.folder, setting.cores.server, upstream.port, str(partners), "data") as (polyport, _seconds):
                bodies = [run_body(number, {"text": "x" * 500}) for number in numbers[:SPREAD]]
                found += measure_points(polyport, generator, {float(count): run_job(polyport, TEXT, bodies, setting.seconds)})
    return found


def add_connections(data: Path, count: int) -> list[int]:
    """Copies of the first connection, each sealed with a key of its own, until there are so many; their numbers."""
    from polyport.connections import ConnectionBook, scope_of  # noqa: PLC0415  only this needs the program's own parts
    from polyport.keyfile import KeyFile  # noqa: PLC0415  as above
    from polyport.vault import Vault  # noqa: PLC0415  as above

    vault = Vault(KeyFile(data).read())
    book = ConnectionBook(None, vault)  # type: ignore[arg-type]  # it seals, and reads nothing
    database = apsw.Connection(str(data / DATABASE))
    with contextlib.closing(database), database:
        names = [row[1] for row in database.execute("PRAGMA table_info(connections)")]
        row: Any = database.execute("SELECT * FROM connections ORDER BY connection_id LIMIT 1").fetchone()
        first = dict(zip(names, row, strict=True))
        account = int(first["account_id"])
        numbers = [int(row[0]) for row in database.execute("SELECT connection_id FROM connections ORDER BY connection_id")]
        statement = f"INSERT INTO connections VALUES ({', '.join('?' * len(names))})"  # noqa: S608  only question marks
        for number in range(numbers[-1] + 1, numbers[-1] + 1 + count - len(numbers)):
            key = book.new_key(account, number)
            made = first | {"connection_id": number, "data_key": key, "sealed": book.seal(account, number, key, {"token": TOKEN})}
            database.execute(statement, [made[name] for name in names])
            vault.forget(scope_of(account, number))
            numbers.append(number)
    return numbers[:count]


def _partners(setting: Setting) -> list[Point]:
    """Runs of the same operation with a catalogue of copies of bundled partners around it."""
    found: list[Point] = []
    own = write_partner(setting.folder, ())
    with contextlib.ExitStack() as stack:
        upstream = start_upstream(stack, setting.folder, setting.cores.upstream)
        generator = stack.enter_context(generating(setting.folder, setting.cores))
        for count in setting.upto(PARTNERS):
            copies = setting.folder / f"copies-{count}"
            copies.mkdir()
            copy_partners(copies, count - 1)
            with serving(setting.folder, setting.cores.server, upstream.port, f"{own},{copies}", f"data-{count}") as (polyport, _seconds):
                job = run_job(polyport, TEXT, [run_body(polyport.connection, {"text": "x" * 500})], setting.seconds)
                found += measure_points(polyport, generator, {float(count): job})
    return found


def _workers(setting: Setting) -> list[Point]:
    """On the server's core: what sharing the work costs."""
    return _processes(setting, spread=False)


def _workers_spread(setting: Setting) -> list[Point]:
    """On all cores, which callers and partner need too: what a second process brings."""
    return _processes(setting, spread=True)


def _processes(setting: Setting, *, spread: bool) -> list[Point]:
    """Asynchronous runs with several processes on one data folder."""
    found: list[Point] = []
    for count in setting.upto(WORKERS):
        home = setting.folder / f"workers-{count}"
        home.mkdir()
        partners = write_partner(home, ())
        with open_stage(home, setting.cores) as stage:
            upstream = stage.upstream.port
            with serving(home, setting.cores.server, upstream, str(partners), "many", workers=count) as (polyport, _seconds):
                if spread:
                    polyport.served.process.spread()
                found.append(_drained(replace(stage, polyport=polyport), setting, count))
    return found


def _drained(stage: Stage, setting: Setting, count: int) -> Point:
    polyport = stage.polyport
    body = run_body(polyport.connection, {"text": "x" * 500})
    path = f"/partners/trigger-actions/{TEXT}/run/async"
    process = polyport.served.process
    subject = Subject(name="async", port=polyport.served.port, path=path, body=body, expect=202, process=process, token=polyport.token)
    plan, drains = Plan(seconds=setting.seconds, warmup=0.0, rounds=1), []
    for _round in range(4):
        wait_until_idle(process)
        drains.append(measure_drain(stage, subject, CALLERS, plan, 1.0))
    middle = sorted(drains[1:], key=lambda drain: drain.cpu_us)[1]
    return Point(
        x=count, rate=middle.finished, p50=middle.p50, p99=middle.p99, cpu_us=middle.cpu_us, mb=process.memory()[0], others=middle.others
    )


CURVES: Final[dict[str, Curve]] = {
    "payload": Curve(
        title="Size of what is sent",
        x="bytes of one text field",
        why="Each byte is read, checked, sent, sealed and written to the disk once: linear from where bytes outweigh the run itself.",
        measure=_payload,
    ),
    "answer": Curve(
        title="Size of what the partner answers",
        x="bytes of one text field of the answer",
        why="Each byte is read, kept in the record, sealed, written and given back: linear from where bytes outweigh the run itself.",
        measure=_answer,
    ),
    "fields": Curve(
        title="Fields of an action",
        x="fields, all given",
        why="Each field is checked by its own compiled check and put in its place: linear; the schema is compiled once.",
        measure=_fields,
    ),
    "rows": Curve(
        title="Rows that are sent",
        x="rows of three fields",
        why="Each row is checked and put in its place: linear.",
        measure=_rows,
    ),
    "rows-read": Curve(
        title="Rows that are read",
        x="rows of three fields in the answer",
        why="Each row is read into the result: linear.",
        measure=_rows_read,
    ),
    "stored": Curve(
        title="Runs that are stored",
        x="runs in the database",
        why="A run looks for nothing among the others; what is written goes into trees whose height grows with the logarithm.",
        measure=_stored,
    ),
    "connections": Curve(
        title="Connections",
        x="connections, used in turn",
        why="A connection is found by its number and kept open for a minute; with more than are kept, each run opens its own, which is the step in the curve.",
        measure=_connections,
    ),
    "partners": Curve(
        title="Partners in the catalogue",
        x="partners",
        why="The catalogue is an index on the disk; an operation is loaded when it is used, and stays.",
        measure=_partners,
    ),
    "workers": Curve(
        title="Processes on one data folder (asynchronous runs, on one core)",
        x="processes",
        why="Processes claim from the same queue; the cost of a run grows by what they tell each other.",
        measure=_workers,
    ),
    "workers-spread": Curve(
        title="Processes on one data folder (asynchronous runs, on all cores)",
        x="processes",
        why="As above, with room to run side by side; on a machine of few cores callers and partner take their share of it.",
        measure=_workers_spread,
    ),
}
