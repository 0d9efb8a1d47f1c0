"""What a list in a description looks like: where its items stand, what tells them apart, how the next page is asked for. Only what the names make plain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from polyport.importers.described import Endpoint, Parameter
from polyport.importers.names import words
from polyport.importers.views import View, Views

_ITEMS: Final = (
    "data",
    "items",
    "results",
    "records",
    "values",
    "list",
    "entries",
    "elements",
    "rows",
    "resources",
    "objects",
    "value",
    "content",
)
_IDS: Final = ("id", "uuid", "sid", "gid", "uid", "key", "_id", "guid", "resource_name", "name")
_LABELS: Final = (
    "name",
    "title",
    "display_name",
    "displayName",
    "label",
    "full_name",
    "fullName",
    "friendly_name",
    "subject",
    "summary",
    "email",
    "slug",
    "username",
    "login",
    "code",
    "description",
)
_CREATED: Final = (
    "created_at",
    "createdat",
    "created",
    "date_created",
    "datecreated",
    "created_on",
    "createdon",
    "creation_date",
    "created_time",
    "createdtime",
    "create_time",
    "creation_time",
    "timecreated",
    "add_time",
    "inserted_at",
)
_UPDATED: Final = (
    "updated_at",
    "updatedat",
    "updated",
    "date_updated",
    "dateupdated",
    "modified_at",
    "modified",
    "last_modified",
    "updated_on",
    "update_time",
    "updated_time",
    "modifiedtime",
    "date_modified",
)
_SIZES: Final = (
    "per_page",
    "perpage",
    "page_size",
    "pagesize",
    "limit",
    "size",
    "page[size]",
    "count",
    "max_results",
    "maxresults",
    "per-page",
    "pagelen",
    "top",
    "page_limit",
)
_NUMBERS: Final = ("page", "page_number", "pagenumber", "page[number]", "pageindex", "page_index")
_OFFSETS: Final = ("offset", "skip", "start", "startindex", "start_index", "page[offset]")
_CURSORS: Final = (
    "cursor",
    "page_token",
    "pagetoken",
    "next_token",
    "nexttoken",
    "next_page_token",
    "continuation_token",
    "page[cursor]",
    "next_cursor",
    "page[after]",
    "after",
    "pagination_token",
    "bookmark",
    "start_cursor",
    "iterator",
)
_LAST_IDS: Final = ("starting_after", "since_id", "after_id", "after")
_TOKENS: Final = (
    "next_cursor",
    "nextcursor",
    "nextpagetoken",
    "next_page_token",
    "next_token",
    "nexttoken",
    "continuation_token",
    "continuationtoken",
    "cursor",
    "after",
    "after_cursor",
    "aftercursor",
    "end_cursor",
    "endcursor",
    "bookmark",
    "iterator",
    "next_page",
    "next",
)
_URLS: Final = ("next", "next_url", "nexturl", "next_page_url", "next_page_uri", "next_link", "nextlink", "next_page", "@odata.nextlink")
_LINKS: Final = frozenset({"links", "_links"})
_MORE: Final = ("has_more", "hasmore", "more", "has_next", "hasnext", "has_next_page", "hasnextpage", "more_items_in_collection", "done")
_SIZE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list that an endpoint gives. ``query`` are the parameters of paging with what they read."""

    endpoint: Endpoint
    at: tuple[str, ...]
    item: View
    key: str
    label: str | None
    created: str | None
    updated: str | None
    pager: dict[str, Any] | None
    query: dict[str, str] = field(default_factory=dict)


def read_listing(views: Views, endpoint: Endpoint) -> Listing | None:
    """The list that an endpoint gives, if it gives one with items that can be told apart."""
    if endpoint.method != "GET" or endpoint.answer.schema is None or "json" not in endpoint.answer.media:
        return None
    root = views.look(endpoint.answer.schema)
    found = _items(views, root, endpoint)
    if found is None:
        return None
    at, item = found
    key = _first(item, _IDS)
    if key is None:
        return None
    pager, query = _pager(views, root, endpoint, at, key)
    return Listing(
        endpoint=endpoint,
        at=at,
        item=item,
        key=key,
        label=next(
            (
                name
                for wanted in _LABELS
                for name in item.properties
                if name == wanted and views.look(item.properties[name]).kind == "string"
            ),
            None,
        ),
        created=_moment(views, item, _CREATED),
        updated=_moment(views, item, _UPDATED),
        pager=pager,
        query=query,
    )


def _items(views: Views, root: View, endpoint: Endpoint) -> tuple[tuple[str, ...], View] | None:
    """Where the items stand, and what one is: the answer itself, or its one list of objects."""
    if root.kind == "array":
        item = views.look(root.items)
        return ((), item) if item.properties else None
    tail = set(words(endpoint.path.rsplit("/", 1)[-1]))
    listed = [
        (name, views.look(views.look(schema).items)) for name, schema in root.properties.items() if views.look(schema).kind == "array"
    ]
    objects = [(name, item) for name, item in listed if item.properties]
    if len(objects) == 1:
        return (objects[0][0],), objects[0][1]
    named = [one for one in objects if one[0].lower() in _ITEMS or set(words(one[0])) & tail]
    if len(named) == 1:
        return (named[0][0],), named[0][1]
    for name in ("data", "result", "response", "_embedded"):
        if name in root.properties and not objects:
            inner = views.look(root.properties[name])
            if inner.kind == "object" and inner.properties:
                found = _items(views, View(kind="object", key=inner.key, told=inner.told, properties=inner.properties), endpoint)
                if found is not None:
                    return (name, *found[0]), found[1]
    return None


def _first(item: View, wanted: tuple[str, ...]) -> str | None:
    lowered = {name.lower(): name for name in item.properties}
    return next((lowered[name] for name in wanted if name in lowered), None)


def _moment(views: Views, item: View, wanted: tuple[str, ...]) -> str | None:
    """A member that is a time: by its name, and a text in the format of times or a whole number."""
    name = _first(item, wanted)
    if name is None:
        return None
    view = views.look(item.properties[name])
    return name if view.kind == "integer" or (view.kind == "string" and view.text("format") in {"date-time", ""}) else None


def is_written_as_text(views: Views, listing: Listing, name: str) -> bool:
    """Whether a time is a text and no number."""
    return views.look(listing.item.properties[name]).kind == "string"


def _pager(views: Views, root: View, endpoint: Endpoint, at: tuple[str, ...], key: str) -> tuple[dict[str, Any] | None, dict[str, str]]:
    given = _given(views, endpoint)
    size = next((given[name] for name in _SIZES if name in given), None)
    most = _SIZE
    query: dict[str, str] = {}
    if size is not None:
        told = views.look(size.schema).told
        limit = told.get("maximum")
        most = int(limit) if isinstance(limit, int) and not isinstance(limit, bool) and 1 <= limit < _SIZE else _SIZE
        query[size.name] = "{{page.size}}"
    flags = {path[-1].lower(): path for path in _paths(views, root, at)}
    more = next((list(flags[name]) for name in _MORE if name in flags and name != "done"), None)
    extra = {"more": more} if more is not None else {}
    for name in _CURSORS:
        token = next((flags[word] for word in _TOKENS if word in flags and word != "next"), None) or flags.get("next")
        if token is not None and token[-2:-1] and token[-2].lower() in _LINKS:
            token = None  # the address of the next page
        if name in given and token is not None:
            return {"kind": "cursor", "next": list(token), "size": most}, {**query, given[name].name: "{{page.cursor}}"}
    for name in _LAST_IDS:
        if name in given and (more is not None or name != "after"):
            return {"kind": "last_id", "key": [key], "size": most, **extra}, {**query, given[name].name: "{{page.after}}"}
    if endpoint.link_header:
        return {"kind": "link", "size": most}, query
    url = next((flags[word] for word in _URLS if word in flags), None)
    if url is not None and not any(name in given for name in _NUMBERS):
        return {"kind": "next_url", "next": list(url), "size": most}, query
    for names, kind, word in ((_NUMBERS, "page", "number"), (_OFFSETS, "offset", "offset")):
        for name in names:
            if name in given and views.look(given[name].schema).kind in {"integer", "number", "any", "string"}:
                start = {"start": 0} if kind == "page" and views.look(given[name].schema).told.get("minimum") == 0 else {}
                return {"kind": kind, "size": most, **start, **extra}, {**query, given[name].name: f"{{{{page.{word}}}}}"}
    return None, query


def _given(views: Views, endpoint: Endpoint) -> dict[str, Parameter]:
    """The parameters of a query by their names in small letters; the members of an object with brackets as they are sent: ``page[size]``."""
    found: dict[str, Parameter] = {}
    for one in endpoint.parameters:
        if one.place != "query":
            continue
        members = views.look(one.schema).properties if one.style == "deepObject" else {}
        if not members:
            found[one.name.lower()] = one
        for name, schema in members.items():
            found.setdefault(f"{one.name}[{name}]".lower(), replace(one, name=f"{one.name}[{name}]", schema=schema))
    return found


def _paths(views: Views, root: View, at: tuple[str, ...], depth: int = 0, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places of single values beside the items, those of the outermost level last so that they win."""
    if depth > 3:
        return
    for name, schema in root.properties.items():
        view = views.look(schema)
        if view.kind == "object" and view.properties and (*before, name) != at:
            yield from _paths(views, view, at, depth + 1, (*before, name))
    for name, schema in root.properties.items():
        if views.look(schema).kind in {"string", "integer", "number", "boolean", "any"}:
            yield (*before, name)
