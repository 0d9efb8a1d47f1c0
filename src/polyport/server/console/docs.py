"""The docs: the guides and the API reference, from this server, with its address in them."""

from __future__ import annotations

from functools import cache
from typing import Final

from polyport.errors import NotFound
from polyport.server.console.guides import START, render, search, sources
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
    if "q" in given:
        found = search(given["q"])
        operations = _operations(call, given["q"])
        return page(call, member, "docs_search.html", title="Docs", filters=given, guides=found, operations=operations)
    return await _guide(call, member, START)


async def show_guide(call: Call, member: Member) -> Answer:
    """GET /console/docs/guide/{path}."""
    return await _guide(call, member, call.text("path"))


async def _guide(call: Call, member: Member, path: str) -> Answer:
    if path not in sources():
        raise NotFound("There is no guide under this name.")
    runtime = call.engine.runtime
    guide = render(path, runtime.settings.origin, f"{base_path(runtime)}/console/docs/guide")
    return page(
        call,
        member,
        "docs_guide.html",
        title=guide.title,
        guide=guide,
        filters={},
        start=path == START,
        groups=list(_groups(call).values()) if path == START else [],
    )


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


def _operations(call: Call, words: str) -> list[tuple[Group, str, str, str]]:
    """The operations of the API that have all of some words."""
    wanted = words.lower().split()[:10]
    return [
        (group, operation.id, f"{operation.method} {operation.path}", operation.summary)
        for group in _groups(call).values()
        for operation in group.operations
        if all(word in f"{operation.method} {operation.path} {operation.summary} {operation.description}".lower() for word in wanted)
    ][:20]


def _groups(call: Call) -> dict[str, Group]:
    return _groups_at(call.engine.runtime.settings.origin)


@cache
def _groups_at(origin: str) -> dict[str, Group]:
    return groups_of(description(origin), origin)


SCREENS: Final = (
    screen("GET", "/docs", show, "The docs, and searching them", scope=""),
    screen("GET", "/docs/guide/{path:path}", show_guide, "A guide", scope=""),
    screen("GET", "/docs/api", show_reference, "The API reference", scope=""),
    screen("GET", "/docs/api/{group}", show_group, "A part of the API reference", scope=""),
)
