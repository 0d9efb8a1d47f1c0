"""Imports of API descriptions over HTTP: started, followed, answered, cancelled."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from polyport.errors import Fault, NotFound, PayloadTooLarge, ValidationFailed
from polyport.importers.jobs import Given, NewImport, answer_import, base_fault, cancel_import, read_import, start_import
from polyport.private_partners import SOURCE
from polyport.server.access import Principal
from polyport.server.routing import CURSOR, Answer, Body, Call, Endpoint, Param
from polyport.server.wire import encode, known_filters, read_list_query
from polyport.settings import Settings
from polyport.store.private_partners import ImportStatus, PartnerImport

URL_LONGEST: Final = 4_000
FILES_MOST: Final = 200
WAIT_MOST: Final = 30
LOOK_SECONDS: Final = 0.3
_UNDER_WAY: Final = frozenset({ImportStatus.QUEUED, ImportStatus.RUNNING})
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,59}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[^\s/?#@{}]{1,300}$")]
_FILE: Final = re.compile(r"[^/\\\x00-\x1f][^\\\x00-\x1f]{0,499}")


class ImportBody(Body):
    """What is to be imported: a description at an address (``url``), or the description itself (``document``), with the files beside it by their paths."""

    slug: Slug = Field(description="What the partner is called. Under a slug of a partner of yours, a new version of that is made.")
    url: str | None = Field(default=None, min_length=1, max_length=URL_LONGEST, examples=["https://api.example.com/openapi.json"])
    document: str | dict[str, Any] | None = Field(default=None, description="OpenAPI 3, Swagger 2 or Google discovery, in JSON or YAML.")
    files: dict[str, str] = Field(default_factory=dict, max_length=FILES_MOST)
    overlay: str | dict[str, Any] | None = Field(default=None, description="Corrections: OpenAPI Overlay 1.0, and x-polyport.")
    base_url: str | None = Field(
        default=None, min_length=1, max_length=URL_LONGEST, description="Where the API is, in place of what the description says."
    )
    hosts: Annotated[list[Host], Field(max_length=100)] | None = Field(
        default=None, description="Hosts beside that of the API which calls and sign-ins may go to, where the description is fetched."
    )
    publish: bool = Field(default=True, description="Whether the version serves at once; false: it is a draft.")
    accept: Literal["breaking"] | None = Field(
        default=None, description="Publish the version also where it breaks those who use the one before."
    )


class AnswerBody(Body):
    """Answers to all questions of an import, by their ids."""

    answers: AnswersBody


class AnswersBody(Body):
    """``base``: one of the choices, or another address. ``hosts``: those of the choices that may be called."""

    base: str | None = Field(default=None, min_length=1, max_length=URL_LONGEST)
    hosts: Annotated[list[Host], Field(max_length=100)] | None = None


class ProgressAnswer(Body):
    """What is being done (``queue``, ``fetch``, ``read``, ``check``, ``answer``, ``end``), and how many of how many operations are read; 0 of 0 before that is known."""

    step: str
    done: int
    total: int


class ChoiceAnswer(Body):
    """One answer to a question."""

    value: str
    label: str


class QuestionAnswer(Body):
    """Something that the description leaves open. ``id`` is ``base`` or ``hosts``."""

    id: str
    text: str
    choices: list[ChoiceAnswer]


class ImportAnswer(Body):
    """An import.

    Once it is done, ``partnerId`` and ``version`` name what it made, or (``unchanged``) what is there already; ``reason`` says why it was refused,
    or why the version is a draft. ``changes`` counts what differs from the version that served. Times are unix seconds.
    """

    import_id: str
    slug: str
    source: str
    status: ImportStatus
    progress: ProgressAnswer
    reason: str | None
    questions: list[QuestionAnswer]
    partner_id: int | None
    version: int | None
    published: bool | None
    unchanged: bool
    changes: dict[str, int]
    whole: bool | None
    report_url: str | None
    created_at: int
    updated_at: int
    finished_at: int | None


def who(principal: Principal) -> str:
    """Who did something, as it is kept: a user, or an API key."""
    return f"user/{principal.user_id}" if principal.kind == "session" and principal.user_id is not None else f"key/{principal.token_id}"


async def start(call: Call) -> Answer:
    """POST /partners/import."""
    body = call.body(ImportBody)
    runtime = call.engine.runtime
    faults = list(_faults(body))
    if faults:
        raise ValidationFailed.of(*faults)
    if body.url is not None:
        runtime.policy.check_url(body.url)
    given = Given(
        url=body.url,
        content=_bytes(body.document),
        files={name: text.encode() for name, text in body.files.items()},
        overlay=_bytes(body.overlay),
        base=body.base_url,
        hosts=tuple(body.hosts) if body.hosts is not None else None,
        publish=body.publish,
        accept_breaking=body.accept == "breaking",
    )
    size = sum(map(len, (given.content or b"", given.overlay or b"", *given.files.values())))
    if size > runtime.settings.imports.document_limit:
        raise PayloadTooLarge(f"A description with its files has at most {runtime.settings.imports.document_limit} bytes here.")
    new = NewImport(account_id=call.principal.account_id, slug=body.slug, asked_by=who(call.principal), given=given)
    return Answer(data=await _item(call, await start_import(runtime, new)), status=202)


def _faults(body: ImportBody) -> list[Fault]:
    found: list[Fault] = []
    if (body.url is None) == (body.document is None):
        path = "url" if body.url is None else "document"
        found.append(Fault(path=path, code="required", message="Either url or document is needed, and not both."))
    if body.url is not None:
        if (told := base_fault(body.url.partition("?")[0].partition("#")[0], [])) is not None:
            found.append(Fault(path="url", code="wrong_format", message=told))
        if body.files:
            message = "Files beside a description that is fetched are fetched too."
            found.append(Fault(path="files", code="not_allowed", message=message))
    found += [
        Fault(path=f"files.{name}", code="wrong_format", message="A path leads down from the folder of the description.")
        for name in body.files
        if ".." in name.split("/") or not _FILE.fullmatch(name)
    ]
    if body.base_url is not None and (told := base_fault(body.base_url, [])) is not None:
        found.append(Fault(path="baseUrl", code="wrong_format", message=told))
    return found


def _bytes(given: str | Mapping[str, Any] | None) -> bytes | None:
    return given.encode() if isinstance(given, str) else encode(given) if given is not None else None


async def read_many(call: Call) -> Answer:
    """GET /partners/imports."""
    wanted = read_list_query(call.http.query_params)
    known_filters(wanted.filters, (("status", "eq"), ("slug", "eq")))
    status = wanted.filters.get(("status", "eq"))
    if status is not None and status not in set(ImportStatus):
        message = f"There are: {', '.join(ImportStatus)}."
        raise ValidationFailed.of(Fault(path="filter[status]", code="unknown_option", message=message))
    after = wanted.after(str)
    found, count = await call.engine.runtime.repo.imports.page(
        call.principal.account_id,
        status=status,
        slug=wanted.filters.get(("slug", "eq")),
        limit=wanted.limit,
        offset=wanted.offset,
        before=str(after[0]) if after is not None else None,
    )
    shown, meta = wanted.cut(found, count, lambda made: (made.import_id,))
    return Answer(data=[await _item(call, made) for made in shown], meta=meta)


async def read(call: Call) -> Answer:
    """GET /partners/imports/{importId}."""
    runtime, account_id, import_id = call.engine.runtime, call.principal.account_id, call.text("importId")
    end = time.monotonic() + _wait(call)
    found = await read_import(runtime, account_id, import_id)
    while found.status in _UNDER_WAY and time.monotonic() < end and not call.services.standing.stopping:
        await asyncio.sleep(LOOK_SECONDS)
        found = await read_import(runtime, account_id, import_id)
    if found.status is ImportStatus.DONE:
        await runtime.catalog.refresh()  # what another process imported serves here too, once this tells of it
    item = await _item(call, found)
    return Answer(data=item | {"reason": item["reason"] or await _unseen(call, found, published=item["published"] is True)})


async def _unseen(call: Call, made: PartnerImport, *, published: bool) -> str | None:
    """Why the account does not see a partner whose version ought to serve it."""
    runtime = call.engine.runtime
    partner = await runtime.repo.private_partners.get(made.account_id, made.partner_id or 0) if published else None
    if partner is None or partner.live != made.version:
        return None
    try:
        await runtime.catalog.seen_by(made.account_id).partner(partner.partner_id)
    except NotFound:
        problems = runtime.catalog.problems_of(SOURCE, str(partner.partner_id))
        if problems:
            return f"The catalogue leaves this partner out: {problems[0]}"
        return "This account is limited to some partners, and this one is not in its list: it has to be put there to be seen."
    return None


def _wait(call: Call) -> int:
    """For how many seconds the answer may wait."""
    told = call.http.query_params.get("wait") or "0"
    if not told.isascii() or not told.isdecimal() or len(told) > 2 or int(told) > WAIT_MOST:
        message = f"A whole number of seconds from 0 to {WAIT_MOST} is needed here."
        raise ValidationFailed.of(Fault(path="wait", code="out_of_range", message=message))
    return int(told)


async def answer(call: Call) -> Answer:
    """POST /partners/imports/{importId}/answer."""
    found = await read_import(call.engine.runtime, call.principal.account_id, call.text("importId"))
    told = {name: value for name, value in call.body(AnswerBody).answers.model_dump().items() if value is not None}
    found = await answer_import(call.engine.runtime, found, told)
    return Answer(data=await _item(call, found), status=202)


async def cancel(call: Call) -> Answer:
    """DELETE /partners/imports/{importId}."""
    found = await cancel_import(call.engine.runtime, call.principal.account_id, call.text("importId"))
    return Answer(data=await _item(call, found))


async def _item(call: Call, made: PartnerImport) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(made.outcome) if made.outcome is not None else {}
    runtime, done = call.engine.runtime, made.status is ImportStatus.DONE and made.partner_id is not None
    version = None
    if done and made.partner_id is not None and made.version is not None:
        version = await runtime.repo.private_partners.version(made.account_id, made.partner_id, made.version)
    return {
        "importId": made.import_id,
        "slug": made.slug,
        "source": made.source,
        "status": made.status.value,
        "progress": {"step": made.step, "done": made.done, "total": made.total},
        "reason": outcome.get("reason"),
        "questions": outcome.get("questions", []),
        "partnerId": made.partner_id,
        "version": made.version,
        "published": version.published_at is not None if version is not None else None,
        "unchanged": bool(outcome.get("unchanged")),
        "changes": outcome.get("changes", {}),
        "whole": outcome.get("whole"),
        "reportUrl": f"{runtime.settings.origin}/partners/{made.partner_id}/versions/{made.version}/report"
        if version is not None
        else None,
        "createdAt": made.created_at // 1000,
        "updatedAt": made.updated_at // 1000,
        "finishedAt": made.finished_at // 1000 if made.finished_at is not None else None,
    }


def body_limit(settings: Settings) -> int:
    """The largest body of an import: as JSON, a description may be twice as long."""
    return max(settings.http.body_limit, 2 * settings.imports.document_limit)


_TAG: Final = "Imports"
_PATH: Final = "/partners/imports/{importId}"
AnswerBody.model_rebuild()

ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/partners/import", handler=start, tag=_TAG, summary="Import an API description as a partner of your own", scope="admin",
        body=ImportBody, body_limit=body_limit, answer=ImportAnswer, status=202, errors=("conflict", "blocked_address"),
        description="Answered at once; follow it with `GET /partners/imports/{importId}` until its status is `done`, `refused` or `cancelled`, or `needs_answer`: "
        "where a description names several servers, or was fetched from another host than it names, nothing is assumed.",
    ),
    Endpoint(
        method="GET", path="/partners/imports", handler=read_many, tag=_TAG, summary="List imports, the newest first", scope="admin",
        answer=ImportAnswer, many=True,
        query=(
            Param(name="page", description="From 1.", schema={"type": "integer", "minimum": 1, "default": 1}),
            CURSOR,
            Param(name="per-page", description="Items a page.", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            Param(name="filter[status]", description="Where the import stands.", schema={"type": "string", "enum": list(ImportStatus)}),
            Param(name="filter[slug]", description="The partner's slug, whole."),
        ),
    ),
    Endpoint(
        method="GET", path=_PATH, handler=read, tag=_TAG, summary="Read an import and how far it is", scope="admin", answer=ImportAnswer,
        query=(
            Param(
                name="wait", description="Answer once the import has ended or asks something, or after so many seconds.",
                schema={"type": "integer", "minimum": 0, "maximum": WAIT_MOST, "default": 0},
            ),
        ),
    ),
    Endpoint(
        method="POST", path=f"{_PATH}/answer", handler=answer, tag=_TAG, summary="Answer what an import asks", scope="admin", body=AnswerBody,
        answer=ImportAnswer, status=202, errors=("conflict",), description="All questions at once. The import goes on with what it has read already.",
    ),
    Endpoint(
        method="DELETE", path=_PATH, handler=cancel, tag=_TAG, summary="Cancel an import that has not ended", scope="admin", answer=ImportAnswer,
        errors=("conflict",),
    ),
)  # fmt: skip
