"""What applies only with a certain choice: ``when`` on fields and sections. Compiled once; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyport.manifest.base import Match
from polyport.manifest.variables import InputField
from polyport.paths import MISSING, get


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``match`` on the value of the field ``name``, called ``public``, which stands ``at`` a place among the values of its level, or of the operation (``top``)."""

    match: Match
    name: str
    public: str
    at: tuple[str, ...]
    top: bool

    def judge(self, values: Mapping[str, Any], given: Mapping[str, Any]) -> bool | None:
        """Whether it holds; ``None`` where the value was ``given`` but cannot be understood, so that nobody can tell."""
        found = get(values, self.at)
        if found is MISSING and self.public in given:
            return None
        return holds(self.match, found)

    @property
    def words(self) -> str:
        """The condition as the end of a sentence."""
        return describe(self.match, self.public)


def condition_field(match: Match) -> str:
    """The field whose value decides."""
    return str(match.at[0])


def holds(match: Match, value: Any) -> bool:
    """Whether the condition is true of this value of its field."""
    return match.holds({} if value is MISSING else {condition_field(match): value})


def wanted(match: Match) -> tuple[Any, ...] | None:
    """The values that the condition names; ``None`` where it asks only whether there is one."""
    if match.one_of is not None:
        return match.one_of
    return (match.equals,) if "equals" in match.model_fields_set else None


def describe(match: Match, public: str) -> str:
    """The condition in words: ``"kind" is card or cash``."""
    listed = wanted(match)
    if listed is None:
        return f'"{public}" is {"not " if match.negate else ""}given'
    return f'"{public}" is {"not " if match.negate else ""}{" or ".join(map(_word, listed))}'


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def show(match: Match, public: str) -> dict[str, Any]:
    """The condition as it stands on the wire."""
    listed = wanted(match)
    if listed is None:
        return {"name": public, "given": not match.negate}
    return {"name": public, "notIn" if match.negate else "in": list(listed)}


def ordered(parts: Sequence[InputField]) -> list[InputField]:
    """The fields of a level, each behind the one that its condition reads."""
    names = {part.name for part in parts}
    pending, found, done = list(parts), list[InputField](), set[str]()
    while pending:
        ready = [
            part for part in pending if part.when is None or condition_field(part.when) in done or condition_field(part.when) not in names
        ]
        found += ready or pending
        done |= {part.name for part in ready or pending}
        pending = [part for part in pending if part.name not in done]
    return found
