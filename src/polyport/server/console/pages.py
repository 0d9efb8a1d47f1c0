"""All pages of the console. A new page is a module of its own, with ``SCREENS`` and maybe ``ENTRY``, and one line here."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from polyport.server.console import (
    catalogue,
    connections,
    docs,
    entrance,
    home,
    links,
    overview,
    runs,
    tryit,
)
from polyport.server.console.screen import Screen, open_screen, screen
from polyport.server.console.settings import audit, connect_page, keys, oauth_apps, own_partners, people, start, webhooks
from polyport.server.console.show import Entry, Navigation, nothing, static

PAGES: Final[tuple[ModuleType, ...]] = (
    entrance,
    home,
    overview,
    catalogue,
    connections,
    links,
    runs,
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

SCREENS: Final[tuple[Screen, ...]] = (
    open_screen("GET", "/static/{name}", static, "Its files"),
    *(found for module in PAGES for found in module.SCREENS),
    screen("GET", "/{path:path}", nothing, "What there is not", scope=""),
)
ENTRIES: Final[tuple[Entry, ...]] = tuple(module.ENTRY for module in PAGES if hasattr(module, "ENTRY"))
Navigation.entries = tuple(sorted(ENTRIES, key=lambda entry: entry.place))
