"""With which connection something is tried: the newest ones to choose from, those that a search finds, and always the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from polyport.errors import NotFound
from polyport.server.console.asked import id_of
from polyport.server.console.member import Member
from polyport.server.console.within import ask
from polyport.server.routing import Call

LISTED_MOST: Final = 50
SOUGHT_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Picking:
    """The connections of a partner that are offered. ``total`` is how many fit ``sought``; ``gone`` says that the one that was chosen is not there any more."""

    offered: Sequence[Mapping[str, Any]] = ()
    chosen: int | None = None
    sought: str = ""
    total: int = 0
    gone: bool = False

    @property
    def searched(self) -> bool:
        """Whether there are more than are offered, so that one has to search."""
        return bool(self.sought) or self.total > len(self.offered)

    @property
    def told(self) -> str:
        """What is offered, in words."""
        if not self.searched:
            return ""
        if self.sought:
            return "Nothing fits." if not self.total else f"{self.total:,} found" + self._most
        return f"{self.total:,} connections{self._most}. Search for others."

    @property
    def _most(self) -> str:
        return f", the newest {LISTED_MOST} are listed" if self.total > LISTED_MOST else ""


async def pick(call: Call, member: Member, partner_id: int, told: str, sought: str) -> Picking:
    """What is offered when ``told`` was chosen and ``sought`` was looked for: a part of a title, or an external user.

    By itself only the one is chosen that is the only one: with the newest of several, somebody would run for the wrong customer.
    """
    sought = sought.strip()[:SOUGHT_MOST]
    found, total = await _list(call, member, partner_id, {"filter[title][like]": sought})
    if sought and not found:
        found, total = await _list(call, member, partner_id, {"filter[externalUserId]": sought})
    picking = Picking(offered=found, sought=sought, total=total)
    if told:
        one = await _chosen(call, member, partner_id, told)
        if one is not None:
            known = {each["credentialId"] for each in found}
            return replace(picking, offered=[*([] if one["credentialId"] in known else [one]), *found], chosen=one["credentialId"])
        picking = replace(picking, gone=True)
    only = found[0] if len(found) == 1 and not sought and found[0]["status"] == "active" else None
    return replace(picking, chosen=only["credentialId"] if only is not None else None)


async def _list(call: Call, member: Member, partner_id: int, narrowed: Mapping[str, str]) -> tuple[Sequence[Mapping[str, Any]], int]:
    query = {"filter[partnerId]": partner_id, "sort": "-credentialId", "per-page": LISTED_MOST, **narrowed}
    answer = await ask(call, member, "GET /credentials", query=query)
    return answer.data, int((answer.meta or {})["totalItemsCount"])


async def _chosen(call: Call, member: Member, partner_id: int, told: str) -> Mapping[str, Any] | None:
    connection_id = id_of(told)
    if connection_id is None:
        return None
    try:
        found: Mapping[str, Any] = (await ask(call, member, "GET /credentials/{credentialId}", credentialId=connection_id)).data
    except NotFound:
        return None
    return found if found["partnerId"] == partner_id else None
