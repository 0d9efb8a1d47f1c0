"""What an error of SQLite means: the fault of the unit that met it, or the database's own."""

from __future__ import annotations

from typing import Final

import apsw

from polyport.store.base import Duplicate, Stale, StoreFault, StoreUnavailable

_TAKEN: Final = frozenset(
    {apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY, apsw.SQLITE_CONSTRAINT_ROWID},
)
_ASKED_WRONG: Final = frozenset({apsw.SQLITE_ERROR, apsw.SQLITE_TOOBIG, apsw.SQLITE_MISMATCH, apsw.SQLITE_RANGE})


def is_busy(error: Exception) -> bool:
    """Whether another process's lock was in the way."""
    return isinstance(error, apsw.BusyError)


def fault_of(error: Exception, query: str) -> StoreFault | None:
    """The fault of a unit that did this; ``None`` when the database is at fault."""
    if isinstance(error, StoreFault):
        return error
    if isinstance(error, apsw.ConstraintError):
        code = getattr(error, "extendedresult", None)
        if code in _TAKEN:
            return Duplicate(str(error).partition(": ")[2])
        if code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
            return Stale(f"{query}: what it refers to is gone")
        if code == apsw.SQLITE_CONSTRAINT_TRIGGER:  # the schema's one objection: a retired master key
            return StoreUnavailable(f"{query}: {error}; it will be left in a moment")
        return StoreFault(f"{query}: {error}")
    # What the driver itself refuses, a parameter say, has no result.
    if isinstance(error, apsw.Error) and getattr(error, "result", apsw.SQLITE_ERROR) not in _ASKED_WRONG:
        return None
    return StoreFault(f"{query}: {type(error).__name__}")


def unavailable(error: Exception) -> StoreUnavailable:
    """The database's own fault, in SQLite's words and with the name that its documentation gives the code."""
    code = getattr(error, "extendedresult", None)
    names = apsw.mapping_extended_result_codes, apsw.mapping_result_codes
    name = next((str(known[code]) for known in names if code is not None and code in known), type(error).__name__)
    return StoreUnavailable(f"{name}: {error}")
