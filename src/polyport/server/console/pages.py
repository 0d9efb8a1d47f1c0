"""All pages of the console. A new page is a module of its own, with ``SCREENS`` and maybe ``ENTRY``, and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Final

from polyport.server.console import (
    catalogue,
    connecting,
    connections,
    docs,
    entrance,
    home,
    links,
    overview,
    partner,
    run,
    runs,
    tryit,
)
from polyport.server.console.member import Member
from polyport.server.console.screen import Handler, Screen, open_screen, screen
from polyport.server.console.settings import audit, connect_page, keys, oauth_apps, own_partners, people, start, webhooks
from polyport.server.console.show import Entry, Navigation, moved, nothing, static
from polyport.server.routing import Answer, Call

PAGES: Final[tuple[ModuleType, ...]] = (
    entrance,
    home,
    overview,
    catalogue,
    partner,
    connecting,
    links,
    connections,
    runs,
    run,
    tryit,
    start,
    keys,
    people,
    webhooks,
    connect_page,
    oauth_apps,
    own_partners,
    audit,
    docs,
)


def _ways_back(screens: Iterable[Screen]) -> Iterator[Screen]:
    """Where an address leads that only a form is sent to, when somebody opens it: to the page that the form stands on."""
    ways = [(screen.endpoint.method, screen.endpoint.path.removeprefix("/console")) for screen in screens]
    pages = {path for method, path in ways if method == "GET"}
    for path in sorted({path for method, path in ways if method != "GET"} - pages):
        above = path
        while above and above not in pages:
            above = above.rpartition("/")[0]
        yield screen("GET", path, _back_to(above), "Back to the page of a form", scope="")


def _back_to(above: str) -> Handler:
    async def back(call: Call, _member: Member) -> Answer:
        return moved(call, above.format_map(call.http.path_params))

    return back


_SHOWN: Final[tuple[Screen, ...]] = tuple(found for module in PAGES for found in module.SCREENS)
SCREENS: Final[tuple[Screen, ...]] = (
    open_screen("GET", "/static/{name}", static, "Its files"),
    *_SHOWN,
    *_ways_back(_SHOWN),
    screen("GET", "/{path:path}", nothing, "What there is not", scope=""),
)
ENTRIES: Final[tuple[Entry, ...]] = tuple(module.ENTRY for module in PAGES if hasattr(module, "ENTRY"))
Navigation.entries = tuple(sorted(ENTRIES, key=lambda entry: entry.place))
