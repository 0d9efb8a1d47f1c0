"""How far a call reaches within its account: to everything in it, or to the things of one end user of the customer.

It is set once, where a call comes in, and goes with everything that the call starts. Each statement on connections, links, files, runs and idempotency
keys that names an account also says ``:only_user``, which a ``Database`` fills in: ``None`` for everything, else the end user's external id. So a
statement finds, changes and makes only what the caller may see, whichever handler it is asked by.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

_ONLY: Final[ContextVar[str | None]] = ContextVar("only_user", default=None)


def limit_reach(external_user_id: str | None) -> None:
    """Let what follows in this context reach the things of this end user only; with ``None``, all of the account."""
    _ONLY.set(external_user_id)


def only_user() -> str | None:
    """The end user whose things alone are reached now, if it is one."""
    return _ONLY.get()


def within_reach(external_user_id: str | None) -> bool:
    """Whether a thing of this end user (``None``: of the account itself) is reached now: for what is held in memory."""
    only = _ONLY.get()
    return only is None or only == external_user_id
