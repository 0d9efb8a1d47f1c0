"""The API from within: a page asks the same endpoint that a client asks over HTTP, with the scopes of its role, and the audit log tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request as HttpRequest

from polyport.errors import Forbidden
from polyport.server.console.member import Member
from polyport.server.routing import Answer, Call, check_scope, note
from polyport.server.wire import FIRST_OF_EACH, encode

_KEPT: Final = frozenset({b"host", b"user-agent", b"last-event-id"})


async def ask(
    call: Call,
    member: Member | None,
    route: str,
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
    key: str | None = None,
    **ids: Any,
) -> Answer:
    """Ask an endpoint: ``route`` is its method and path, ``"GET /runs/{runId}"``, ``ids`` what stands in the path, ``key`` an idempotency key.

    Raises what the endpoint raises, ``Forbidden`` when the role lacks its scope. A query's empty values are left out. Without a member it is one that takes no token.
    """
    method, _, path = route.partition(" ")
    endpoint = call.services.endpoints[(method, path)]
    filled = path
    for name, value in ids.items():
        filled = filled.replace("{" + name + "}", str(value))
    given = {name: value for name, value in (query or {}).items() if value not in {None, ""}}
    headers = [pair for pair in call.http.scope["headers"] if pair[0] in _KEPT]
    if key is not None:
        headers.append((b"idempotency-key", key.encode("latin-1", "replace")))
    scope = {
        **call.http.scope,
        "method": method,
        "path": filled,
        "raw_path": filled.encode(),
        "query_string": urlencode(given).encode(),
        "path_params": {name: str(value) for name, value in ids.items()},
        "headers": headers,
        "state": {},
    }
    scope.pop(FIRST_OF_EACH, None)  # what was read of the page's own headers says nothing of these
    reads = method == "GET" or (endpoint.scope or "").endswith(":read")  # fields and lists are read with bodies
    changes = endpoint.audited or not reads
    content = b"" if body is None else encode(body)
    inner = Call(
        http=HttpRequest(scope),
        services=call.services,
        request_id=call.request_id,
        caller=member.principal if member is not None else None,
        content=content,
        within=True,
    )
    try:
        if endpoint.scope is not None:
            check_scope(inner.principal, endpoint.scope)
        answer = await endpoint.handler(inner)
    except Forbidden:
        if changes:
            await note(inner, endpoint, None, "console")
        raise
    finally:
        call.run_id = inner.run_id or call.run_id
    if changes:
        await note(inner, endpoint, answer, "console")
    return answer
