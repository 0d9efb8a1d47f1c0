"""From the schema of an answer to what an operation gives: variables with the paths where they stand, rows for lists. Nothing is needed of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from polyport.importers.names import field_name, snake, title, unique
from polyport.importers.scalars import Field, hint_of, is_scalar, type_of
from polyport.importers.views import View, Views

OUTPUTS_MOST: Final = 100
DEPTH_MOST: Final = 2
ROWS_DEPTH: Final = 3


@dataclass(slots=True, kw_only=True)
class _Level:
    """One level of a result. ``names`` are those taken; ``inputs`` maps the names of inputs beside it to their types, in small letters."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    fields: list[Field] = field(default_factory=list)
    sections: list[dict[str, Any]] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """The level as a file has it."""
        return {key: value for key, value in (("fields", self.fields), ("sections", self.sections)) if value}

    def name(self, around: tuple[str, ...], kind: str) -> str:
        """A name that no other output has, and no input of another type."""
        own = field_name(around[-1]) if len(around) == 1 else field_name("_".join(snake(word) for word in around[-3:]))
        while (kind == "section" and own.lower() in self.inputs) or self.inputs.get(own.lower(), kind) != kind:
            own = f"{own}_result"
        found = unique(own, self.names)
        while found != own and found.lower() in self.inputs:
            found = unique(f"{own}_result", self.names)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a value stands in the item or row, and what was passed on the way there."""

    at: tuple[str, ...] = ()
    seen: frozenset[str] = frozenset()
    depth: int = 0


class Outputs:
    """Makes the outputs of one operation. ``inputs`` maps the names of its inputs to their types: an output with the same name is the same variable."""

    def __init__(self, views: Views, inputs: Mapping[str, str]) -> None:
        self._views = views
        self._inputs = {name.lower(): kind for name, kind in inputs.items()}
        self._left = OUTPUTS_MOST

    def read(self, schema: Any) -> dict[str, Any]:
        """The result of an answer with this schema."""
        view = self._views.look(schema)
        if self._all(view):
            return self.members(view)
        level = _Level(inputs=self._inputs)
        self._put(level, view, ("items" if view.kind == "array" else "value",), _Place())
        return level.told()

    def members(self, view: View) -> dict[str, Any]:
        """The result of an item that is an object."""
        level = _Level(inputs=self._inputs)
        self._members(level, view, (), _Place(seen=frozenset({view.key})))
        return level.told()

    def _members(self, level: _Level, view: View, around: tuple[str, ...], place: _Place) -> None:
        looked = [(name, self._views.look(schema)) for name, schema in self._all(view).items()]
        looked.sort(key=lambda one: not is_scalar(one[1]))  # where there is no room for all, single values go before what is inside others
        for name, inner in looked:
            if inner.told.get("writeOnly") is not True:
                self._put(level, inner, (*around, name), replace(place, at=(*place.at, name)))

    def _all(self, view: View, depth: int = 0) -> dict[str, Any]:
        """The members of an object; of a union, those of all its cases."""
        found = dict(view.properties)
        for variant in view.variants if depth < DEPTH_MOST else ():
            for name, schema in self._all(self._views.look(variant), depth + 1).items():
                found.setdefault(name, schema)
        return found

    def _put(self, level: _Level, view: View, around: tuple[str, ...], place: _Place) -> None:
        if self._left <= 0:
            return
        if self._all(view) and view.key not in place.seen and place.depth < DEPTH_MOST:
            self._members(level, view, around, replace(place, seen=place.seen | {view.key}, depth=place.depth + 1))
        elif view.kind == "array" and (rows := self._rows(view, place)) is not None:
            made: dict[str, Any] = {"name": level.name(around, "section"), "label": title(around[-1])}
            if hint := hint_of(view):
                made["hint"] = hint
            if place.at != (made["name"],):
                made["at"] = list(place.at) or ""
            level.sections.append({**made, **rows.told()})
        else:
            self._field(level, view, around, place)

    def _rows(self, view: View, place: _Place) -> _Level | None:
        """The rows of a list of objects."""
        items = self._views.look(view.items)
        if not self._all(items) or items.key in place.seen or place.depth > ROWS_DEPTH:
            return None
        row = _Level()
        self._members(row, items, (), _Place(seen=place.seen | {items.key}, depth=place.depth + 1))
        return row if row.fields or row.sections else None

    def _field(self, level: _Level, view: View, around: tuple[str, ...], place: _Place) -> None:
        self._left -= 1
        view = view.widest or view
        kind = type_of(view)
        if view.kind == "array":
            items = self._views.look(view.items)
            kind = f"{type_of(items)}[]" if is_scalar(items) else "object"
        elif view.kind in {"object", "union", "any"}:
            kind = "object"
        label = title(around[-1]) if len(around) == 1 else f"{title(around[-2])}: {title(around[-1])}"
        made: Field = {"name": level.name(around, kind), "type": kind, "label": label}
        if hint := hint_of(view)[:200].rstrip():
            made["hint"] = hint
        if place.at != (made["name"],):
            made["at"] = list(place.at) or ""
        level.fields.append(made)
