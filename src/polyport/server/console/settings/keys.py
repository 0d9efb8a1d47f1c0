"""API keys: made with scopes and an end, shown once, deleted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from polyport.server.access import SCOPES
from polyport.server.console.asked import BLANK, TOLD, Filled, not_typed, refused, typed
from polyport.server.console.member import Member
from polyport.server.console.said import Said
from polyport.server.console.screen import form, screen
from polyport.server.console.show import asked_name, cursor, moved, page, pager, plain_name
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call

PER_PAGE: Final = 25
DAY: Final = 86_400
ENDS: Final = (("", "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"))
SCOPE_WORDS: Final = {
    "catalog:read": "Read the catalogue",
    "connections:read": "Read connections",
    "connections:write": "Make, change and delete connections and links",
    "runs:read": "Read runs, files and the overview",
    "runs:write": "Run, cancel and replay",
    "admin": "Everything, settings and users too",
}
_AT: Final = "/settings/keys"


async def show(call: Call, member: Member) -> Answer:
    """GET /console/settings/keys."""
    return await _keys(call, member)


async def _keys(call: Call, member: Member, *, filled: Filled = BLANK) -> Answer:
    answer = await ask(call, member, "GET /api-keys", query={"cursor": cursor(call), "per-page": PER_PAGE})
    alike = Counter(asked_name(key["title"]) for key in answer.data)
    return page(
        call,
        member,
        "settings_keys.html",
        title="API keys",
        status=filled.status,
        # Of keys that are called the same, the name says nothing: what they begin with is asked for.
        keys=[key | {"asked": key["title"] if alike[asked_name(key["title"])] == 1 else key["prefix"]} for key in answer.data],
        pager=pager(call, answer.meta or {}, _AT),
        scopes=[(scope, SCOPE_WORDS[scope]) for scope in SCOPES],
        ends=ENDS,
        filled=filled,
        now=call.engine.runtime.now_ms() // 1000,
    )


async def create(call: Call, member: Member) -> Answer:
    """POST /console/settings/keys."""
    told = form(call)
    days = told.get("ends", "")
    body: dict[str, Any] = {
        "title": told.get("title", "").strip(),
        "scopes": [scope for scope in SCOPES if told.get(f"scope.{scope}")],
    }
    if days in dict(ENDS) and days:
        body["expiresAt"] = call.engine.runtime.now_ms() // 1000 + int(days) * DAY
    try:
        made = (await ask(call, member, "POST /api-keys", body=body)).data
    except TOLD as error:
        return await _keys(call, member, filled=refused(call, error, {"title": "title", "scopes": "scopes", "expiresAt": "ends"}))
    return moved(call, _AT, said=Said(once={"title": made["title"], "key": made["key"]}))


async def delete(call: Call, member: Member) -> Answer:
    """POST /console/settings/keys/{id}/delete: with the title typed, or what the key begins with."""
    key_id = call.id("id")
    key = (await ask(call, member, "GET /api-keys/{id}", id=key_id)).data
    if not typed(call, key["title"]) and not typed(call, key["prefix"]):
        return await _keys(call, member, filled=not_typed())
    await ask(call, member, "DELETE /api-keys/{id}", id=key_id)
    words = f"The key “{plain_name(key['title'])}” is deleted."
    return moved(call, _AT, said=Said(words=words), cursor=call.http.query_params.get("cursor"))


SCREENS: Final = (
    screen("GET", _AT, show, "API keys", scope="admin"),
    screen("POST", _AT, create, "Make an API key", scope="admin"),
    screen("POST", _AT + "/{id}/delete", delete, "Delete an API key", scope="admin"),
)
