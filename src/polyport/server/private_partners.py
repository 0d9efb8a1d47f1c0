"""Partners of an account's own over HTTP: their versions, which of them serves, deprecation, removal."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.importers.publishing import (
    changes_to,
    deprecate,
    own_partner,
    own_version,
    publish,
    read_report,
    remove,
    undeprecate,
)
from polyport.importers.report import lines_of
from polyport.importers.working import shown_changes
from polyport.private_partners import SOURCE
from polyport.server.imports import who
from polyport.server.partners import DeprecationAnswer
from polyport.server.routing import LEAFED, Answer, Body, Call, Endpoint
from polyport.server.wire import Seen, known_filters, page_meta, read_list_query
from polyport.store.private_partners import PartnerState, PartnerVersion, PrivatePartner

NUMBER_MOST: Final = 2**31


class PublishBody(Body):
    """``accept``: publish the version also where it breaks those who use the one that serves."""

    accept: Literal["breaking"] | None = None


class DeprecationBody(Body):
    """What users of the partner are told, and from when on it may be gone."""

    message: Annotated[str, Field(min_length=1, max_length=1_000, examples=["Use Pets 2 instead."]), Seen]
    on: date | None = None


class OwnPartnerAnswer(Body):
    """A partner of the account's own. ``version`` is the one that serves, ``newest`` the last that was made; ``problems`` say why it does not serve all the same. Times are unix seconds."""

    partner_id: int
    slug: str
    title: str
    state: PartnerState
    version: int | None
    newest: int
    deprecation: DeprecationAnswer | None
    problems: list[str]
    created_at: int
    updated_at: int


class VersionAnswer(Body):
    """A version of a partner: ``draft`` before it served for the first time, ``live`` while it does, then ``superseded``.

    ``madeBy`` and ``publishedBy`` are
    ``user/`` or ``key/`` with an id. ``breaks`` counts what it broke of the version that served when it was made. Times are unix seconds.
    """

    version: int
    state: Literal["draft", "live", "superseded"]
    title: str
    api_version: str
    source: str
    counts: dict[str, int]
    breaks: int
    content_hash: str
    import_id: str
    made_by: str
    made_at: int
    published_by: str | None
    published_at: int | None


class ChangeAnswer(Body):
    """What differs: ``kind`` is breaks, removed, changed or added."""

    kind: str
    operation: str
    what: str


class ReportAnswer(Body):
    """What the importer said of a version: as data, and as lines for people. ``changes`` are those ``against`` the version that served when it was made."""

    report: dict[str, Any]
    text: list[str]
    against: int | None
    changes: list[ChangeAnswer]


class PublishedAnswer(OwnPartnerAnswer):
    """The partner, and what differs for those who use it."""

    changes: list[ChangeAnswer]


async def _partner(call: Call) -> PrivatePartner:
    return await own_partner(call.engine.runtime, call.principal.account_id, call.id("partnerId"))


async def _version(call: Call, partner: PrivatePartner) -> PartnerVersion:
    number = call.id("number")
    if number >= NUMBER_MOST:
        raise NotFound("This partner has no version with this number.")
    return await own_version(call.engine.runtime, partner, number)


async def read_many(call: Call) -> Answer:
    """GET /partners/own."""
    found = await call.engine.runtime.repo.private_partners.all(call.principal.account_id)
    query = read_list_query(call.http.query_params)
    known_filters(query.filters, ())
    shown, meta = query.leaf(found, lambda partner: partner.slug)
    return Answer(data=[_item(call, partner) for partner in shown], meta=meta)


async def versions(call: Call) -> Answer:
    """GET /partners/{partnerId}/versions."""
    partner = await _partner(call)
    found = await call.engine.runtime.repo.private_partners.versions(partner.account_id, partner.partner_id)
    query = read_list_query(call.http.query_params)
    known_filters(query.filters, ())
    shown, meta = query.leaf(found, lambda version: NUMBER_MOST - version.number)
    return Answer(data=[_version_item(partner, version) for version in shown], meta=meta)


async def version(call: Call) -> Answer:
    """GET /partners/{partnerId}/versions/{number}."""
    partner = await _partner(call)
    return Answer(data=_version_item(partner, await _version(call, partner)))


async def report(call: Call) -> Answer:
    """GET /partners/{partnerId}/versions/{number}/report."""
    partner = await _partner(call)
    found = await read_report(call.engine.runtime, await _version(call, partner))
    shown = {key: value for key, value in found["report"].items() if key != "operations"}
    return Answer(data={"report": shown, "text": lines_of(found["report"]), "against": found["against"], "changes": found["changes"]})


async def changes(call: Call) -> Answer:
    """GET /partners/{partnerId}/versions/{number}/changes."""
    partner = await _partner(call)
    found = shown_changes(await changes_to(call.engine.runtime, partner, await _version(call, partner)))
    return Answer(data=found, meta=page_meta(1, max(1, len(found)), len(found)))


async def put_live(call: Call) -> Answer:
    """POST /partners/{partnerId}/versions/{number}/publish."""
    partner, body = await _partner(call), call.body(PublishBody)
    chosen, runtime = await _version(call, partner), call.engine.runtime
    call.change = f"version {partner.live} to {chosen.number}" if partner.live is not None else f"version {chosen.number}"
    found = await publish(runtime, partner, chosen.number, by=who(call.principal), accept_breaking=body.accept == "breaking")
    return Answer(data=_item(call, await _partner(call)) | {"changes": shown_changes(found)})


async def put_deprecation(call: Call) -> Answer:
    """PUT /partners/{partnerId}/deprecation."""
    partner, body = await _partner(call), call.body(DeprecationBody)
    if body.on is not None and body.on < datetime.fromtimestamp(call.engine.runtime.now_ms() / 1000, UTC).date():
        raise ValidationFailed.of(Fault(path="on", code="too_small", message="This day is over: a day from today on is needed here."))
    await deprecate(call.engine.runtime, partner, body.message, body.on)
    return Answer(data=_item(call, await _partner(call)))


async def delete_deprecation(call: Call) -> Answer:
    """DELETE /partners/{partnerId}/deprecation."""
    await undeprecate(call.engine.runtime, await _partner(call))
    return Answer(data=_item(call, await _partner(call)))


async def delete(call: Call) -> Answer:
    """DELETE /partners/{partnerId}."""
    partner = await _partner(call)
    call.thing = partner.title
    await remove(call.engine.runtime, partner)
    return Answer()


def _item(call: Call, partner: PrivatePartner) -> dict[str, Any]:
    return {
        "partnerId": partner.partner_id,
        "slug": partner.slug,
        "title": partner.title,
        "state": partner.state.value,
        "version": partner.live,
        "newest": partner.newest,
        "deprecation": json.loads(partner.deprecation) if partner.deprecation is not None else None,
        "problems": [str(problem) for problem in call.engine.runtime.catalog.problems_of(SOURCE, str(partner.partner_id))[:20]],
        "createdAt": partner.created_at // 1000,
        "updatedAt": partner.updated_at // 1000,
    }


def _version_item(partner: PrivatePartner, version: PartnerVersion) -> dict[str, Any]:
    state = "live" if partner.live == version.number else "draft" if version.published_at is None else "superseded"
    return {
        "version": version.number,
        "state": state,
        "title": version.title,
        "apiVersion": version.api_version,
        "source": version.source,
        "counts": json.loads(version.counts),
        "breaks": version.breaks,
        "contentHash": version.content_hash,
        "importId": version.import_id,
        "madeBy": version.made_by,
        "madeAt": version.made_at // 1000,
        "publishedBy": version.published_by,
        "publishedAt": version.published_at // 1000 if version.published_at is not None else None,
    }


_TAG: Final = "Partners of your own"
_PATH: Final = "/partners/{partnerId}"
_VERSION: Final = "/partners/{partnerId}/versions/{number}"

ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/partners/own", handler=read_many, tag=_TAG, summary="List the partners that you imported, drafts too", scope="admin",
        answer=OwnPartnerAnswer, many=True, query=LEAFED,
    ),
    Endpoint(
        method="GET", path=f"{_PATH}/versions", handler=versions, tag=_TAG, summary="List the versions of a partner of your own, the newest first",
        scope="admin", answer=VersionAnswer, many=True, query=LEAFED,
    ),
    Endpoint(method="GET", path=_VERSION, handler=version, tag=_TAG, summary="Read about a version", scope="admin", answer=VersionAnswer),
    Endpoint(
        method="GET", path=f"{_VERSION}/report", handler=report, tag=_TAG, summary="What the importer says of a version", scope="admin",
        answer=ReportAnswer,
    ),
    Endpoint(
        method="GET", path=f"{_VERSION}/changes", handler=changes, tag=_TAG, summary="What would differ if a version served in place of the one that does",
        scope="admin", answer=ChangeAnswer, many=True,
    ),
    Endpoint(
        method="POST", path=f"{_VERSION}/publish", handler=put_live, tag=_TAG, summary="Let a version serve: a newer one, or an older one again",
        scope="admin", body=PublishBody, answer=PublishedAnswer, errors=("conflict",),
        description="New runs use it from then on; runs that were accepted before go on with the version of then. One that breaks users has to be asked for.",
    ),
    Endpoint(
        method="PUT", path=f"{_PATH}/deprecation", handler=put_deprecation, tag=_TAG, summary="Tell users of a partner of your own that it goes",
        scope="admin", body=DeprecationBody, answer=OwnPartnerAnswer, errors=("conflict",),
    ),
    Endpoint(
        method="DELETE", path=f"{_PATH}/deprecation", handler=delete_deprecation, tag=_TAG, summary="Take a deprecation back", scope="admin",
        answer=OwnPartnerAnswer, errors=("conflict",),
    ),
    Endpoint(
        method="DELETE", path=_PATH, handler=delete, tag=_TAG, summary="Remove a partner of your own that nothing uses", scope="admin",
        errors=("conflict",), description="Refused with what uses it: connections, open links, runs that have not ended.",
    ),
)  # fmt: skip
