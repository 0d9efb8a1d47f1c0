"""The catalogue over HTTP: section 3 of the wire contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any, Final

from polyport.catalog import Page, View, Wanted
from polyport.catalog.listing import placing
from polyport.engine.caller import connection_fields
from polyport.errors import ConnectionInvalid, NotFound
from polyport.kinds.fields import TYPES
from polyport.manifest.model import AuthChoice, ConnectionField, Partner
from polyport.server.cursors import to_cursor
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import cursor_meta, id_filter, page_meta, read_list_query

LOGO_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=86400",
}


class VerifiedAnswer(Body):
    """How a partner was checked, and when."""

    how: str
    on: str


class DeprecationAnswer(Body):
    """What users of a deprecated partner are told, and from which day on it may be gone."""

    message: str
    on: date | None


class PartnerAnswer(Body):
    """A partner as the catalogue shows it. ``own``: the account imported it, and nobody else sees it."""

    partner_id: int
    title: str
    title_en: str
    titles: dict[str, str]
    description: str
    description_en: str
    logo: dict[str, str]
    deprecated: bool
    deprecation: DeprecationAnswer | None
    region: list[int]
    slug: str
    categories: list[str]
    auth_types: list[str]
    actions_count: int
    triggers_count: int
    verified: VerifiedAnswer
    own: bool


class BudgetAnswer(Body):
    """A limit of the partner: ``limit`` units in ``seconds``, or ``concurrency`` requests at a time, or both. ``source`` is the page that says so."""

    name: str
    per: str
    limit: int | None = None
    seconds: int | None = None
    concurrency: int | None = None
    source: str | None = None


class PartnerReadAnswer(PartnerAnswer):
    """A partner by itself, with its budgets. ``hasSimulator``: ``simulated: true`` makes a connection of it to practise with."""

    budgets: list[BudgetAnswer]
    has_simulator: bool


class OperationAnswer(Body):
    """A trigger, an action or a tool as the catalogue shows it."""

    trigger_action_id: int
    partner_id: int
    name: str
    title: str
    description: str
    description_en: str
    is_action: bool
    deprecated: bool
    kind: str
    is_runnable: bool
    read_only: bool
    idempotent: bool
    destructive: bool
    version: str


class CredentialFieldsAnswer(Body):
    """What a connection of a partner asks for, by way of authorisation. ``isReady``, of a way by which customers sign in: whether an OAuth app serves them."""

    auth: str
    kind: str
    label: str
    hint: str | None = None
    is_ready: bool | None = None
    fields: list[dict[str, Any]]


async def _list(call: Call, kind: str, read: Callable[[Wanted], Awaitable[Page]]) -> Answer:
    query = read_list_query(call.http.query_params, ("q",))
    id_filter(query.filters.get(("partnerId", "eq")), "filter[partnerId]")
    wanted = Wanted(filters=query.filters, sort=query.sort, page=query.page, per_page=query.per_page, ready=not call.within)
    if query.cursor is None:
        page = await read(wanted)
        return Answer(data=page.items, meta=page_meta(page.page, page.per_page, page.total), etag=True)
    page = await read(replace(wanted, by_cursor=True, after=query.after(*placing(wanted, kind))))
    following = to_cursor(query.sort, page.following) if page.following is not None else None
    return Answer(data=page.items, meta=cursor_meta(page.per_page, page.total, following), etag=True)


def _seen(call: Call) -> View:
    """The catalogue as the caller sees it; one without a token sees what everybody does."""
    return call.engine.runtime.catalog.seen_by(call.caller.account_id if call.caller is not None else None)


async def list_partners(call: Call) -> Answer:
    """GET /partners/info."""
    return await _list(call, "partner", _seen(call).list_partners)


async def list_operations(call: Call) -> Answer:
    """GET /partners/trigger-actions/info."""
    return await _list(call, "operation", _seen(call).list_operations)


async def read_partner(call: Call) -> Answer:
    """GET /partners/{partnerId}."""
    item = await _seen(call).partner_item(call.id("partnerId"))
    simulated = call.engine.runtime.simulated
    known = simulated is not None and not item["own"] and simulated.knows(item["slug"])
    return Answer(data=item | {"hasSimulator": known}, etag=True)


async def read_operation(call: Call) -> Answer:
    """GET /partners/trigger-actions/{id}."""
    return Answer(data=await _seen(call).operation_item(call.id("id")), etag=True)


async def credential_fields(call: Call) -> Answer:
    """GET /partners/{partnerId}/credential-fields."""
    partner = await _seen(call).partner(call.id("partnerId"))
    spec = partner.file.connection
    choices = spec.auth if spec is not None else ()
    found = [_choice(choice, connection_fields(partner, choice.name)) for choice in choices]
    for shown in found:
        if shown["byLinkOnly"] and call.caller is not None:
            shown["isReady"] = await _has_app(call, call.caller.account_id, partner, shown["auth"])
    return Answer(data=found, etag=True)


async def _has_app(call: Call, account_id: int, partner: Partner, auth: str) -> bool:
    try:
        return await call.engine.runtime.apps.serving(account_id, partner, auth) is not None
    except ConnectionInvalid:  # there is one, and its key cannot be read
        return False


async def logo(call: Call) -> Answer:
    """GET /partners/{partnerId}/logo.svg."""
    icon = (await _seen(call).partner(call.id("partnerId"))).icon
    if icon is None:
        raise NotFound("This partner has no icon.")
    return Answer(content=icon.encode(), media_type="image/svg+xml", headers=LOGO_HEADERS)


def _choice(choice: AuthChoice, fields: tuple[ConnectionField, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "auth": choice.name,
        "kind": choice.scheme.kind,
        "label": choice.label,
        "byLinkOnly": choice.scheme.by_link_only,
        "fields": [_field(variable) for variable in fields],
    }
    return shown | ({"hint": choice.hint} if choice.hint is not None else {})


def _field(variable: ConnectionField) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": variable.name,
        "type": variable.code,
        "typeName": TYPES[variable.base_type].title,
        "label": variable.label,
        "isRequired": variable.required,
        "isSecret": variable.secret,
    }
    optional = {
        "hint": variable.hint,
        "prefix": variable.prefix,
        "suffix": variable.suffix,
        "pattern": variable.pattern,
        "format": variable.format,
        "default": variable.default,
        "sample": variable.sample,
        "data": [{"key": option.key, "label": option.label} for option in variable.options] if variable.options is not None else None,
    }
    return shown | {name: value for name, value in optional.items() if value is not None}


_PAGING: Final = (
    Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
    CURSOR,
    Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    Param(name="sort", description="title or -title."),
    Param(
        name="q", description="Search in titles, names and descriptions: words, their beginnings, and words with a typo; the best first."
    ),
)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/partners/info",
        handler=list_partners,
        tag="Catalogue",
        summary="List partners",
        scope="catalog:read",
        query=(
            *_PAGING,
            Param(name="filter[title]", description="The title, whole."),
            Param(name="filter[title][like]", description="A part of the title, in any case."),
            Param(name="filter[partnerId]", description="The id.", schema={"type": "integer"}),
            Param(name="filter[deprecated]", description="0 or 1.", schema={"type": "string", "enum": ["0", "1"]}),
            Param(name="filter[category]", description="A category, whole."),
            Param(name="filter[authType]", description="A kind of authorisation that it takes: oauth2, api_key."),
            Param(name="filter[kind]", description="A kind of operation that it has: action, apiTrigger, webhookTrigger or tool."),
            Param(name="filter[verified]", description="How it was verified: imported, cases, spec, sandbox or live."),
            Param(name="filter[slug]", description="The slug, whole."),
        ),
        answer=PartnerAnswer,
        tagged=True,
        many=True,
        public_catalog=True,
    ),
    Endpoint(
        method="GET",
        path="/partners/trigger-actions/info",
        handler=list_operations,
        tag="Catalogue",
        summary="List triggers and actions",
        scope="catalog:read",
        query=(
            *_PAGING,
            Param(name="filter[partnerId]", description="The partner's id.", schema={"type": "integer"}),
            Param(name="filter[isAction]", description="0 or 1.", schema={"type": "string", "enum": ["0", "1"]}),
            Param(name="filter[title]", description="The title, whole."),
            Param(name="filter[title][like]", description="A part of the title, in any case."),
            Param(name="filter[deprecated]", description="0 or 1.", schema={"type": "string", "enum": ["0", "1"]}),
            Param(name="filter[kind]", description="action, apiTrigger, webhookTrigger or tool."),
        ),
        answer=OperationAnswer,
        tagged=True,
        many=True,
        public_catalog=True,
    ),
    Endpoint(
        method="GET",
        path="/partners/trigger-actions/{id}",
        handler=read_operation,
        tag="Catalogue",
        summary="Read a trigger or an action",
        scope="catalog:read",
        answer=OperationAnswer,
        tagged=True,
    ),
    Endpoint(
        method="GET",
        path="/partners/{partnerId}",
        handler=read_partner,
        tag="Catalogue",
        summary="Read a partner",
        scope="catalog:read",
        answer=PartnerReadAnswer,
        tagged=True,
    ),
    Endpoint(
        method="GET",
        path="/partners/{partnerId}/credential-fields",
        handler=credential_fields,
        tag="Catalogue",
        summary="What a connection of a partner asks for",
        scope="catalog:read",
        answer=CredentialFieldsAnswer,
        tagged=True,
        many=True,
    ),
    Endpoint(
        method="GET",
        path="/partners/{partnerId}/logo.svg",
        handler=logo,
        tag="Catalogue",
        summary="A partner's icon",
        scope=None,
        raw=True,
    ),
)
