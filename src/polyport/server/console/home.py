"""Where one comes in: the first steps of a newcomer, and from then on what there is to look at."""

from __future__ import annotations

from typing import Final

from polyport.server.console.member import Member
from polyport.server.console.screen import screen
from polyport.server.console.show import moved
from polyport.server.routing import Answer, Call


async def show(call: Call, _member: Member) -> Answer:
    """GET /console."""
    return moved(call, "/catalogue")


SCREENS: Final = (screen("GET", "", show, "The first page", scope=""),)
