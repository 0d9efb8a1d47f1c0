"""Named statements: ``sql/queries/*.sql``, each ``-- name: x``, a line that describes it, and one statement.

What several statements of a file share is a part, ``-- part: y``, described too, and stands in them as ``{y}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Final

_HEAD: Final = re.compile(r"^-- (name|part): (\w+)$", re.MULTILINE)
_PART: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement with its name and what it is for."""

    name: str
    description: str
    sql: str


def parse_queries(text: str, origin: str) -> list[Query]:
    """The statements of one file. Raises ``ValueError`` for one without a description or a body, and for a part that is not there."""
    found: list[Query] = []
    parts: dict[str, str] = {}
    heads = list(_HEAD.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        lines = text[head.end() : following.start() if following is not None else len(text)].strip().splitlines()
        description = " ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--"))
        sql = "\n".join(line for line in lines if not line.startswith("--")).strip().removesuffix(";")
        if not description or not sql:
            raise ValueError(f"{origin}: the {'query' if head[1] == 'name' else 'part'} {head[2]} lacks its description or its statement")
        if head[1] == "part":
            parts[head[2]] = sql
        else:
            found.append(Query(name=head[2], description=description, sql=sql))
    return [replace(query, sql=_with_parts(query, parts, origin)) for query in found]


def _with_parts(query: Query, parts: Mapping[str, str], origin: str) -> str:
    def part(named: re.Match[str]) -> str:
        if named[1] not in parts:
            raise ValueError(f"{origin}: the query {query.name} has a part that is not there: {named[1]}")
        return parts[named[1]]

    return _PART.sub(part, query.sql)


def merge_queries(groups: Iterable[Iterable[Query]]) -> Mapping[str, Query]:
    """All statements by name. Raises ``ValueError`` for a name that stands twice."""
    merged: dict[str, Query] = {}
    for group in groups:
        for query in group:
            if query.name in merged:
                raise ValueError(f"the query {query.name} stands twice")
            merged[query.name] = query
    return merged


@cache
def load_queries() -> Mapping[str, Query]:
    """The statements of the package."""
    folder = files("polyport.store").joinpath("sql", "queries")
    return merge_queries(parse_queries(entry.read_text("utf-8"), entry.name) for entry in sorted(folder.iterdir(), key=lambda e: e.name))


@cache
def load_migrations() -> tuple[tuple[int, str], ...]:
    """The migrations in order: (version, script). The order is in the file names."""
    folder = files("polyport.store").joinpath("sql", "migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((int(name[:4]), folder.joinpath(name).read_text("utf-8")) for name in names)
