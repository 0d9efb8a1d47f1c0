"""The document's own examples of whole bodies as inputs: what stands on the wire is taken back to the fields and sections that it would come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from polyport.engine.schema import Place, public_names
from polyport.importers.described import Endpoint
from polyport.importers.openapi import mapping
from polyport.importers.references import Dangling, References, pointed_at
from polyport.manifest.model import Action

MOST: Final = 5  # of one operation
_NAMES: Final = re.compile(r"(?:\{\{ ?|otherwise: )([A-Za-z_][A-Za-z0-9_-]*)")


class Unsaid(Exception):
    """No fields lead to this value: the template has something else in its place."""


def examples_of(endpoint: Endpoint, references: References) -> list[Any]:
    """The examples of the body that an operation is called with, each once."""
    if endpoint.body is None:
        return []
    try:
        body = mapping(references.follow(mapping(pointed_at(references.data, endpoint.pointer)).get("requestBody")))
        media = mapping(references.follow(mapping(references.follow(body.get("content"))).get(endpoint.body.media)))
        told = [media["example"]] if "example" in media else []
        told += [mapping(references.follow(one)).get("value") for one in mapping(media.get("examples")).values()]
        schema = mapping(references.follow(media.get("schema")))
    except Dangling:
        return []
    told += [schema["example"]] if "example" in schema else []
    told += schema["examples"] if isinstance(schema.get("examples"), list) else []
    told = [_followed(one, references) for one in told]
    return [one for place, one in enumerate(told) if isinstance(one, dict | list) and one and one not in told[:place]][:MOST]


def _followed(value: Any, references: References) -> Any:
    """A value that stands elsewhere: some documents refer to files with examples so."""
    try:
        return references.follow(value) if isinstance(value, dict) and set(value) == {"$ref"} else value
    except Dangling:
        return None


def input_of(action: Action, written: Mapping[str, Any], example: Any, rest: Mapping[str, Any]) -> dict[str, Any]:
    """The input whose body is the example, as far as it is described; what does not stand in the body is that of ``rest``, or its own sample.

    ``written`` is the action as it stands in its file. Raises ``Unsaid``.
    """
    fields, sections = _by_name(written.get("fields", ())), _by_name(written.get("sections", ()))
    body = written["call"].get("body")
    data = _Reader(public_names(action), dict(_places(written))).level(body, example, {**fields, **sections})
    inside = set(_NAMES.findall(str(body)))
    inside |= {one["when"]["at"] for one in (*fields.values(), *sections.values()) if "when" in one and one["name"] in inside}
    samples = {
        name: one["sample"]
        for name, one in fields.items()
        if "sample" in one and "list" not in one and (name in rest or one.get("required"))
    }
    return {name: value for name, value in {**rest, **samples}.items() if name not in inside} | data


def _by_name(parts: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {one["name"]: one for one in parts}


def _places(part: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[str, tuple[Mapping[str, Any], Place]]]:
    """Every section with its place, by the names on the way, and by its own."""
    for section in part.get("sections", ()):
        inner = (*place, section["name"])
        yield from _places(section, inner)
        yield section["name"], (section, inner)
        yield ".".join(inner), (section, inner)


@dataclass(frozen=True, slots=True)
class _Reader:
    """``public`` are the names by which callers know fields, ``places`` the sections that others may be like."""

    public: Mapping[tuple[Place, str], str]
    places: Mapping[str, tuple[Mapping[str, Any], Place]]

    def level(self, template: Any, value: Any, parts: Mapping[str, Any]) -> dict[str, Any]:
        """What has to be given so that the template gives the value."""
        if isinstance(template, Mapping):
            if not isinstance(value, Mapping):
                raise Unsaid
            found: dict[str, Any] = {}
            for key, inner in template.items():
                if key in value:
                    found |= self.level(inner, value[key], parts)
            return found
        if not isinstance(template, str) or "{{" not in template:
            if template != value:
                raise Unsaid
            return {}
        for name in _NAMES.findall(template):
            part = parts.get(name)
            if part is None or part.get("type") in {"file", "file[]"}:
                continue
            with suppress(Unsaid):
                when = part.get("when", {})
                return self.part(part, value, ()) | ({when["at"]: when["equals"]} if "equals" in when else {})
        raise Unsaid

    def part(self, part: Mapping[str, Any], value: Any, place: Place) -> dict[str, Any]:
        """A field or a section with its value."""
        if "type" in part:
            return {self.public[place, part["name"]]: value}
        return {part["name"]: self.rows(part, value, (*place, part["name"]))}

    def rows(self, section: Mapping[str, Any], value: Any, place: Place) -> list[dict[str, Any]]:
        """The rows of a section."""
        alike, place = self.places.get(str(section.get("like")), (section, place))
        shape = section.get("shape", "rows")
        if shape == "map" and isinstance(value, Mapping):
            key = self.public[place, "key"]
            return [{key: str(name)} | self.row(alike, {"value": inner}, place, skip="key") for name, inner in value.items()]
        listed = value if shape == "rows" else [value]
        if not isinstance(listed, list) or shape not in {"rows", "object"}:
            raise Unsaid
        return [self.row(alike, one, place) for one in listed]

    def row(self, section: Mapping[str, Any], value: Any, place: Place, skip: str = "") -> dict[str, Any]:
        """One row: of several cases the one that takes most of what there is."""
        parts = [*section.get("fields", ()), *section.get("sections", ())]
        selector = next((one for one in parts if one.get("sent") is False and "options" in one), None)
        cases = [option["key"] for option in selector["options"]] if selector is not None else [None]
        found: list[dict[str, Any]] = []
        for case in cases:
            with suppress(Unsaid):
                taken = self.case([one for one in parts if one is not selector and one["name"] != skip], value, place, case)
                found.append(taken | ({self.public[place, selector["name"]]: case} if selector is not None else {}))
        if not found:
            raise Unsaid
        return max(found, key=len)

    def case(self, parts: Sequence[Mapping[str, Any]], value: Any, place: Place, case: Any) -> dict[str, Any]:
        """A row in one of its cases. Raises ``Unsaid`` where that needs what is not there."""
        found: dict[str, Any] = {}
        for part in parts:
            if "when" in part and "equals" in part["when"] and part["when"]["equals"] != case:
                continue
            there, inner = _at(value, part.get("at", [part["name"]]))
            if there:
                found |= self.part(part, inner, place)
            elif part.get("required"):
                raise Unsaid
        return found


def _at(value: Any, steps: Any) -> tuple[bool, Any]:
    for step in [steps] if isinstance(steps, str) and steps else steps or []:
        if not isinstance(value, Mapping) or step not in value:
            return False, None
        value = value[step]
    return True, value


def inputs_of(
    action: Action, written: Mapping[str, Any], endpoint: Endpoint, references: References, rest: Mapping[str, Any]
) -> Iterator[dict[str, Any] | None]:
    """An input for each example of the document; ``None`` where it cannot be said in fields."""
    for example in examples_of(endpoint, references):
        try:
            yield input_of(action, written, example, rest)
        except Unsaid:
            yield None
