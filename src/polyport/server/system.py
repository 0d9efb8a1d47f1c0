"""Health, metrics, and the API description with its page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from polyport import __version__
from polyport.errors import NotFound, Overloaded
from polyport.server.openapi import describe_api
from polyport.server.routing import Answer, Call, Endpoint
from polyport.store.base import StoreFault

PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_STATIC: Final = {"docs.css": "text/css; charset=utf-8"}


async def healthz(_call: Call) -> Answer:
    """GET /healthz."""
    return Answer(data={"status": "ok", "version": __version__})


async def readyz(call: Call) -> Answer:
    """GET /readyz."""
    if call.services.standing.stopping:
        raise Overloaded("This process is stopping: it accepts nothing that comes anew.")
    runtime = call.engine.runtime
    checks: dict[str, Any] = {}
    try:
        await runtime.repo.database.ready()
        checks["store"] = "ok"
        checks["queued"] = await runtime.queue.depth()
        checks["masterKeys"] = await runtime.keys.recent_census()
    except StoreFault as fault:
        raise Overloaded(f"The store cannot be used: {fault}") from None
    if runtime.keys.trouble is not None:
        checks["keyFile"] = runtime.keys.trouble
    checks["partners"] = runtime.catalog.count
    checks["leftOut"] = [str(problem) for problem in runtime.catalog.problems[:100]]
    return Answer(data={"status": "ok", "checks": checks})


async def metrics(call: Call) -> Answer:
    """GET /metrics."""
    await call.services.store_metrics.look()
    return Answer(content=generate_latest(call.services.registry), media_type=CONTENT_TYPE_LATEST)


async def openapi(call: Call) -> Answer:
    """GET /openapi.json."""
    return Answer(body=description(call.engine.runtime.settings.origin), etag=True)


async def docs(call: Call) -> Answer:
    """GET /docs."""
    origin = call.engine.runtime.settings.origin
    return Answer(content=_page(origin), media_type="text/html; charset=utf-8", headers=PAGE_HEADERS, etag=True)


async def static(call: Call) -> Answer:
    """GET /static/{name}."""
    name = call.text("name")
    if name not in _STATIC:
        raise NotFound
    content = files("polyport.server").joinpath("static", name).read_bytes()
    return Answer(content=content, media_type=_STATIC[name], headers={"X-Content-Type-Options": "nosniff"}, etag=True)


_described: list[Endpoint] = []


def describe_from(endpoints: Sequence[Endpoint]) -> None:
    """Tell which endpoints the description is made from; the table needs this module, so it cannot be imported here."""
    _described[:] = endpoints


@cache
def description(origin: str) -> dict[str, Any]:
    """The description of the API at an address."""
    return describe_api(_described, origin)


@cache
def _page(origin: str) -> bytes:
    from jinja2 import Environment, StrictUndefined, select_autoescape  # noqa: PLC0415  the server starts faster without it

    api = description(origin)
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    template = environment.from_string(files("polyport.server").joinpath("templates", "docs.html").read_text("utf-8"))
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append({"method": method.upper(), "path": path, **operation})
    return template.render(api=api, groups=groups, origin=origin, schemas=api["components"]["schemas"]).encode()


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/healthz", handler=healthz, tag="System", summary="Whether the process lives", scope=None),
    Endpoint(
        method="GET",
        path="/readyz",
        handler=readyz,
        tag="System",
        summary="Whether runs can be accepted: store and queue; how many data keys are under which master key",
        scope=None,
        errors=("overloaded",),
    ),
    Endpoint(method="GET", path="/metrics", handler=metrics, tag="System", summary="Prometheus metrics", scope=None, raw=True),
    Endpoint(method="GET", path="/openapi.json", handler=openapi, tag="System", summary="This description", scope=None, raw=True),
    Endpoint(method="GET", path="/docs", handler=docs, tag="System", summary="This description as a page", scope=None, raw=True),
    Endpoint(method="GET", path="/static/{name}", handler=static, tag="System", summary="Style sheets of the pages", scope=None, raw=True),
)
