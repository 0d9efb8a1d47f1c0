"""Where the settings begin."""

from __future__ import annotations

from typing import Final

from polyport.server.console.member import Member
from polyport.server.console.screen import screen
from polyport.server.console.show import Entry, moved
from polyport.server.routing import Answer, Call

ENTRY: Final = Entry(title="Settings", path="/settings", icon="settings", place=70, scope="admin")


async def show(call: Call, _member: Member) -> Answer:
    """GET /console/settings."""
    return moved(call, "/settings/keys")


SCREENS: Final = (screen("GET", "/settings", show, "Settings", scope="admin"),)
