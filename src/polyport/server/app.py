"""The HTTP application: every resource's endpoints, one thin layer in front, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from re import Pattern
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from polyport import __version__
from polyport.audit import AuditLog
from polyport.deliveries import Courier
from polyport.engine.clock import LOOK_SECONDS as CLOCK_SECONDS
from polyport.engine.clock import ClockWatch
from polyport.engine.connect import renew_due
from polyport.engine.desk import Desk
from polyport.engine.erasure import erase_users, scrub
from polyport.engine.health import HEALTH_SECONDS, Health
from polyport.engine.links import Reconnects
from polyport.engine.reconcile import LOOK_SECONDS, Reconciler
from polyport.engine.rereading import DATA_SECONDS, Rereader
from polyport.engine.retention import SWEEP_SECONDS, Retention
from polyport.engine.run import Engine
from polyport.engine.sums import SUM_SECONDS, RunSummer
from polyport.importers.working import LOOK_SECONDS as IMPORTS_SECONDS
from polyport.importers.working import ImportWorker
from polyport.master_keys import FOLLOW_SECONDS
from polyport.runtime import Runtime
from polyport.server import (
    account,
    allowed,
    apps,
    audit_log,
    batches,
    cases,
    connection_history,
    console_users,
    credentials,
    end_users,
    endpoints,
    events,
    evidence,
    files,
    imports,
    links,
    operations,
    overview,
    partners,
    private_partners,
    proxy,
    run_events,
    run_input,
    run_reads,
    runs,
    sign_ins,
    system,
    usage,
    users,
)
from polyport.server.access import Access
from polyport.server.connect import pages
from polyport.server.console.pages import SCREENS
from polyport.server.metrics import RequestMetrics, StoreMetrics, count_deliveries, watch_breakers
from polyport.server.origins import Origins
from polyport.server.problems import error_of_status, problem_response
from polyport.server.rates import RateLimits
from polyport.server.routing import Endpoint, Services, Standing, bind, bind_preflight, new_request_id
from polyport.server.streams import Streams
from polyport.store.base import StoreFault
from polyport.worker import TIDY_SECONDS, Chore, Worker

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *users.ENDPOINTS,
    *sign_ins.ENDPOINTS,
    *account.ENDPOINTS,
    *allowed.ENDPOINTS,
    *console_users.ENDPOINTS,
    *audit_log.ENDPOINTS,
    *end_users.ENDPOINTS,
    *partners.ENDPOINTS,
    *evidence.ENDPOINTS,
    *imports.ENDPOINTS,
    *private_partners.ENDPOINTS,
    *credentials.ENDPOINTS,
    *connection_history.ENDPOINTS,
    *links.ENDPOINTS,
    *apps.ENDPOINTS,
    *operations.ENDPOINTS,
    *runs.ENDPOINTS,
    *endpoints.ENDPOINTS,
    *events.ENDPOINTS,
    *batches.ENDPOINTS,
    *proxy.ENDPOINTS,
    *run_reads.ENDPOINTS,
    *run_input.ENDPOINTS,
    *cases.ENDPOINTS,
    *run_events.ENDPOINTS,
    *usage.ENDPOINTS,
    *overview.ENDPOINTS,
    *files.ENDPOINTS,
    *system.ENDPOINTS,
)


RENEW_SECONDS: Final = 15.0
ERASE_SECONDS: Final = 1.0
SCRUB_SECONDS: Final = 5.0
STOPS_SECONDS: Final = 0.25
DEADLINES_SECONDS: Final = 1.0
_log: Final = structlog.get_logger("polyport.serve")
REFRESHES: Final = 2  # one at work, one that waits
_RUNS: Final = ("/run/sync", "/run/async")
_OPERATORS: Final = frozenset({"console", "metrics", "readyz", "healthz"})
# Paths of runs that are known at once: so many, of at most so many characters. Whoever makes up others makes it look at them anew.
PATHS_MOST: Final = 1024
PATH_LONGEST: Final = 100
Handle = Callable[[HttpRequest], Awaitable[Response]]


class Front:
    """What stands before the routes: a slash too many at either end of a path is accepted everywhere, and runs, most of the work, take no way round.

    ``direct`` routes, of which no two end alike, are answered right here. The layers of the framework that they pass by turn exceptions into answers, and a bound handler lets none
    out of itself.
    """

    def __init__(self, app: ASGIApp, direct: Sequence[Route] = ()) -> None:
        self._app = app
        self._direct: dict[str, tuple[Pattern[str], Handle]] = {_end(route.path): (route.path_regex, route.endpoint) for route in direct}
        self._known: dict[str, tuple[Handle, dict[str, str]]] = {}  # whose paths were met before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, its path without a slash at the end, and with one at the beginning where an address that ends with a slash was put before it."""
        if scope["type"] == "http":
            path = scope["path"]
            if len(path) > 1 and (path.endswith("/") or path.startswith("//")):
                scope = {**scope, "path": (path := _plain(path))}
            if scope["method"] == "POST" and (direct := self._known.get(path) or self._find(path)) is not None:
                handle, scope["path_params"] = direct
                response = await handle(HttpRequest(scope, receive, send))
                # The connection's own, where nothing stands between.
                answer = getattr(getattr(send, "__self__", None), "answer", None)
                if answer is None or not answer(response.status_code, response.raw_headers, response.body):
                    await response(scope, receive, send)
                return None
        return await self._app(scope, receive, send)

    def _find(self, path: str) -> tuple[Handle, dict[str, str]] | None:
        """What answers a path directly, and the parameters in it."""
        direct = self._direct.get(_end(path))
        found = direct[0].match(path) if direct is not None else None
        if direct is None or found is None:
            return None
        answered = direct[1], found.groupdict()
        if len(path) <= PATH_LONGEST:
            if len(self._known) >= PATHS_MOST:
                self._known.clear()
            self._known[path] = answered
        return answered


def _plain(path: str) -> str:
    """The path without slashes at its end, and with one at its beginning: two where it is the operator's, since rules of a proxy go by how a path begins."""
    plain = "/" + path.strip("/")
    return "/" + plain if path.startswith("//") and plain.partition("/")[2].partition("/")[0] in _OPERATORS else plain


def _end(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def _rank(endpoint: Endpoint) -> tuple[bool, int, int]:
    """The order in which routes are tried: fixed paths before those with parameters, last those that take whatever follows, the longest of them first."""
    path = endpoint.path
    return (":path}" in path, path.count("{"), -path.count("/") if ":path}" in path else 0)


def _allowed(routes: Sequence[Route], scope: Scope) -> str:
    """The methods of a path, whichever of its routes has them; the router itself knows only those of the first."""
    matching = (route.methods or set() for route in routes if route.matches(scope)[0] is not Match.NONE)
    return ", ".join(sorted(set().union(*matching)))


def build_services(runtime: Runtime) -> Services:
    """The services of a process: engine, access, metrics."""
    registry = CollectorRegistry()
    Gauge("polyport_info", "The version that runs.", ["version"], registry=registry).labels(__version__).set(1)
    watch_breakers(runtime.breakers, registry)
    engine = Engine(Desk(runtime))
    return Services(
        engine=engine,
        access=Access(runtime),
        rates=RateLimits(runtime),
        standing=Standing(),
        reconnects=Reconnects(runtime),
        streams=Streams(runtime),
        rereader=Rereader(engine.desk),
        audit=AuditLog(runtime.repo.audit, runtime.now_ms),
        endpoints={(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS},
        registry=registry,
        store_metrics=StoreMetrics(runtime, registry),
        deliveries=count_deliveries(registry),
        requests=RequestMetrics(registry),
    )


def build_app(services: Services) -> ASGIApp:
    """The application over open services."""
    system.describe_from(ENDPOINTS)

    async def refuse(request: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        request_id = new_request_id()
        response = problem_response(error_of_status(status), request_id, request.headers.get("accept", ""), request.url.path)
        if status == 405:
            response.headers["Allow"] = _allowed(routes, request.scope)
        response.headers["X-Request-Id"] = request_id
        return response

    handlers: dict[Any, Any] = {HTTPException: refuse}
    screens = [screen.endpoint for screen in SCREENS] if services.engine.runtime.settings.console.enabled else []
    bound = sorted((*ENDPOINTS, *pages.PAGES, *screens), key=_rank)
    taken = frozenset(endpoint.path for endpoint in bound if "{" not in endpoint.path)
    routes = [bind(endpoint, services, taken) for endpoint in bound]
    if services.engine.runtime.settings.catalog.public:
        routes += [bind_preflight(endpoint) for endpoint in ENDPOINTS if endpoint.public_catalog]
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    front = Front(app, [route for route in routes if route.path.endswith(_RUNS)])
    origins = services.engine.runtime.settings.http.origins
    return Origins(front, origins) if origins else front


def chores(services: Services) -> tuple[Chore, ...]:
    """The work that this process does again and again beside its runs."""
    desk = services.engine.desk
    watch = Chore(name="health", seconds=HEALTH_SECONDS, work=Health(desk).check_due)
    return (
        Chore(name="clock", seconds=CLOCK_SECONDS, work=ClockWatch(desk.runtime).look),
        Chore(name="keys", seconds=FOLLOW_SECONDS, work=desk.runtime.keys.follow),
        Chore(name="renew", seconds=RENEW_SECONDS, work=lambda: renew_due(desk)),
        Chore(name="erase", seconds=ERASE_SECONDS, work=lambda: erase_users(desk)),
        Chore(name="scrub", seconds=SCRUB_SECONDS, work=lambda: scrub(desk)),
        Chore(name="retention", seconds=SWEEP_SECONDS, work=Retention(desk.runtime).sweep),
        Chore(name="sums", seconds=SUM_SECONDS, work=RunSummer(desk.runtime).work),
        Chore(name="reconcile", seconds=LOOK_SECONDS, work=Reconciler(services.engine).sweep),
        Chore(name="deadlines", seconds=DEADLINES_SECONDS, work=services.engine.ledger.expire),
        Chore(name="stops", seconds=STOPS_SECONDS, work=services.engine.look_for_stops),
        Chore(name="imports", seconds=IMPORTS_SECONDS, work=ImportWorker(desk.runtime).work),
        Chore(name="reread", seconds=DATA_SECONDS, work=services.rereader.work),
        *((watch,) if desk.runtime.settings.health.check_every else ()),
    )


async def _refresh(runtime: Runtime) -> None:
    """Take up what another process changed in the catalogue."""
    try:
        await runtime.catalog.refresh()
    except StoreFault as fault:
        _log.warning("the catalogue cannot be refreshed now", reason=str(fault))


@contextlib.asynccontextmanager
async def serving(runtime: Runtime, services: Services | None = None) -> AsyncIterator[ASGIApp]:
    """The application with its worker at work; on the way out, what is under way gets the grace time.

    ``services`` are those of ``build_services``, for who wants to hold them as well.
    """
    services = services or build_services(runtime)

    refreshing: set[asyncio.Task[None]] = set()

    def forget() -> None:
        services.engine.desk.forget()
        services.access.forget()
        runtime.vault.forget("account")  # keys of connections that another process deleted
        runtime.events.forget()
        runtime.catalog.forget()
        if len(refreshing) < REFRESHES:  # one that waits sees what is new by then
            refreshing.add(refresh := asyncio.create_task(_refresh(runtime)))
            refresh.add_done_callback(refreshing.discard)

    courier = Courier(runtime, services.reconnects, lambda kind, outcome: services.deliveries.labels(kind, outcome).inc())
    worker = Worker(services.engine, forget, (*chores(services), Chore(name="tidy-events", seconds=TIDY_SECONDS, work=courier.tidy)))
    services.standing.told = worker.retire  # what it claimed after that might not end in time
    await worker.start()
    courier.start()
    try:
        yield build_app(services)
    finally:
        left = partial(services.standing.left, runtime.settings.http.grace)
        await asyncio.gather(worker.stop(left()), courier.stop(left()))
        services.rereader.close()
        await asyncio.gather(*refreshing)
        await services.engine.drain(left())
