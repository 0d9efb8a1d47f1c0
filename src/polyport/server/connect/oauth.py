"""The way to a partner's sign-in and back, for ways of authorisation that need the customer's browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyport.errors import Conflict
from polyport.manifest.model import AuthChoice
from polyport.server.routing import Call
from polyport.store.records import Link


async def offered(call: Call, link: Link, choice: AuthChoice) -> bool:  # noqa: ARG001  what it will be decided by
    """Whether a customer can sign in that way: whether there is an app for it. None can be registered yet."""
    return False


async def begin(call: Call, link: Link, choice: AuthChoice, fields: Mapping[str, Any], session: str) -> str:  # noqa: ARG001  as above
    """The address at the partner where the customer signs in. ``fields`` are checked; ``session`` is the secret of the browser that comes back."""
    raise Conflict("Signing in at the partner is not set up.")
