"""Endpoints: one table from which both the routes and the API description are made.

An endpoint says its method, path, scope, body, query and answer; ``bind`` wraps its handler once: authenticate, check the scope, read the body, answer or
answer the error. Nothing a handler raises reaches the client but the error tree.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from polyport.audit import AuditLog, Target, name_of
from polyport.engine.links import Reconnects
from polyport.engine.rereading import Rereader
from polyport.engine.run import Engine
from polyport.errors import ConnectionInvalid, Fault, Forbidden, InternalError, NotFound, Overloaded, PolyportError, ValidationFailed
from polyport.paths import format_path
from polyport.server.access import Access, Principal
from polyport.server.answers import NO_STORE, Stream, Streamed, Whole, entity_tag, is_current
from polyport.server.metrics import RequestMetrics, StoreMetrics
from polyport.server.places import route_of
from polyport.server.problems import problem_response
from polyport.server.rates import Headers, RateLimits
from polyport.server.streams import Streams
from polyport.server.wire import FAULTS_MOST, FORM, encode, parse_json, read_body, success
from polyport.settings import Settings
from polyport.store.base import StoreFault, StoreUnavailable
from polyport.store.reach import limit_reach

B = TypeVar("B", bound=BaseModel)
_log: Final = structlog.get_logger("polyport.server")
STRANGERS_LIMIT: Final = 64 * 1024  # bytes that are read from who has shown no token yet
UNCUT: Final = "polyport.uncut"  # stands in the scope of a request whose task nobody cancels
UNCUT_PATHS: Final = ("/run/sync", "/run/sync/")  # the ends of those paths whose requests are worth it
_JSON: Final = "application/json"
_REVALIDATED: Final = {"Cache-Control": "no-cache"}
# What lets a page of any origin read an open endpoint, and what it is told when it asks first.
OPENED: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag, X-Request-Id"}
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-None-Match",
    "Access-Control-Max-Age": "86400",
}


class Body(BaseModel):
    """A request body: camelCase on the wire, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=False, defer_build=True)


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit log tells of an answer beside its path and its status: the ``status`` of what was found out, the ``part`` of a thing that was changed."""

    status: int | None = None
    part: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gives: ``data`` in the envelope (with ``meta``), or a whole ``body``, or ``content`` of another media type, or a ``stream``.

    ``etag``: whether the answer is revalidated by a tag that is made from it, or the tag itself. ``noted`` is for the audit log.
    """

    data: Any = None
    meta: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: Any = None
    content: bytes | None = None
    stream: Stream | None = None
    media_type: str = "application/json"
    etag: bool | str = False
    noted: Noted = Noted()


@dataclass(slots=True)
class Standing:
    """Where a process stands: ``stopping`` once it was asked to. ``told`` is called then."""

    stopping: bool = False
    told: Callable[[], None] | None = None
    _until: float = 0.0

    def stop(self, seconds: float) -> None:
        """It was asked to stop, and has so many seconds to end what is under way."""
        if self.stopping:
            return
        self.stopping, self._until = True, time.monotonic() + seconds
        if self.told is not None:
            self.told()

    def left(self, grace: float) -> float:
        """How many seconds are left for what is under way: one time for all of it. Who was not asked has the whole ``grace`` time."""
        return max(0.0, self._until - time.monotonic()) if self.stopping else grace


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every handler works with. ``endpoints`` are those of the API by method and path."""

    engine: Engine
    access: Access
    rates: RateLimits
    standing: Standing
    reconnects: Reconnects
    streams: Streams
    rereader: Rereader
    audit: AuditLog
    endpoints: Mapping[tuple[str, str], Endpoint]
    registry: CollectorRegistry
    store_metrics: StoreMetrics
    deliveries: Counter
    requests: RequestMetrics


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way through a handler. ``run_id`` is the run that came of it, which errors name too.

    ``within``: it is a page of this server that asks, and reads the answer before it becomes JSON. ``thing`` is what that is called which it is about, and
    ``change`` what became of it, for the audit log.
    """

    http: HttpRequest
    services: Services
    request_id: str
    caller: Principal | None = None
    content: bytes = b""
    run_id: str | None = None
    within: bool = False
    thing: str = ""
    change: str = ""

    @property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self.services.engine

    @property
    def principal(self) -> Principal:
        """Who is calling; only endpoints without a scope may have nobody."""
        if self.caller is None:
            raise InternalError
        return self.caller

    @property
    def uncut(self) -> bool:
        """Whether nobody cancels the task of this call, also when its client goes away."""
        return UNCUT in self.http.scope

    @property
    def address(self) -> str:
        """The client's address."""
        return self.http.client.host if self.http.client is not None else "unknown"

    def id(self, name: str) -> int:
        """A number of the path. Raises ``NotFound`` for anything else: such a thing does not exist."""
        text = str(self.http.path_params[name])
        if not text.isascii() or not text.isdecimal() or len(text) > 16:
            raise NotFound
        return int(text)

    def text(self, name: str) -> str:
        """A text of the path."""
        return str(self.http.path_params[name])

    def json(self) -> Any:
        """The JSON of the body; an object is expected nearly everywhere, and an empty body is an empty one."""
        if not self.content.strip():
            return {}
        found = parse_json(self.content, self.engine.runtime.settings.http.depth_limit)
        if faults := own_faults(found, self.caller):
            raise ValidationFailed.of(*faults)
        return found

    def body(self, model: type[B]) -> B:
        """The body as a model; what an end user makes is that user's. Raises ``ValidationFailed`` with every fault."""
        found = read_model(model, self.json())
        if self.http.method == "POST" and "external_user_id" in model.model_fields:
            return found.model_copy(update={"external_user_id": self.owner(vars(found)["external_user_id"])})
        return found

    def owner(self, told: str | None) -> str | None:
        """Whose that is which this call makes: the end user's who calls, else whoever the body told."""
        return told if self.caller is None or self.caller.external_user_id is None else self.caller.external_user_id


def read_model(model: type[B], value: Any) -> B:
    """A JSON value as a model. Raises ``ValidationFailed`` with every fault; no value is repeated in it."""
    if not isinstance(value, dict):
        raise ValidationFailed.of(Fault(path="", code="wrong_type", message="The body has to be a JSON object."))
    if len(value) > FAULTS_MOST:
        raise ValidationFailed.of(Fault(path="", code="too_long", message=f"The body has more than {FAULTS_MOST} keys."))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_fault(fault) for fault in error.errors(include_url=False, include_input=False, include_context=False)]
        raise ValidationFailed.of(*faults) from None


def own_faults(body: Any, caller: Principal | None) -> list[Fault]:
    """What an end user must not say in a body: somebody else's name, or an address that is to be told of events; both are the account's."""
    user = caller.external_user_id if caller is not None else None
    if user is None or not isinstance(body, dict):
        return []
    faults: list[Fault] = []
    if body.get("externalUserId", user) != user:
        message = "This token is of one end user: leave externalUserId out, or name that user."
        faults.append(Fault(path="externalUserId", code="not_allowed", message=message))
    if body.get("callbackUrl") is not None:
        message = "Events go where the account wants them: the token of an end user takes no callbackUrl."
        faults.append(Fault(path="callbackUrl", code="not_allowed", message=message))
    return faults


def _fault(fault: Mapping[str, Any]) -> Fault:
    kind = str(fault["type"])
    path = format_path([part for part in fault["loc"] if not str(part).startswith("function-")])
    if kind == "extra_forbidden":
        return Fault(path=path, code="unknown_field", message="There is no such field here.")
    if kind == "missing":
        return Fault(path=path, code="required", message="This field is needed.")
    code = "wrong_type" if kind.endswith(("_type", "_parsing", "_attributes_type")) else kind
    return Fault(path=path, code=code, message=f"{str(fault['msg']).removeprefix('Value error, ')}.")


Handler = Callable[[Call], Awaitable[Answer]]
_OF_USERS: Final = frozenset({"/user/logout", "/user/logout-everywhere", "/user/password", "/user/sessions/{id}"})
_TAKES_AWAY: Final = frozenset({"/audit/export"})
_MADE: Final = ("credentialId", "id", "endpointId", "appId")  # what names a thing that was made


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A query or header parameter, for the description."""

    name: str
    description: str
    where: str = "query"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


CURSOR: Final = Param(name="cursor", description="Instead of page: * for the first page, then meta.nextCursor of the one before.")

LEAFED: Final = (
    Param(
        name="cursor",
        description="* for a first page of per-page items, then meta.nextCursor of the one before; without it the whole list comes.",
    ),
    Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path. ``scope`` is what a token needs: ``""`` any token, ``None`` no token at all.

    ``answer`` is the model of ``data``; ``many`` says that it is a list; ``tagged`` that it has an entity tag, by which callers learn that nothing has
    changed; ``media`` is the type of an answer that is bytes alone; ``also`` are other successes, by status, with the model of their ``data`` (``None``: no
    body). A page for people takes a
    form of so many bytes (``form_limit``, a number or what finds it out) in place of JSON, and shows its errors as pages (``show_error``, which gives ``None`` for those that are answered
    as everywhere; ``before_error`` finds what such a page needs to know). ``body_limit`` gives the largest body where that is another than everywhere;
    with ``reads_itself`` the handler reads it.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    summary: str
    scope: str | None = ""
    description: str = ""
    body: type[BaseModel] | None = None
    query: tuple[Param, ...] = ()
    answer: type[BaseModel] | None = None
    many: bool = False
    tagged: bool = False
    status: int = 200
    also: tuple[tuple[int, type[BaseModel] | None], ...] = ()
    errors: tuple[str, ...] = ()
    public_catalog: bool = False
    raw: bool = False
    media: str | None = None
    form_limit: int | Callable[[Call], Awaitable[int]] | None = None
    body_limit: Callable[[Settings], int] | None = None
    reads_itself: bool = False
    show_error: Callable[[Call, PolyportError], Answer | None] | None = None
    before_error: Callable[[Call], Awaitable[None]] | None = None

    @property
    def audited(self) -> bool:
        """Whether the audit log tells of it: what changes an account or its connections, not the runs; and who takes the log itself away."""
        return self.path in _TAKES_AWAY or (
            self.method != "GET" and (self.scope in {"admin", "connections:write"} or self.path in _OF_USERS)
        )

    @property
    def shown_path(self) -> str:
        """The path as it is described: a parameter may hold slashes, its name does not say so."""
        return self.path.replace(":path}", "}")


def bind(endpoint: Endpoint, services: Services, taken: Collection[str] = ()) -> Route:
    """The route of an endpoint; ``taken`` are the paths without parameters that there are."""
    settings = services.engine.runtime.settings
    opened = endpoint.public_catalog and settings.catalog.public
    limit = _body_limit(endpoint, settings)
    reads_body = endpoint.method in {"POST", "PUT", "PATCH", "DELETE"} and not endpoint.reads_itself
    answered = services.requests.of(endpoint.method, endpoint.path)
    work = partial(_noted, endpoint) if endpoint.audited else endpoint.handler

    async def handle(http: HttpRequest) -> Response:
        started = time.perf_counter()
        counted: Headers = ()
        call = Call(http=http, services=services, request_id=new_request_id())
        limit_reach(None)  # said for every call: one that follows another on its wire may begin in the context of that
        try:
            if endpoint.scope is not None and not (opened and "authorization" not in http.headers):
                call.caller = caller = services.access.known(http) or await services.access.authenticate(http)
                limit_reach(caller.external_user_id)
                counted = await services.rates.count(caller.account_id) if services.rates.limited else ()
                check_scope(caller, endpoint.scope)
            if endpoint.form_limit is not None:
                most = endpoint.form_limit
                call.content = await read_body(http, most if isinstance(most, int) else await most(call), FORM)
            elif reads_body:
                call.content = await read_body(http, limit)
                if endpoint.body is None:
                    call.body(Body)
            response = _response(await work(call), http)
        except PolyportError as error:
            response = await _refused(error, call, endpoint)
        except StoreUnavailable as fault:
            _log.error("the store cannot be used", request_id=call.request_id, reason=str(fault))
            response = _failed(Overloaded("This server cannot use its records now: nothing was accepted."), call, endpoint)
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception:  # noqa: BLE001  the outermost edge: everything goes to the log, nothing to the client
            _log.exception("a request failed", request_id=call.request_id, method=endpoint.method, route=endpoint.path)
            response = _failed(InternalError(), call, endpoint)
        response.raw_headers.append((b"x-request-id", call.request_id.encode()))
        response.raw_headers.extend(counted)
        if opened:
            response.headers.update(OPENED)
        answered.note(response.status_code, time.perf_counter() - started)
        return response

    return route_of(endpoint.path, endpoint.method, handle, taken)


async def _noted(endpoint: Endpoint, call: Call) -> Answer:
    answer = await endpoint.handler(call)
    await note(call, endpoint, answer)
    return answer


async def _refused(error: PolyportError, call: Call, endpoint: Endpoint) -> Response:
    if endpoint.audited and isinstance(error, Forbidden):
        await note(call, endpoint, None)
    if endpoint.before_error is not None:
        await endpoint.before_error(call)
    return _failed(await reconnectable(error, call), call, endpoint)


async def note(call: Call, endpoint: Endpoint, answer: Answer | None, via: str = "api") -> None:
    """Write into the audit log who did this; without an answer it was forbidden. End users are the customer's: what they do is not in it.

    It is written after the deed and before the answer. Should that fail, the answer stays true: the log of the server says what could not be noted.
    """
    caller = call.caller
    if caller is None or caller.kind == "end_user":
        return
    target, told = call.http.url.path, answer.noted if answer is not None else Noted(status=Forbidden().status)
    if answer is not None and answer.status == 201 and isinstance(answer.data, dict):
        made = next((answer.data[name] for name in _MADE if answer.data.get(name) is not None), None)
        target += f"/{made}" if made is not None else ""
    try:
        await call.services.audit.note(
            caller.account_id,
            via=via,
            actor=await _actor(call, caller),
            action=f"{endpoint.method} {endpoint.path}" + (f" ({told.part})" if told.part else ""),
            target=Target(target, call.thing or name_of(endpoint.path, answer.data if answer is not None else None), call.change),
            status=told.status or (answer.status if answer is not None else 200),
            came=(call.address, call.request_id),
        )
    except StoreFault:
        _log.exception("the audit log could not be written", request_id=call.request_id, method=endpoint.method, path=target)


async def _actor(call: Call, caller: Principal) -> tuple[str, str]:
    """Who it was, as an id and as a name."""
    if caller.kind == "api_key":
        return f"key/{caller.token_id}", caller.name
    user = await call.engine.runtime.repo.accounts.user(caller.account_id, caller.user_id or 0)
    return f"user/{caller.user_id}", user.email if user is not None else ""


def _body_limit(endpoint: Endpoint, settings: Settings) -> int:
    if endpoint.body_limit is not None:
        return endpoint.body_limit(settings)
    return settings.http.body_limit if endpoint.scope is not None else min(STRANGERS_LIMIT, settings.http.body_limit)


def bind_preflight(endpoint: Endpoint) -> Route:
    """The route by which browsers ask whether a page of another origin may read an open endpoint."""

    async def handle(_http: HttpRequest) -> Response:
        return Response(status_code=204, headers=OPENED | PREFLIGHT | {"X-Request-Id": new_request_id()})

    return Route(endpoint.path, handle, methods=["OPTIONS"], name=f"OPTIONS {endpoint.path}")


_PROCESS: Final = secrets.token_hex(6)
_count = itertools.count(1)


def new_request_id() -> str:
    """An id that no other request has: that of the process, which is random, and a count. It protects nothing, so a count will do."""
    return f"req_{_PROCESS}{next(_count):08x}"


def check_scope(caller: Principal, scope: str) -> None:
    """Raise ``Forbidden`` when a token lacks what an endpoint needs; ``""`` needs nothing but a token."""
    if scope and not caller.may(scope):
        raise Forbidden(f"This token lacks the scope {scope}.")


async def reconnectable(error: PolyportError, call: Call) -> PolyportError:
    """The error with the address where the customer connects again, for who may give a connection new secrets."""
    connection_id = error.details.connection_id
    if not isinstance(error, ConnectionInvalid) or connection_id is None or call.caller is None or not call.caller.may("connections:write"):
        return error
    with contextlib.suppress(StoreFault, PolyportError):  # without the address the answer is still true
        url = await call.services.reconnects.url(call.caller.account_id, connection_id)
        error.details = replace(error.details, reconnect_url=url)
    return error


def _failed(error: PolyportError, call: Call, endpoint: Endpoint) -> Response:
    if endpoint.show_error is not None and (shown := endpoint.show_error(call, error)) is not None:
        return _response(shown, call.http)
    extra = {"runId": call.run_id} if call.run_id is not None else None
    return problem_response(error, call.request_id, call.http.headers.get("accept", ""), call.http.url.path, extra)


def _response(answer: Answer, http: HttpRequest) -> Response:
    if answer.stream is not None:
        return Streamed(answer.stream, answer.media_type, {**NO_STORE, **answer.headers})
    if isinstance(answer.etag, str) and is_current(http, answer.etag):
        return _unchanged(answer, answer.etag)
    if answer.content is not None:
        content = answer.content
    elif answer.body is not None:
        content = encode(answer.body)
    else:
        content = encode(success(answer.data, answer.meta, **answer.extra))
    if not answer.etag and answer.media_type == _JSON and 200 <= answer.status < 204:
        return Whole(content, answer.status, answer.headers)
    headers = {**(NO_STORE if not answer.etag else _REVALIDATED), **answer.headers}
    if answer.etag:
        tag = answer.etag if isinstance(answer.etag, str) else entity_tag(content)
        headers["ETag"] = tag
        if is_current(http, tag):
            return _unchanged(answer, tag)
    return Response(content, status_code=answer.status, media_type=answer.media_type, headers=headers)


def _unchanged(answer: Answer, tag: str) -> Response:
    return Response(status_code=304, headers={**_REVALIDATED, **answer.headers, "ETag": tag})
