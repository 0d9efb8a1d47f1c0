"""What the inputs of an operation are put into: levels of fields and sections, and the spots on them where values stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from polyport.importers.demands import Sets
from polyport.importers.names import unique
from polyport.importers.samples import NONE
from polyport.importers.scalars import Field
from polyport.importers.views import UNTOLD, View


@dataclass(slots=True, kw_only=True)
class Level:
    """What callers may send on one level. ``rows``: the level is a row, so parts say themselves where they stand. ``names`` are those taken."""

    rows: bool
    names: set[str]
    demands: list[Sets] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    sections: list[dict[str, Any]] = field(default_factory=list)

    @property
    def parts(self) -> dict[str, Any]:
        """What the level is made of, in the words of the language."""
        return {"fields": self.fields, "sections": self.sections, "needsOneOf": self.demands}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a value stands: its wire path in the row (``at``), the words around it (``around``), what it depends on (``when``).

    ``sections`` maps the key of each schema that a section around stands for to that section's name; ``flat`` are the schemas that were taken apart on
    the way here. ``sample`` is what the document's example has here.
    """

    at: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    when: Mapping[str, Any] | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    flat: frozenset[str] = frozenset()
    depth: int = 0
    sample: Any = NONE

    def inside(self, name: str, view: View | None = None) -> Spot:
        """The spot of a member."""
        flat = self.flat | {view.key} if view is not None else self.flat
        return replace(
            self, at=(*self.at, name), around=(*self.around, name), flat=flat, depth=self.depth + 1, sample=within(self.sample, name)
        )


def within(sample: Any, name: str) -> Any:
    """What an example has at a member."""
    return sample.get(name, NONE) if isinstance(sample, dict) else NONE


def first_of(sample: Any) -> Any:
    """What an example has in the first row."""
    return sample[0] if isinstance(sample, list) and sample else NONE


def tagged(view: View, tag: str, words: tuple[str, ...]) -> View:
    """A case of a union whose member ``tag`` is one of these words."""
    return replace(view, properties={**view.properties, tag: {"type": "string", "enum": list(words)}}, required=view.required | {tag})


def with_shared(case: View, union: View) -> View:
    """A case with the members that all have."""
    own = {name: told for name, told in case.properties.items() if told is not UNTOLD or name not in union.properties}
    return replace(case, properties={**union.properties, **own}, required=case.required | union.required)


def are_apart(row: Level) -> bool:
    """Whether no value of a row stands where others have to stand inside."""
    places = [tuple(made.get("at") or (made["name"],)) for made in (*row.fields, *row.sections)]
    held = {place[:size] for place in places for size in range(1, len(place))}
    return not held & set(places)


def without_cases(view: View) -> View:
    """The members that all cases of a union share, as an object."""
    return replace(view, kind="object", variants=())


def set_choosers_apart(row: Level) -> None:
    """Call what only says which case is meant, and is not sent, like nothing that stands in the row: its value would be taken for the other one's."""
    parts = (*row.fields, *row.sections)
    stand = {str((made.get("at") or (made["name"],))[0]) for made in parts if made.get("sent") is not False}
    for chooser in row.fields:
        name = chooser["name"]
        if chooser.get("sent") is not False or name not in stand:
            continue
        row.names |= {word.lower() for word in stand}
        chooser["name"] = unique(f"which_{name}", row.names)
        for made in parts:
            if made.get("when", {}).get("at") == name:
                made["when"]["at"] = chooser["name"]
        row.demands[:] = [[[chooser["name"] if one == name else one for one in names] for names in sets] for sets in row.demands]
