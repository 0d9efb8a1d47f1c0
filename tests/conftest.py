"""What every test shares."""

import gc
import importlib
import itertools
import operator
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
import structlog
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from bounds import examples

for _name in [name for name in os.environ if name.startswith("POLYPORT_") and name not in {"POLYPORT_CORPUS", "POLYPORT_EXAMPLES"}]:
    del os.environ[_name]

# pytest-cov measures twice in a process of xdist, at its start and anew at that of the session; the first one would go on where the second rests (no_cover).
if "PYTEST_XDIST_WORKER" in os.environ and (_first := coverage.Coverage.current()) is not None:
    _first.stop()

# Where nothing else is configured, faults are logged with plain tracebacks: pictures of every frame with its values take seconds each.
_plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])


# A test that failed fails again: the same examples every time, unless more are asked for.
settings.register_profile(
    "tests", max_examples=examples(100), derandomize="POLYPORT_EXAMPLES" not in os.environ, deadline=None, database=None
)
settings.load_profile("tests")

# Files that take long are begun first: what is left for the end is short, and no process works on alone. A name that is missing or too many costs nothing.
_LONG = (
    "connectors/test_properties.py",
    "browser/test_connect_page.py",
    "browser/test_console.py",
    "e2e/test_crash.py",
    "browser/test_console_settings.py",
    "e2e/test_keys.py",
    "browser/test_sign_in.py",
    "connectors/test_imports.py",
    "e2e/test_fuzz.py",
    "browser/test_console_docs.py",
    "e2e/test_serve.py",
    "browser/test_console_tryit.py",
    "docs/test_how_to.py",
    "e2e/test_stops.py",
    "browser/test_console_tryit_needs.py",
    "docs/test_readme.py",
    "browser/test_console_overview.py",
    "docs/test_first_partner.py",
    "browser/test_console_connections.py",
    "e2e/test_token_renewal.py",
    "browser/test_console_runs.py",
    "e2e/test_cli.py",
    "e2e/test_canaries.py",
    "connectors/test_quality.py",
    "e2e/test_bench_peers.py",
    "connectors/test_cases.py",
    "e2e/test_cost.py",
    "e2e/test_demo.py",
    "e2e/test_event_deliveries.py",
    "e2e/test_console_users.py",
    "e2e/test_erasure.py",
    "docs/test_source.py",
    "e2e/test_batches.py",
    "unit/test_dialects.py",
    "unit/test_schemas.py",
    "unit/test_connector_commands.py",
    "unit/test_console_forms.py",
    "unit/test_send.py",
    "unit/test_simulator_partners.py",
)
# The tests of this one are long each, and mostly wait: every one goes to the process that is free, one between every two of the files above.
_APART = "e2e/test_drills.py"
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = [item.path.relative_to(_HERE).as_posix() for item in items]
    order = {name: 2 * place for place, name in enumerate(_LONG)}
    apart = (4 * place - 1 for place in itertools.count())
    places = [next(apart) if file == _APART else order.get(file, sys.maxsize) for file in files]
    items[:] = [item for _place, item in sorted(zip(places, items, strict=True), key=operator.itemgetter(0))]


class _ByFile(LoadFileScheduling):
    """A file's tests go to one process, one after the other, for what they share; those that are apart go each by itself."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return nodeid if file.endswith(_APART) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection(session: pytest.Session) -> Iterator[object]:
    """Where coverage is measured, read the measured modules first and let it rest meanwhile: to read the tests takes three times as long with it."""
    measured = coverage.Coverage.current()
    if measured is None or ("PYTEST_XDIST_WORKER" not in os.environ and session.config.option.numprocesses):
        return (yield)
    for name in measured.get_option("run:source"):
        module = importlib.import_module(name)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
            importlib.import_module(found.name)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()


def pytest_collection_finish() -> None:
    # What was imported and collected stays to the end: looking through it for garbage again and again takes a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # Said at once: a run that is cut off has named what failed in it.
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\nfailed in {report.when}: {report.nodeid}\n")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
