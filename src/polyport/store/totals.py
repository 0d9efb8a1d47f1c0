"""Statements that add to what is there: of those that share a commit, each sum is written once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from polyport.store.base import Statement


def summed(statements: Sequence[Statement]) -> list[Statement]:
    """The fewest statements that do the same: those that differ in what they add alone are one, with the sums."""
    found: dict[tuple[Any, ...], tuple[Statement, dict[str, int]]] = {}
    known = {id(statement): statement for statement in statements}
    for place, times in Counter(map(id, statements)).items():  # many callers hand over the very same one
        statement = known[place]
        key, amounts = (statement.query, *statement.params.values()), statement.adds or {}
        held = found.get(key)
        if held is None:
            found[key] = (statement, {name: amount * times for name, amount in amounts.items()})
            continue
        for name, amount in amounts.items():
            held[1][name] += amount * times
    return [Statement(query=first.query, params={**first.params, **totals}) for first, totals in found.values()]
