"""Triggers that a document makes plain: a list whose items have an id and a time gives what is new in it. Calls that subscribe to webhooks are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from polyport.importers.described import Endpoint
from polyport.importers.names import Naming, operation_id, snake, title, unique, words
from polyport.importers.outputs import Outputs
from polyport.importers.paging import Listing, is_written_as_text, read_listing
from polyport.importers.views import Views

if TYPE_CHECKING:
    from polyport.importers.partner import Built

TRIGGERS_MOST: Final = 300
_HOOKS: Final = frozenset(
    {"webhook", "webhooks", "hook", "hooks", "subscription", "subscriptions", "callback", "callbacks", "notificationurl", "endpoint"}
)
_PLACEHOLDER: Final = re.compile(r"\{\{ ?([A-Za-z_][A-Za-z0-9_-]*)")
_URLS: Final = frozenset({"url", "callback", "uri", "webhook", "endpoint", "target", "address"})


def add_triggers(built: Built, views: Views, naming: Naming) -> None:
    """Add the triggers of a service, and note which of its calls subscribe to webhooks."""
    for name, endpoint in built.endpoints.items():
        if is_subscription(built.actions[name], endpoint):
            built.hooks.append(name)
        if len(built.triggers) >= TRIGGERS_MOST:
            continue
        listing = read_listing(views, endpoint)
        if listing is None or (listing.created or listing.updated) is None or endpoint.deprecated:
            continue
        trigger = _trigger(built, views, listing, name, naming)
        built.triggers[trigger["name"]] = trigger


def is_subscription(action: Mapping[str, Any], endpoint: Endpoint) -> bool:
    """Whether a call subscribes to webhooks: it makes something called so, and takes an address."""
    if endpoint.method not in {"POST", "PUT"}:
        return False
    if not set(words(endpoint.path)) & _HOOKS and not set(words(endpoint.id)) & {"webhook", "webhooks"}:
        return False
    return any(set(words(field["name"])) & _URLS for field in action.get("fields", ()))


def _trigger(built: Built, views: Views, listing: Listing, action_name: str, naming: Naming) -> dict[str, Any]:
    endpoint, action = listing.endpoint, built.actions[action_name]
    what = f"TRIGGER {endpoint.path}"
    kind = "new" if listing.created is not None else "updated"
    things = [word for word in words(endpoint.path.rsplit("}", 1)[-1] or endpoint.path) if not (word[0] == "v" and word[1:].isdigit())] or [
        "items"
    ]
    name = unique(snake(f"{kind}_{things[-1]}"), naming.taken)
    call = {key: value for key, value in action["call"].items() if key != "method"}
    query, filled = _without(call.get("query", {}), listing.query)
    fields = [dict(field) for field in action.get("fields", ()) if field["name"] not in filled]
    if query or listing.query:
        call["query"] = {**query, **listing.query}
    found: dict[str, Any] = {
        "id": naming.kept_ids.get(what) or operation_id(naming, what),
        "name": name,
        "title": f"{title(kind)} {title(things[-1]).lower()}",
    }
    if endpoint.tags:
        found["group"] = endpoint.tags[0]
    if fields:
        found["fields"] = fields
    if "sections" in action:
        found["sections"] = action["sections"]
    found |= {"call": call, "items": list(listing.at) if listing.at else "", "key": [listing.key]}
    moment = listing.created or listing.updated
    if moment is not None and is_written_as_text(views, listing, moment):
        found["time"] = {"at": [moment]}
    if listing.updated is not None and listing.created is None:
        found["changed"] = [listing.updated]
    if listing.pager is not None:
        found["pager"] = listing.pager
    inputs = {field["name"]: str(field["type"]) for field in fields} | {section["name"]: "section" for section in found.get("sections", ())}
    found["result"] = Outputs(views, inputs).members(listing.item)
    return found


def _without(query: Mapping[str, Any], paged: Iterable[str]) -> tuple[dict[str, Any], set[str]]:
    """A query without what the pager fills (``limit``, ``page[size]``), and the fields that filled it."""
    left, filled = dict(query), set[str]()
    for name in paged:
        outer, _bracket, inner = name.partition("[")
        if name in left:
            filled |= set(_PLACEHOLDER.findall(str(left.pop(name))))
        elif isinstance(held := left.get(outer), dict):
            rest = {key: piece for key, piece in held.items() if key != inner.rstrip("]")}
            filled |= set(_PLACEHOLDER.findall(str(held.get(inner.rstrip("]"), ""))))
            left[outer] = rest
            if not rest:
                del left[outer]
    return left, filled
