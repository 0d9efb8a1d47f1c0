"""What became of a connection, in words: who did what, what came of it, and how it came to stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.errors import ConnectionInvalid, Forbidden
from polyport.server.console.member import Member
from polyport.server.console.names import deed
from polyport.server.console.standing import STANDS
from polyport.server.console.within import ask
from polyport.server.routing import Call

SHOWN: Final = 20
MADE: Final = "POST /credentials"
_ONE: Final = "/credentials/{credentialId}"
_DEEDS: Final = {
    MADE: "connected it by its fields",
    f"PATCH {_ONE}": "changed it",
    f"PATCH {_ONE} (title)": "renamed it",
    f"PATCH {_ONE} (fields)": "gave it new credentials",
    f"PATCH {_ONE} (externalUserId)": "gave it to another external user",
    f"PATCH {_ONE} (metadata)": "changed its metadata",
    f"DELETE {_ONE}": "deleted it",
    f"POST {_ONE}/test": "tested it",
    f"POST {_ONE}/test (nothing to ask)": "tested it, though there is nothing to ask",
    f"POST {_ONE}/reconnect": "made a link to reconnect it",
}
_BECAME: Final = {
    "active": "It works",
    "invalid": "The partner refuses it",
    "expired": "Its sign-in has expired",
    "pending": "It is to be checked",
}


async def history(call: Call, member: Member, item: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """The latest of it, and where the rest goes on; its beginning too, where nobody of the account made it: a customer did, by a link."""
    answer = await ask(
        call,
        member,
        f"GET {_ONE}/history",
        query={"per-page": SHOWN, "cursor": call.http.query_params.get("cursor")},
        credentialId=item["credentialId"],
    )
    found = [_told(each) for each in answer.data]
    following = (answer.meta or {})["nextCursor"]
    if following is None and not any(each["action"] == MADE for each in answer.data):
        found.append({"at": item["createdAt"], "who": "", "what": "It was connected", "sign": "", "label": "", "why": ""})
    return found, following


def _told(each: Mapping[str, Any]) -> dict[str, Any]:
    if each["becomes"] is not None:
        return {
            "at": each["at"],
            "who": "",
            "what": _BECAME[each["becomes"]],
            "sign": each["becomes"],
            "label": STANDS[each["becomes"]],
            "why": each["reason"] or "",
        }
    action, status = each["action"], each["status"]
    what = _DEEDS.get(action) or deed(action)
    told = {"at": each["at"], "who": each["actorName"], "what": what, "sign": "", "label": "", "why": "", "via": each["via"]}
    if status == Forbidden().status:
        return told | {"sign": "failed", "label": "Not allowed"}
    if action == f"POST {_ONE}/test":
        label = "Works" if status < 400 else "Refused" if status == ConnectionInvalid().status else "Could not be tested"
        return told | {"sign": {"Works": "succeeded", "Refused": "failed"}.get(label, "uncertain"), "label": label}
    return told
