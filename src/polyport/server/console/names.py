"""The names of things that lists tell by their ids: asked once for a page, and what is gone has a name too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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


# What was done, by what entries of the audit log call it: as it is told afterwards, and as what somebody was not let do.
DEEDS: Final[Mapping[str, tuple[str, str]]] = {
    action: (f"{past} {rest}".strip(), f"{bare} {rest}".strip())
    for action, past, bare, rest in (
        ("POST /user/auth", "signed in", "sign in", "at the API"),
        ("POST /user/logout", "signed out", "sign out", ""),
        ("POST /user/logout-everywhere", "signed out", "sign out", "everywhere"),
        ("DELETE /user/sessions/{id}", "signed", "sign", "one of the own browsers out"),
        ("POST /user/welcome", "came in", "come in", "by a link and set a password"),
        ("POST /user/password", "changed", "change", "the own password"),
        ("POST /api-keys", "made", "make", "an API key"),
        ("DELETE /api-keys/{id}", "deleted", "delete", "an API key"),
        ("PATCH /account", "changed", "change", "the connect page or where customers are led back to"),
        ("PUT /account/partners", "limited", "limit", "the account to some partners"),
        ("DELETE /account/partners", "took", "take", "the limit to some partners away"),
        ("POST /console-users", "added", "add", "a person"),
        ("PATCH /console-users/{consoleUserId}", "changed", "change", "the role of a person"),
        ("DELETE /console-users/{consoleUserId}", "removed", "remove", "a person"),
        ("POST /console-users/{consoleUserId}/link", "made", "make", "a link for a person to come in by"),
        ("POST /console-users/{consoleUserId}/sign-out", "signed", "sign", "a person out everywhere"),
        ("GET /audit/export", "exported", "export", "the audit log"),
        ("POST /users", "made", "make", "an end user known"),
        ("PATCH /users/{userId}", "changed", "change", "an end user"),
        ("DELETE /users/{userId}", "deleted", "delete", "an end user with everything"),
        ("POST /users/{userId}/token", "made", "make", "a token for an end user"),
        ("POST /partners/import", "imported", "import", "a description as a partner"),
        ("POST /partners/imports/{importId}/answer", "answered", "answer", "what an import asked"),
        ("DELETE /partners/imports/{importId}", "cancelled", "cancel", "an import"),
        ("POST /partners/{partnerId}/versions/{number}/publish", "let", "let", "a version of a partner serve"),
        ("PUT /partners/{partnerId}/deprecation", "deprecated", "deprecate", "a partner"),
        ("DELETE /partners/{partnerId}/deprecation", "took", "take", "a deprecation back"),
        ("DELETE /partners/{partnerId}", "removed", "remove", "a partner"),
        ("POST /credentials", "made", "make", "a connection"),
        ("PATCH /credentials/{credentialId}", "changed", "change", "a connection"),
        ("PATCH /credentials/{credentialId} (title)", "renamed", "rename", "a connection"),
        ("PATCH /credentials/{credentialId} (fields)", "gave", "give", "a connection new credentials"),
        ("PATCH /credentials/{credentialId} (externalUserId)", "gave", "give", "a connection to another external user"),
        ("PATCH /credentials/{credentialId} (metadata)", "changed", "change", "the metadata of a connection"),
        ("DELETE /credentials/{credentialId}", "deleted", "delete", "a connection"),
        ("POST /credentials/{credentialId}/test", "tested", "test", "a connection"),
        ("POST /credentials/{partnerId}/{credentialId}/update-user-data", "read", "read", "the lists and fields of a connection again"),
        ("POST /credentials/grant-access-sharing", "made", "make", "a link to connect by"),
        ("PUT /credentials/grant-access-sharing/{linkId}", "gave", "give", "a link another address"),
        ("DELETE /credentials/grant-access-sharing/{linkId}", "revoked", "revoke", "a link"),
        ("POST /credentials/{credentialId}/reconnect", "made", "make", "a link to connect a connection again"),
        ("PUT /oauth-apps/{partnerId}", "set", "set", "an OAuth app"),
        ("DELETE /oauth-apps/{partnerId}", "deleted", "delete", "an OAuth app"),
        ("POST /partners/trigger-actions/{id}/run/sync", "ran", "run", "an operation"),
        ("POST /partners/trigger-actions/{id}/run/async", "queued", "queue", "a run"),
        ("POST /runs/{runId}/cancel", "cancelled", "cancel", "a run"),
        ("POST /runs/{runId}/replay", "replayed", "replay", "a run"),
        ("POST /runs/batch", "queued", "queue", "many runs"),
        ("POST /runs/{runId}/case", "saved", "save", "a run as a case"),
        ("POST /proxy/{credentialId}/{path:path}", "sent", "send", "a request of one's own to a partner"),
        ("POST /files", "kept", "keep", "a file"),
        ("DELETE /files/{fileId}", "deleted", "delete", "a file"),
        ("POST /event-endpoints", "made", "make", "a webhook"),
        ("PATCH /event-endpoints/{endpointId}", "changed", "change", "a webhook"),
        ("DELETE /event-endpoints/{endpointId}", "deleted", "delete", "a webhook"),
        ("POST /event-endpoints/{endpointId}/rotate-secret", "gave", "give", "a webhook another secret"),
        ("POST /event-endpoints/{endpointId}/test", "sent", "send", "a webhook a test"),
        ("POST /account/callback-secret/rotate", "gave", "give", "callbacks another secret"),
        ("POST /events/{eventId}/replay", "sent", "send", "an event again"),
        ("POST /events/replay", "sent", "send", "dead letters again"),
        ("console sign-in", "signed in", "sign in", "to the console"),
        ("console e-mail address", "took", "take", "another e-mail address"),
        ("console-user add", "added", "add", "a person"),
        ("console-user link", "made", "make", "a link for a person to come in by"),
        ("console-user role", "changed", "change", "the role of a person"),
        ("console-user remove", "removed", "remove", "a person"),
        ("catalog allow", "changed", "change", "which partners the account is limited to"),
        ("partners import", "imported", "import", "a description as a partner"),
        ("partners publish", "let", "let", "a version of a partner serve"),
        ("partners deprecate", "deprecated", "deprecate", "a partner"),
        ("partners undeprecate", "took", "take", "a deprecation back"),
        ("partners remove", "removed", "remove", "a partner"),
    )
}


def deed(action: str, *, refused: bool = False) -> str:
    """What an entry of the audit log says was done, after the name of who did it."""
    # In parentheses is what of the thing was changed.
    done, bare = DEEDS.get(action) or DEEDS.get(action.partition(" (")[0], (action, action))
    return f"was not let {bare}" if refused and bare != action else done
