"""The docs: the guides and the API reference, from this server, with its address in them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Final

from polyport.errors import NotFound
from polyport.server.console.guides import INDEX, Shelf, render, shelves, sources
from polyport.server.console.indexed import Found, Unit, find, sections
from polyport.server.console.member import Member, base_path
from polyport.server.console.reference import Group, groups_of
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, chosen, page
from polyport.server.routing import Answer, Call
from polyport.server.system import description

ENTRY: Final = Entry(title="Docs", path="/docs", icon="docs", place=80)


async def show(call: Call, member: Member) -> Answer:
    """GET /console/docs."""
    given = chosen(call, "q")
    if given.get("q", "").strip():
        guides, operations = await asyncio.to_thread(_looked_up, _origin(call), given["q"])  # what is called meanwhile need not wait
        return page(call, member, "docs_search.html", title="Docs", filters=given, guides=guides, operations=operations)
    groups = list(_groups(call).values())
    return page(call, member, "docs_start.html", title="Docs", filters={}, shelves=_shelves(call), groups=groups, origin=_origin(call))


async def show_guide(call: Call, member: Member) -> Answer:
    """GET /console/docs/guide/{path}."""
    path = call.text("path")
    if path not in sources() or path == INDEX:
        raise NotFound("There is no guide under this name.")
    guide = render(path, _origin(call), _base(call))
    order = [there for shelf in _shelves(call) for there in shelf.paths]
    at = order.index(path) if path in order else -1
    return page(
        call,
        member,
        "docs_guide.html",
        title=guide.title,
        guide=guide,
        filters={},
        before=_named(call, order[at - 1]) if at > 0 else None,
        after=_named(call, order[at + 1]) if 0 <= at < len(order) - 1 else None,
        shelf=next((shelf for shelf in _shelves(call) if path in shelf.paths), None),
    )


def _looked_up(origin: str, words: str) -> tuple[Sequence[Found], Sequence[Found]]:
    return find(sections(), words), find(_operations_at(origin), words)


def _named(call: Call, path: str) -> tuple[str, str]:
    return path, render(path, _origin(call), _base(call)).title


def _origin(call: Call) -> str:
    return call.engine.runtime.settings.origin


def _base(call: Call) -> str:
    return f"{base_path(call.engine.runtime)}/console/docs/guide"


def _shelves(call: Call) -> Sequence[Shelf]:
    return shelves(_origin(call), _base(call))


async def show_reference(call: Call, member: Member) -> Answer:
    """GET /console/docs/api."""
    return page(call, member, "docs_api.html", title="API reference", filters={}, groups=list(_groups(call).values()), only=None)


async def show_group(call: Call, member: Member) -> Answer:
    """GET /console/docs/api/{group}."""
    groups = _groups(call)
    group = groups.get(call.text("group"))
    if group is None:
        raise NotFound("There is no such part of the API.")
    return page(call, member, "docs_api.html", title=group.title, filters={}, groups=list(groups.values()), only=group)


@cache
def _operations_at(origin: str) -> Sequence[Unit]:
    """The operations of the API as they are searched: by what they are called, do, take and give."""
    return [
        Unit(
            page=f"{group.slug}#{operation.id}",
            anchor="",
            title=f"{operation.method} {operation.path}",
            heading=operation.summary,
            text=operation.description,
            names=" ".join([group.title, *operation.names]),
            weight=0.3 if group.title == "System" else 1.0,
        )
        for group in _groups_at(origin).values()
        for operation in group.operations
    ]


def _groups(call: Call) -> dict[str, Group]:
    return _groups_at(_origin(call))


@cache
def _groups_at(origin: str) -> dict[str, Group]:
    return groups_of(description(origin), origin)


SCREENS: Final = (
    screen("GET", "/docs", show, "The docs, and searching them", scope=""),
    screen("GET", "/docs/guide/{path:path}", show_guide, "A guide", scope=""),
    screen("GET", "/docs/api", show_reference, "The API reference", scope=""),
    screen("GET", "/docs/api/{group}", show_group, "A part of the API reference", scope=""),
)
