"""OAuth apps over HTTP: with which client id and secret customers sign in at a partner."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from polyport.apps import SCOPES_MOST, SECRET_LONGEST, NewApp, missing, sign_in_schemes
from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.manifest.model import Partner
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import ListQuery, id_filter, known_filters, read_list_query
from polyport.store.records import OAuthApp

Scopes = Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=SCOPES_MOST)]


class AppBody(Body):
    """An OAuth app, as it is registered at the partner.

    A secret that is left out stays as it was, as long as ``clientId`` does. ``auth`` binds the app to one of the partner's ways to sign in. ``scopes`` are
    asked for in place of the partner's usual ones, ``scopeChoices`` are those that customers may add; left out, the partner's own are.
    """

    client_id: str = Field(min_length=1, max_length=2_000)
    client_secret: str | None = Field(default=None, min_length=1, max_length=SECRET_LONGEST)
    private_key: str | None = Field(
        default=None, min_length=1, max_length=SECRET_LONGEST, description="In PEM, where the partner wants one."
    )
    key_id: str | None = Field(default=None, min_length=1, max_length=500, description="The id under which the partner knows the key.")
    auth: str | None = Field(default=None, max_length=100)
    scopes: Scopes | None = None
    scope_choices: Scopes | None = None


class ScopeAnswer(Body):
    """A scope that customers may add, and what it allows."""

    scope: str
    allows: str


class AppAnswer(Body):
    """With which OAuth app customers sign in at a partner; secrets only masked. Times are unix seconds.

    ``owner`` says whose app it is: ``account``, ``installation``, or null where there is none yet. ``redirectUri`` is what to register at the partner, to the
    letter; ``missing`` is what has to be set before customers can sign in. ``scopes`` and ``scopeChoices`` are what counts, ``ownScopes`` and
    ``ownScopeChoices`` what the app itself sets of that, null where the partner's are taken; ``scopesOffered`` are those of which customers could be offered
    some. ``docs`` is where the partner describes its API.
    """

    partner_id: int
    partner_title: str
    owner: Literal["account", "installation"] | None
    auth: str | None
    auth_choices: list[str]
    redirect_uri: str
    missing: list[str]
    client_id: str | None
    client_secret: str | None
    private_key: str | None
    key_id: str | None
    scopes: list[str]
    scope_choices: list[ScopeAnswer]
    own_scopes: list[str] | None
    own_scope_choices: list[str] | None
    scopes_offered: list[ScopeAnswer]
    docs: str | None
    created_at: int | None
    updated_at: int | None


async def read_many(call: Call) -> Answer:
    """GET /oauth-apps."""
    wanted = read_list_query(call.http.query_params)
    known_filters(wanted.filters, (("partnerId", "eq"),))
    only = id_filter(wanted.filters.get(("partnerId", "eq")), "filter[partnerId]")
    if wanted.sort is not None and wanted.sort not in {"title", "-title"}:
        raise ValidationFailed.of(Fault(path="sort", code="unknown_sort", message="OAuth apps are sorted by title or -title."))
    runtime = call.engine.runtime
    held: dict[int, OAuthApp] = {app.partner_id: app for app in await runtime.repo.oauth_apps.all(call.principal.account_id)}
    seen = runtime.catalog.seen_by(call.principal.account_id)
    partners = [partner_id for partner_id in await seen.signing_in() if only in {None, partner_id}]
    if wanted.sort == "-title":
        partners.reverse()
    first = _first(wanted, partners)
    found, meta = wanted.cut(list(enumerate(partners, 1))[first : first + wanted.limit], len(partners), lambda placed: placed)
    return Answer(data=[_item(call, await seen.partner(each), held.get(each)) for _place, each in found], meta=meta)


def _first(wanted: ListQuery, partners: Sequence[int]) -> int:
    """Where a page begins: after the partner of its cursor, or where that one was."""
    after = wanted.after(int, int)
    if after is None:
        return wanted.offset
    place, partner_id = int(after[0]), int(after[1])
    return partners.index(partner_id) + 1 if partner_id in partners else place - 1


async def read(call: Call) -> Answer:
    """GET /oauth-apps/{partnerId}."""
    partner, repo = await _partner(call), call.engine.runtime.repo.oauth_apps
    own = await repo.get(call.principal.account_id, partner.file.id)
    return Answer(data=_item(call, partner, own or await repo.get(None, partner.file.id)))


async def put(call: Call) -> Answer:
    """PUT /oauth-apps/{partnerId}."""
    partner, body = await _partner(call), call.body(AppBody)
    runtime = call.engine.runtime
    new = NewApp(partner_id=partner.file.id, **body.model_dump())
    app = await runtime.apps.put(call.principal.account_id, partner, new, runtime.now_ms())
    call.engine.desk.forget()
    return Answer(data=_item(call, partner, app))


async def delete(call: Call) -> Answer:
    """DELETE /oauth-apps/{partnerId}."""
    partner = await _partner(call)
    call.thing = partner.file.title
    await call.engine.runtime.apps.delete(call.principal.account_id, partner.file.id)
    call.engine.desk.forget()
    return Answer()


async def _partner(call: Call) -> Partner:
    partner = await call.engine.runtime.catalog.seen_by(call.principal.account_id).partner(call.id("partnerId"))
    if not sign_in_schemes(partner):
        raise NotFound("Customers of this partner do not sign in: it needs no OAuth app.")
    return partner


def _item(call: Call, partner: Partner, app: OAuthApp | None) -> dict[str, Any]:
    owner = None if app is None else "installation" if app.account_id is None else "account"
    shown: dict[str, str] = json.loads(app.shown) if app is not None else {}
    theirs = owner == "installation"  # of an app of the operator an account sees whether it is there, and nothing of its secrets
    schemes = sign_in_schemes(partner).values()
    usual = list(dict.fromkeys(scope for scheme in schemes for scope in scheme.scopes))
    choices = {scope: text for scheme in schemes for scope, text in scheme.scope_choices.items()}
    offered = json.loads(app.scope_choices) if app is not None and app.scope_choices is not None else list(choices)
    return {
        "partnerId": partner.file.id,
        "partnerTitle": partner.file.title,
        "owner": owner,
        "auth": app.auth if app is not None else None,
        "authChoices": list(sign_in_schemes(partner)),
        "redirectUri": call.engine.runtime.settings.redirect_uri,
        "missing": missing(partner, app),
        "clientId": app.client_id if app is not None else None,
        "clientSecret": None if theirs else shown.get("client_secret"),
        "privateKey": None if theirs else shown.get("private_key"),
        "keyId": None if theirs else shown.get("key_id"),
        "scopes": json.loads(app.scopes) if app is not None and app.scopes is not None else usual,
        "scopeChoices": [{"scope": scope, "allows": choices[scope]} for scope in offered if scope in choices],
        "ownScopes": json.loads(app.scopes) if owner == "account" and app is not None and app.scopes is not None else None,
        "ownScopeChoices": offered if owner == "account" and app is not None and app.scope_choices is not None else None,
        "scopesOffered": [{"scope": scope, "allows": text} for scope, text in choices.items()],
        "docs": partner.file.docs,
        "createdAt": app.created_at // 1000 if app is not None else None,
        "updatedAt": app.updated_at // 1000 if app is not None else None,
    }


_TAG: Final = "OAuth apps"
_PATH: Final = "/oauth-apps/{partnerId}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/oauth-apps", handler=read_many, tag=_TAG, summary="List the partners where customers sign in, and with which app",
        scope="admin", answer=AppAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Param(name="sort", description="title (which it is anyway) or -title."),
            Param(name="filter[partnerId]", description="The partner's id.", schema={"type": "integer"}),
        ),
    ),
    Endpoint(
        method="GET", path=_PATH, handler=read, tag=_TAG, summary="Read with which OAuth app customers sign in at a partner", scope="admin",
        answer=AppAnswer, description="`redirectUri` is what to register at the partner; `missing` is what is still to be set.",
    ),
    Endpoint(
        method="PUT", path=_PATH, handler=put, tag=_TAG, summary="Set the account's OAuth app for a partner", scope="admin",
        body=AppBody, answer=AppAnswer, errors=("conflict",), description="The account's own app is used in place of the installation's.",
    ),
    Endpoint(
        method="DELETE", path=_PATH, handler=delete, tag=_TAG, summary="Delete the account's OAuth app for a partner", scope="admin",
        description="Customers then sign in with the installation's app, if there is one. Connections that were made with the deleted app cannot be renewed.",
    ),
)  # fmt: skip
