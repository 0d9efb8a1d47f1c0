"""What is asked of the index of the catalogue, as SQL: what is seen, what a list holds, and in which order."""

from __future__ import annotations

import json
from typing import Any

from polyport.store.catalogue import Ordered, Reach
from polyport.store.rows import After


def seen_in(reach: Reach) -> tuple[str, list[Any]]:
    """What is seen, and the values in it."""
    if reach.allowed is None:
        return "(owner IS NULL OR owner = ?)", [reach.owner]
    told = json.dumps(sorted(reach.allowed))
    return "(owner IS NULL OR owner = ?) AND partner_id IN (SELECT value FROM json_each(?))", [reach.owner, told]


def conditions_of(kind: str, reach: Reach, wanted: Ordered) -> tuple[str, list[Any]]:
    """What a list holds, and the values in it."""
    seen, given = seen_in(reach)
    where = [seen]
    for column, value in wanted.equal.items():
        where.append(f"{column} = ?")
        given.append(value)
    for column, part in (("title_key", wanted.like), ("slug", wanted.slug_like)):
        if part is not None:
            where.append(f"instr({column}, ?) > 0")
            given.append(part)
    for facet in wanted.facets if kind == "partner" else ():
        where.append("instr(facets, ?) > 0")
        given.append(f"\n{facet}\n")
    return " AND ".join(where), given


def beyond_of(kind: str, wanted: Ordered, after: After | None) -> tuple[str, list[Any]]:
    """What comes after a place: further on in the column that sorts, or equal there and of a larger id."""
    if after is None:
        return "1", []
    first, *rest = wanted.columns(kind)
    further = f"{first} {'<' if wanted.reverse else '>'} ?"
    if not rest:
        return further, [after[0]]
    marks = ", ".join("?" * len(rest))
    return f"({further} OR ({first} = ? AND ({', '.join(rest)}) > ({marks})))", [after[0], after[0], *after[1:]]


def order_of(kind: str, wanted: Ordered, *, backwards: bool) -> str:
    """The order of a list; ``backwards`` from its end."""
    columns = wanted.columns(kind)
    directions = (wanted.reverse, *(False for _column in columns[1:]))
    return ", ".join(f"{column} {'DESC' if down is not backwards else 'ASC'}" for column, down in zip(columns, directions, strict=True))
