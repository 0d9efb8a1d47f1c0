"""What a schema asks of an object beside the members that it needs in any case: of several sets of members, all of one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from polyport.importers.views import View, Views, is_mere_demand

SETS_MOST: Final = 30
_HEAD: Final = re.compile(r"(?:\{\{ ?|otherwise: )([A-Za-z_][A-Za-z0-9_-]*)")
Sets = list[list[str]]


def demands_of(view: View) -> list[list[tuple[str, ...]]]:
    """The demands, each a list of sets of members' names, without those that ``required`` meets already."""
    found: list[list[tuple[str, ...]]] = []
    for word in ("anyOf", "oneOf"):
        listed = view.told.get(word)
        if isinstance(listed, list) and listed and all(is_mere_demand(one) for one in listed):
            needed = [one.get("required") for one in listed]
            sets = [
                tuple(str(name) for name in names if str(name) not in view.required) if isinstance(names, list) else () for names in needed
            ]
            found += [sets] if all(sets) else []
    if (view.whole("minProperties") or 0) > 0 and not view.required and view.properties:
        found.append([(name,) for name in view.properties])
    return found


def placed_demands(view: View, placed: Mapping[str, Any], fields: Sequence[Mapping[str, Any]]) -> Iterator[Sets]:
    """The demands in the names of fields and sections; ``placed`` is what stands for each member in the template. What cannot be said so is left out."""
    for sets in demands_of(view):
        found = [list(dict.fromkeys(one)) for names in sets for one in product(*(heads(placed.get(name), fields) for name in names))]
        if (
            found
            and len(found) <= SETS_MOST
            and not any(name in placed and not heads(placed[name], fields) for names in sets for name in names)
        ):
            yield found


def heads(piece: Any, fields: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields and sections of which one has to be given so that there is something in this piece of a template."""
    deciding = {str(field["name"]): str(field["when"]["at"]) for field in fields if "when" in field}
    return list(dict.fromkeys(deciding.get(name, name) for name in _HEAD.findall(str(piece))))


def side_by_side(views: Views, schema: Any) -> Any:
    """One of several objects as one object with the members of all, where the members stand beside each other anyway: which are needed is a demand."""
    view = views.look(schema)
    cases = [views.look(one) for one in view.variants]
    if view.kind != "union" or any(case.kind != "object" or not case.properties for case in cases):
        return schema
    properties: dict[str, Any] = {}
    for one in (view, *cases):
        properties |= {name: told for name, told in one.properties.items() if name not in properties}
    told: dict[str, Any] = {"type": "object", "properties": properties, "required": sorted(view.required)}
    if all(case.required for case in cases):
        told["anyOf"] = [{"required": sorted(case.required)} for case in cases]
    return told
