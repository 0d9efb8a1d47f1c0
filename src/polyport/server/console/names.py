"""The names of things that lists tell by their ids: asked once for a page, and what is gone has a name too."""

from __future__ import annotations

from typing import Any

from polyport.errors import NotFound
from polyport.server.console.member import Member
from polyport.server.console.within import ask
from polyport.server.routing import Call


class Names:
    """The names on one page."""

    def __init__(self, call: Call, member: Member) -> None:
        self._call = call
        self._member = member
        self._partners: dict[int, str] = {}
        self._operations: dict[int, str] = {}
        self._connections: dict[int, dict[str, Any] | None] = {}
        self._destructive: set[int] = set()

    async def partner(self, partner_id: int) -> str:
        """The title of a partner."""
        if partner_id not in self._partners:
            found = await self._item("GET /partners/{partnerId}", partnerId=partner_id)
            self._partners[partner_id] = found["title"] if found is not None else f"Partner {partner_id}"
        return self._partners[partner_id]

    async def operation(self, operation_id: int | None) -> str:
        """The title of an operation; without an id it was a request that was passed on."""
        if operation_id is None:
            return "A request of your own"
        if operation_id not in self._operations:
            found = await self._item("GET /partners/trigger-actions/{id}", id=operation_id)
            self._operations[operation_id] = found["title"] if found is not None else f"Operation {operation_id}"
            if found is not None and found["destructive"]:
                self._destructive.add(operation_id)
        return self._operations[operation_id]

    async def connection(self, connection_id: int | None) -> dict[str, Any] | None:
        """A connection; ``None`` for none, for one that is gone, and for who may not see connections."""
        if connection_id is None or not self._member.may("connections:read"):
            return None
        if connection_id not in self._connections:
            found = await self._item("GET /credentials/{credentialId}", credentialId=connection_id)
            self._connections[connection_id] = found
        return self._connections[connection_id]

    async def titled(self, connection_id: int | None) -> str:
        """The title of a connection; without an id there was none."""
        found = await self.connection(connection_id)
        return str(found["title"]) if found is not None else "" if connection_id is None else f"Connection {connection_id}"

    async def asked_for(self, operation_id: int | None) -> str | None:
        """The title that has to be typed before an operation runs once more; ``None`` for one that destroys nothing."""
        title = await self.operation(operation_id)
        return title if operation_id in self._destructive else None

    async def _item(self, route: str, **ids: Any) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = (await ask(self._call, self._member, route, **ids)).data
        except NotFound:
            return None
        return found


def deed(call: Call, action: str) -> str:
    """What an entry of the audit log says was done, in the words of the API's description."""
    method, _, path = action.partition(" (")[0].partition(" ")  # in parentheses is what of the thing was changed
    endpoint = call.services.endpoints.get((method, path))
    return endpoint.summary if endpoint is not None else action.removeprefix("console ").capitalize()
