"""What has to be given of a level beside what each variable needs for itself: of several sets of variables, all of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from polyport.engine.schema import Place, Schema
from polyport.manifest.model import Operation
from polyport.manifest.variables import InputSection

_NOTHING: Final[tuple[Any, ...]] = (None, "", [])


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand: ``sets`` of public names. A null, an empty text and an empty list are not given."""

    sets: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> str:
        """The demand as a sentence."""
        return f"One of these is needed here: {'; '.join(' and '.join(names) for names in self.sets)}."

    def is_met(self, data: Mapping[str, Any]) -> bool:
        """Whether an input has all of one set."""
        return any(all(data.get(name) not in _NOTHING for name in names) for names in self.sets)


def compile_demands(schema: Schema, level: Operation | InputSection, place: Place) -> tuple[Demand, ...]:
    """The demands of a level in public names; what has a default is there anyway."""
    if not level.needs_one_of:
        return ()
    public = {field.name: schema.public(field.name, place) for field in level.fields}
    usual = {field.name for field in level.fields if field.default is not None}
    found = []
    for sets in level.needs_one_of:
        left = tuple(tuple(public.get(name, name) for name in names if name not in usual) for names in sets)
        if all(left):
            found.append(Demand(left))
    return tuple(found)
