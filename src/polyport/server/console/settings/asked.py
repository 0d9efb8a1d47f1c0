"""What the forms of the settings have in common: what was typed to confirm, and what was wrong with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from polyport.errors import BlockedAddress, Conflict, PolyportError, ValidationFailed
from polyport.server.console.screen import form
from polyport.server.console.show import cut
from polyport.server.routing import Call

SHOWN: Final = 80  # characters of a name that are asked for
TOLD: Final = (ValidationFailed, Conflict, BlockedAddress)
NOT_TYPED: Final = "That was not the name: nothing was changed."


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form that is shown again: what it was filled in with, and what is wrong with it, by field and as a whole."""

    given: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    told: str | None = None
    status: int = 200


BLANK: Final = Filled()


def typed(call: Call, name: str) -> bool:
    """Whether the name of the thing was typed, as the form asked for it."""
    return form(call).get("confirm", "").strip() == cut(name, SHOWN).strip()


def refused(call: Call, error: PolyportError, fields: Mapping[str, str]) -> Filled:
    """A form with what an endpoint said of it; ``fields`` are the paths of the API by the beginnings that lead to a field of the form."""
    faults: dict[str, str] = {}
    rest: list[str] = []
    for fault in error.details.fields:
        name = next(
            (shown for path, shown in fields.items() if fault.path == path or fault.path.startswith((f"{path}.", f"{path}["))), None
        )
        if name is None:
            rest.append(f"{fault.path}: {fault.message}" if fault.path else fault.message)
        else:
            faults.setdefault(name, fault.message)
    told = " ".join(rest) or (None if faults else error.message)
    return Filled(given=form(call), faults=faults, told=told, status=error.status)


def not_typed() -> Filled:
    """A form whose name was typed wrongly."""
    return Filled(told=NOT_TYPED, status=422)


def lines(text: str) -> list[str]:
    """What stands in the lines of a text, without those that are empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]
