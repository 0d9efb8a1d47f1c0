"""Partners of the account's own: importing an API description, what the importer says of it, versions, deprecation, removal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from polyport.errors import Conflict, NotFound, PayloadTooLarge, PolyportError
from polyport.server.connect.forms import FIELDS_MOST
from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, of_another_form, refused, taken, typed
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import FORM_LIMIT, form, screen
from polyport.server.console.show import chosen, cursor, moved, options, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.imports import FILES_MOST
from polyport.server.routing import Answer, Call
from polyport.settings import Settings

PER_PAGE: Final = 25
LAST: Final = 10
OUTCOMES: Final = {
    "queued": "Waits",
    "running": "Under way",
    "needs_answer": "Asks something",
    "done": "Done",
    "refused": "Refused",
    "cancelled": "Cancelled",
}
SHOWN_MOST: Final = 100  # of what was left out for one reason
LINES_MOST: Final = 2_000
CHANGES_MOST: Final = 500
KINDS: Final = {"breaks": "bad", "removed": "bad", "changed": "warn", "added": "good"}
STEPS: Final = {
    "queue": "It waits for its turn",
    "fetch": "Fetching the description",
    "read": "Reading operations",
    "check": "Checking what came of it",
    "answer": "It asks",
    "end": "Writing it down",
}
_AT: Final = "/settings/partners"
_IMPORT: Final = "/partners/imports/{importId}"
_PARTNER: Final = "/partners/{partnerId}"
_FIELDS: Final = {
    "slug": "slug",
    "url": "url",
    "document": "document",
    "files": "document",
    "baseUrl": "baseUrl",
    "hosts": "hosts",
    "overlay": "overlay",
}
_TOLD: Final = (*TOLD, PayloadTooLarge)


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/partners."""
    return await _partners(call, member)


async def _partners(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    own = await ask(call, member, "GET /partners/own", query={"cursor": cursor(call), "per-page": PER_PAGE})
    most = call.engine.runtime.settings.imports.document_limit
    return page(
        call,
        member,
        "settings_partners.html",
        title="Your partners",
        status=filled.status,
        partners=own.data,
        pager=pager(call, own.meta or {}, _AT),
        imports=(await ask(call, member, "GET /partners/imports", query={"per-page": LAST})).data,
        last=LAST,
        filled=filled,
        most=most,
        beside=list(_beside(filled.given)),
    )


async def start(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners: import a description."""
    told = form(call)
    body: dict[str, Any] = {"slug": "", "publish": bool(told.get("publish"))} | ({"accept": "breaking"} if told.get("breaking") else {})
    body |= taken(told, ("slug", "url", "document", "baseUrl", "overlay"), ("hosts",))
    if beside := dict(_beside(told)):
        body["files"] = beside
    try:
        made = (await ask(call, member, "POST /partners/import", body=body)).data
    except _TOLD as error:
        return await _partners(call, member, refused(call, error, _FIELDS))
    return moved(call, f"/settings/partners/imports/{made['importId']}")


def _beside(told: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files beside a description, as the page's script read them: their names and texts."""
    for number in range(FILES_MOST):
        name = told.get(f"file.{number}.name", "")
        if not name:
            return
        yield name, told.get(f"file.{number}.text", "")


def _limit(settings: Settings) -> int:
    """A description in a form: most of what JSON is made of takes three bytes there."""
    return 3 * settings.imports.document_limit + FORM_LIMIT


async def show_imports(call: Call, member: Member) -> Answer:
    """GET /console/settings/partners/imports."""
    given = chosen(call, "status", "slug")
    query = {"filter[status]": given.get("status"), "filter[slug]": given.get("slug"), "cursor": cursor(call), "per-page": PER_PAGE}
    found = await ask(call, member, "GET /partners/imports", query=query)
    return page(
        call,
        member,
        "settings_imports.html",
        title="Imports",
        imports=found.data,
        pager=pager(call, found.meta or {}),
        filters=given,
        statuses=options(list(OUTCOMES.items()), given.get("status"), "All imports"),
    )


async def show_import(call: Call, member: Member) -> Answer:
    """GET /console/settings/partners/imports/{importId}."""
    return await _import(call, member)


async def _import(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    found = (await ask(call, member, f"GET {_IMPORT}", importId=call.text("importId"))).data
    return page(
        call,
        member,
        "settings_import.html",
        title=f"Import of {found['slug']}",
        status=filled.status,
        found=found,
        steps=STEPS,
        under_way=found["finishedAt"] is None and not found["questions"],
        kinds=KINDS,
        filled=filled,
    )


async def answer(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/imports/{importId}/answer."""
    told, import_id = form(call), call.text("importId")
    found = (await ask(call, member, f"GET {_IMPORT}", importId=import_id)).data
    answers: dict[str, Any] = {}
    for question in found["questions"]:
        if question["id"] == "hosts":
            answers["hosts"] = [choice["value"] for index, choice in enumerate(question["choices"]) if told.get(f"host.{index}")]
        else:
            answers[question["id"]] = told.get("other", "").strip() or told.get(question["id"], "")
    try:
        await ask(call, member, f"POST {_IMPORT}/answer", importId=import_id, body={"answers": answers})
    except TOLD as error:
        return await _import(call, member, refused(call, error, {}))
    return moved(call, f"/settings/partners/imports/{import_id}")


async def cancel(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/imports/{importId}/cancel."""
    try:
        await ask(call, member, f"DELETE {_IMPORT}", importId=call.text("importId"))
    except Conflict as error:
        return await _import(call, member, of_another_form(call, error))
    return moved(
        call, f"/settings/partners/imports/{call.text('importId')}", said=Said(words="The import is cancelled: nothing came of it.")
    )


async def show_partner(call: Call, member: Member) -> Answer:
    """GET /console/settings/partners/{partnerId}."""
    return await _partner(call, member)


async def _own(call: Call, member: Member) -> Mapping[str, Any]:
    """One of the account's own partners."""
    own = (await ask(call, member, "GET /partners/own")).data
    found: Mapping[str, Any] | None = next((each for each in own if each["partnerId"] == call.id("partnerId")), None)
    if found is None:
        raise NotFound("There is no partner of your own with this id.")
    return found


async def _partner(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    partner = await _own(call, member)
    query = {"cursor": cursor(call), "per-page": PER_PAGE}
    versions = await ask(call, member, f"GET {_PARTNER}/versions", partnerId=partner["partnerId"], query=query)
    return page(
        call,
        member,
        "settings_own_partner.html",
        title=partner["title"],
        status=filled.status,
        partner=partner,
        versions=versions.data,
        pager=pager(call, versions.meta or {}, f"{_AT}/{partner['partnerId']}"),
        filled=filled,
    )


async def show_version(call: Call, member: Member) -> Answer:
    """GET /console/settings/partners/{partnerId}/versions/{number}: the importer's report."""
    return await _version(call, member)


async def _version(call: Call, member: Member, filled: Filled = BLANK) -> Answer:
    partner = await _own(call, member)
    ids: dict[str, Any] = {"partnerId": partner["partnerId"], "number": call.id("number")}
    version = (await ask(call, member, f"GET {_PARTNER}/versions/{{number}}", **ids)).data
    report = (await ask(call, member, f"GET {_PARTNER}/versions/{{number}}/report", **ids)).data
    changes = report["changes"]
    if version["state"] != "live" and partner["version"] is not None:
        changes = (await ask(call, member, f"GET {_PARTNER}/versions/{{number}}/changes", **ids)).data
    return page(
        call,
        member,
        "settings_version.html",
        title=f"Version {version['version']} of {partner['title']}",
        status=filled.status,
        partner=partner,
        one=version,
        counts=_counts(report["report"]),
        left=_left(report["report"]["leftOut"]),
        shown_most=SHOWN_MOST,
        text=report["text"][:LINES_MOST],
        more=max(0, len(report["text"]) - LINES_MOST),
        changes=changes[:CHANGES_MOST],
        breaks=any(change["kind"] in {"breaks", "removed"} for change in changes),
        kinds=KINDS,
        filled=filled,
    )


async def publish(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/{partnerId}/versions/{number}/publish."""
    body = {"accept": "breaking"} if form(call).get("breaking") else {}
    ids: dict[str, Any] = {"partnerId": call.id("partnerId"), "number": call.id("number")}
    try:
        await ask(call, member, f"POST {_PARTNER}/versions/{{number}}/publish", body=body, **ids)
    except TOLD as error:
        return await _version(call, member, of_another_form(call, error))
    return moved(call, f"{_AT}/{ids['partnerId']}", said=Said(words=f"Version {ids['number']} serves now."))


def _counts(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    """How much of what came of a description: a number, and its word."""
    words = (
        ("described", "operation described", "operations described"),
        ("actions", "action", "actions"),
        ("triggers", "trigger", "triggers"),
        ("lists", "list", "lists"),
        ("leftOut", "operation left out", "operations left out"),
        ("withJson", "with a field for JSON", "with a field for JSON"),
    )
    found = [(report["counts"].get(name, 0), one, many) for name, one, many in words]
    return [(number, one if number == 1 else many) for place, (number, one, many) in enumerate(found) if number or place < 2]


def _left(left: Sequence[Mapping[str, str]]) -> list[tuple[str, list[Mapping[str, str]]]]:
    """What was left out, by its reason; what concerns the most first."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for each in left:
        found.setdefault(each["why"], []).append(each)
    return sorted(found.items(), key=lambda pair: -len(pair[1]))


async def deprecate(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/{partnerId}/deprecation."""
    told = form(call)
    body: dict[str, Any] = {"message": told.get("message", "").strip()} | ({"on": told["on"]} if told.get("on") else {})
    return await _do(call, member, "PUT", "/deprecation", body, {"message": "message", "on": "on"}, "Who uses it is told so from now on.")


async def undeprecate(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/{partnerId}/undeprecate."""
    return await _do(call, member, "DELETE", "/deprecation", None, {}, "The deprecation is taken back.")


async def _do(
    call: Call, member: Member, method: str, path: str, body: Mapping[str, Any] | None, fields: Mapping[str, str], words: str
) -> Answer:
    partner_id = call.id("partnerId")
    try:
        await ask(call, member, f"{method} {_PARTNER}{path}", partnerId=partner_id, body=body)
    except TOLD as error:
        return await _partner(call, member, refused(call, error, fields))
    return moved(call, f"{_AT}/{partner_id}", said=Said(words=words))


async def remove(call: Call, member: Member) -> Answer:
    """POST /console/settings/partners/{partnerId}/remove: with its slug typed."""
    partner = await _own(call, member)
    if not typed(call, partner["slug"]):
        return await _partner(call, member, not_typed())
    try:
        await ask(call, member, f"DELETE {_PARTNER}", partnerId=partner["partnerId"])
    except PolyportError as error:
        return await _partner(call, member, of_another_form(call, error))
    return moved(call, _AT, said=Said(words=f"{plain_name(partner['title'])} is removed."))


_ONE: Final = _AT + "/{partnerId}"

SCREENS: Final = (
    screen("GET", _AT, show, "Partners of your own", scope="admin"),
    screen("POST", _AT, start, "Import an API description", scope="admin", limit=_limit, fields_most=FIELDS_MOST + 2 * FILES_MOST),
    screen("GET", _AT + "/imports", show_imports, "Imports of descriptions", scope="admin"),
    screen("GET", _AT + "/imports/{importId}", show_import, "An import", scope="admin"),
    screen("POST", _AT + "/imports/{importId}/answer", answer, "Answer what an import asks", scope="admin"),
    screen("POST", _AT + "/imports/{importId}/cancel", cancel, "Cancel an import", scope="admin"),
    screen("GET", _ONE, show_partner, "A partner of your own", scope="admin"),
    screen("GET", _ONE + "/versions/{number}", show_version, "A version and its report", scope="admin"),
    screen("POST", _ONE + "/versions/{number}/publish", publish, "Let a version serve", scope="admin"),
    screen("POST", _ONE + "/deprecation", deprecate, "Deprecate a partner of your own", scope="admin"),
    screen("POST", _ONE + "/undeprecate", undeprecate, "Take a deprecation back", scope="admin"),
    screen("POST", _ONE + "/remove", remove, "Remove a partner of your own", scope="admin"),
)
