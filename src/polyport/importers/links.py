"""Lists that a document makes plain: ``GET /projects`` gives what ``/projects/{id}`` and the fields ``project_id`` name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from polyport.importers.described import Endpoint
from polyport.importers.names import singular, snake, title, unique, words
from polyport.importers.paging import Listing, read_listing
from polyport.importers.scalars import type_of
from polyport.importers.views import Views

if TYPE_CHECKING:
    from polyport.importers.partner import Built

LISTS_MOST: Final = 200
_KEYS: Final = "[^\\s]+"


def add_lists(built: Built, views: Views) -> None:
    """Add the lists of a service, and name them at the fields that hold their ids."""
    by_resource: dict[str, list[tuple[str, Listing]]] = {}
    for name, endpoint in built.endpoints.items():
        listing = _plain_listing(views, endpoint, built.actions[name])
        if listing is not None:
            by_resource.setdefault(_resource(endpoint.path), []).append((name, listing))
    taken: set[str] = set()
    used: dict[str, str] = {}
    for resource, found in sorted(by_resource.items()):
        if len(found) != 1 or not resource or len(used) >= LISTS_MOST:
            continue  # two lists of the same things: nobody can tell which is meant
        action, listing = found[0]
        places = list(_fields_of(built, views, resource, listing))
        if not places:
            continue
        name = unique(snake(words(listing.endpoint.path)[-1]), taken)
        built.lists[name] = _spec(name, listing, built.actions[action])
        used[resource] = name
        for field in places:
            field["list"] = name


def _plain_listing(views: Views, endpoint: Endpoint, action: Mapping[str, Any]) -> Listing | None:
    """The list of an endpoint that can be read without being told anything."""
    needed = any(part.get("required") for part in (*action.get("fields", ()), *action.get("sections", ())))
    if "{" in endpoint.path or needed or "needsOneOf" in action or endpoint.server is not None:
        return None
    listing = read_listing(views, endpoint)
    return listing if listing is not None and listing.label is not None else None


def _resource(path: str) -> str:
    """What a path gives: the last word of it, for one of them."""
    found = words(path.rstrip("/").rsplit("/", 1)[-1])
    return singular(found[-1]) if found else ""


def _fields_of(built: Built, views: Views, resource: str, listing: Listing) -> Iterator[dict[str, Any]]:
    """The fields that hold an id of a list's items: by their name, or by their place in the path right behind the list's own."""
    kind = type_of(views.look(listing.item.properties[listing.key]))
    prefix = f"{listing.endpoint.path.rstrip('/')}/{{"
    for name, action in built.actions.items():
        endpoint = built.endpoints[name]
        behind = endpoint.path[len(prefix) :].partition("}")[0] if endpoint.path.startswith(prefix) else None
        by_path = built.made[name].parameters.get(f"path:{behind}") if behind is not None else None
        for field in action.get("fields", ()):
            own = words(field["name"])
            named = own == [*words(resource), "id"] or (own == ["id"] and field["name"] == by_path)
            if (named or field["name"] == by_path) and field["type"] == kind and "options" not in field and "list" not in field:
                yield field


def _spec(name: str, listing: Listing, action: dict[str, Any]) -> dict[str, Any]:
    call = {key: value for key, value in action["call"].items() if key in {"path", "url", "auth"}}
    for part in ("query", "headers"):
        fixed = {key: piece for key, piece in action["call"].get(part, {}).items() if isinstance(piece, str) and "{{" not in piece}
        if part == "query":
            fixed |= listing.query
        if fixed:
            call[part] = fixed
    found: dict[str, Any] = {"name": name, "title": title(name), "call": call}
    if listing.pager is not None:
        found["pager"] = listing.pager
    found["items"] = list(listing.at) if listing.at else ""
    found["key"] = [listing.key]
    label = (
        f"{{{{item.{listing.label}}}}}" if listing.label == listing.key else f"{{{{item.{listing.label} | otherwise: item.{listing.key}}}}}"
    )
    found["label"] = label
    found["keyPattern"] = _KEYS
    return found
