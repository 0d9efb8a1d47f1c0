"""What forms have in common: what they were filled in with, what was typed to confirm, and what was wrong with the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from polyport.errors import BlockedAddress, Conflict, Fault, PolyportError, ValidationFailed
from polyport.server.console.screen import form
from polyport.server.console.show import asked_name, plain_name
from polyport.server.routing import Call

TOLD: Final = (ValidationFailed, Conflict, BlockedAddress)
# What the API says to programs, said to people: the field and its hint stand beside it.
WORDS: Final = {
    "required": "This has to be filled in.",
    "string_too_short": "This has to be filled in.",
    "string_pattern_mismatch": "It is not written as it has to be.",
    "wrong_type": "It is not written as it has to be.",
    "literal_error": "Choose one of those that are offered.",
    "unknown_option": "Choose one of those that are offered.",
    "too_short": "Choose at least one.",
}
# What has a measure in it: the API's sentence says how much.
MEASURED: Final = {"string_too_long": "This is too long: at most {most} characters.", "too_long": "These are too many: at most {most}."}
_MOST: Final = re.compile(r"at most ([0-9]+)")
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
    given = plain_name(form(call).get("confirm", ""), most=1_000)
    return bool(given) and given in {asked_name(name), plain_name(name, most=1_000)}


def said_of(fault: Fault) -> str:
    """What is wrong with a field, to a person."""
    most = _MOST.search(fault.message)
    if fault.code in MEASURED and most is not None:
        return MEASURED[fault.code].format(most=f"{int(most[1]):,}")
    message = WORDS.get(fault.code, fault.message)
    return message[:1].upper() + message[1:]


def refused(call: Call, error: PolyportError, fields: Mapping[str, str], *, given: Mapping[str, str] | None = None) -> Filled:
    """A form with what an endpoint said of it; ``fields`` are the paths of the API by the beginnings that lead to a field of the form.

    ``given`` is what the page's form is filled in with: what was sent, unless it was another form that was sent.
    """
    faults: dict[str, str] = {}
    rest: list[str] = []
    for fault in error.details.fields:
        name = next(
            (shown for path, shown in fields.items() if fault.path == path or fault.path.startswith((f"{path}.", f"{path}["))), None
        )
        if name is None:
            rest.append(f"{fault.path}: {said_of(fault)}" if fault.path else said_of(fault))
        else:
            faults.setdefault(name, said_of(fault))
    told = " ".join(rest) or (None if faults else error.message)
    return Filled(given=form(call) if given is None else given, faults=faults, told=told, status=error.status)


def of_another_form(call: Call, error: PolyportError) -> Filled:
    """What an endpoint said of a button beside the page's form: the form stays as it is."""
    return refused(call, error, {}, given={})


def not_typed() -> Filled:
    """A form whose name was typed wrongly."""
    return Filled(told=NOT_TYPED, status=422)


def taken(told: Mapping[str, str], texts: Sequence[str], lists: Sequence[str] = ()) -> dict[str, Any]:
    """What a form says in these fields, as a body says it: texts, and lists with one entry a line; what is empty is left out."""
    found: dict[str, Any] = {name: text for name in texts if (text := told.get(name, "").strip())}
    return found | {name: entries for name in lists if (entries := lines(told.get(name, "")))}


def id_of(text: str) -> int | None:
    """The id in a field, if it is one."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 16 else None


def once_key(call: Call) -> str | None:
    """The idempotency key of a form that carries one in ``once``: pressed twice, it does its work once."""
    once = form(call).get("once", "")
    return f"console-{once}" if once.isalnum() and once.isascii() and len(once) <= 64 else None


def lines(text: str) -> list[str]:
    """What stands in the lines of a text, without those that are empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]
