"""Field schemas and lists over HTTP: section 5 of the wire contract."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field

from polyport.engine.describe import describe, options, resolve
from polyport.engine.dialects import DIALECTS, tool_schema
from polyport.errors import Fault, ValidationFailed
from polyport.server.answers import entity_tag, is_current
from polyport.server.routing import Answer, Body, Call, Endpoint, Param
from polyport.server.wire import encode, id_filter, success

CREDENTIAL_EXAMPLE: Final = {"0": {"value": 12345}}
OPTIONS_PAGE: Final = 100


class InfoBody(Body):
    """For which connection, and what is filled in so far."""

    credential_data: dict[str, Any] | None = Field(default=None, examples=[CREDENTIAL_EXAMPLE])
    runner_data: dict[str, Any] | None = None


class OptionsBody(InfoBody):
    """Which list, and what to look for in it."""

    field: str = Field(min_length=1, max_length=500)
    query: str | None = Field(default=None, max_length=500)
    page: int = Field(default=1, ge=1, le=1_000_000)


class TriggerActionAnswer(Body):
    """The schema of an operation for a connection. ``triggerAction.dataUpdatedAt``: when the oldest of the lists and custom fields in it was read, in unix seconds."""

    trigger_action: dict[str, Any]


class OptionAnswer(Body):
    """One choice."""

    key: Any
    label: str


async def info(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/run/info.

    Its entity tag is a weak one: the time at which the lists were read is no part of what it stands for.
    """
    body = call.body(InfoBody)
    found = await resolve(call.engine.desk, call.principal.account_id, call.id("id"), body.credential_data, body.runner_data)
    tags, version = call.engine.desk.tags, found.version("info")
    tag = tags.get(version)
    if tag is not None and is_current(call.http, tag):
        return Answer(etag=tag)
    shown = describe(found)
    tag = tag or tags.keep(version, f"W/{entity_tag(encode(shown))}")
    if found.read_at is not None:
        shown["dataUpdatedAt"] = found.read_at // 1000
    return Answer(data={"triggerAction": shown}, extra={"triggerAction": shown}, etag=tag)


async def read_options(call: Call) -> Answer:
    """POST /partners/trigger-actions/{id}/options."""
    body = call.body(OptionsBody)
    found = await options(
        call.engine.desk,
        call.principal.account_id,
        call.id("id"),
        field=body.field,
        query=body.query,
        credential_data=body.credential_data,
        runner_data=body.runner_data,
    )
    start = (body.page - 1) * OPTIONS_PAGE
    pages = max(1, -(-len(found) // OPTIONS_PAGE))
    return Answer(data=found[start : start + OPTIONS_PAGE], meta={"page": body.page, "totalPages": pages, "totalItemsCount": len(found)})


async def read_schema(call: Call) -> Answer:
    """GET /partners/trigger-actions/{id}/schema."""
    query = call.http.query_params
    dialect = query.get("dialect", "json-schema")
    if dialect not in DIALECTS:
        raise ValidationFailed.of(Fault(path="dialect", code="unknown_option", message=f"The dialects are: {', '.join(DIALECTS)}."))
    connection_id = id_filter(query.get("credentialId"), "credentialId")
    credential_data: dict[str, Any] = {
        position[1]: {"value": value} for name, value in query.multi_items() if (position := _POSITION.fullmatch(name))
    }
    if connection_id is not None:
        credential_data["0"] = {"value": connection_id}
    found = await resolve(call.engine.desk, call.principal.account_id, call.id("id"), credential_data or None, None)
    tags, version = call.engine.desk.tags, found.version(dialect)
    tag = tags.get(version)
    if tag is not None and is_current(call.http, tag):
        return Answer(etag=tag)
    try:
        shown = tool_schema(found.schema, dialect, found.program.partner.file.slug)
        content = encode(success(shown))
        return Answer(content=content, etag=tag or tags.keep(version, entity_tag(content)))
    except ValueError as error:
        raise ValidationFailed.of(Fault(path="dialect", code="not_expressible", message=f"{error}.")) from None


_TAG: Final = "Schemas"
_POSITION: Final = re.compile(r"credentialData\[(\d{1,3})\]", re.ASCII)

ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/partners/trigger-actions/{id}/run/info",
        handler=info,
        tag=_TAG,
        summary="Read the field schema of a trigger or an action for a connection",
        scope="runs:read",
        body=InfoBody,
        answer=TriggerActionAnswer,
        tagged=True,
        errors=("connection_invalid", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
    ),
    Endpoint(
        method="POST",
        path="/partners/trigger-actions/{id}/options",
        handler=read_options,
        tag=_TAG,
        summary="Search one list of choices",
        scope="runs:read",
        body=OptionsBody,
        answer=OptionAnswer,
        many=True,
        errors=("connection_invalid", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
    ),
    Endpoint(
        method="GET",
        path="/partners/trigger-actions/{id}/schema",
        handler=read_schema,
        tag=_TAG,
        summary="Read the field schema as a tool-calling dialect",
        scope="runs:read",
        tagged=True,
        errors=("connection_invalid", "partner_error", "partner_rate_limited", "partner_unavailable", "partner_timeout"),
        query=(
            Param(
                name="dialect", description="Whose dialect.", schema={"type": "string", "enum": list(DIALECTS), "default": "json-schema"}
            ),
            Param(name="credentialId", description="The connection, for its own fields.", schema={"type": "integer"}),
            Param(name="credentialData[1]", description="What is chosen at the operation's first selector; further ones are [2], [3], ..."),
        ),
    ),
)
