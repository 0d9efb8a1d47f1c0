"""Named statements: ``sql/queries/*.sql``, each ``-- name: x``, a line that describes it, and one statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

_HEAD: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One statement with its name and what it is for."""

    name: str
    description: str
    sql: str


def parse_queries(text: str, origin: str) -> list[Query]:
    """The statements of one file. Raises ``ValueError`` for one without a description or a body."""
    found: list[Query] = []
    heads = list(_HEAD.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        lines = text[head.end() : following.start() if following is not None else len(text)].strip().splitlines()
        description = " ".join(line.removeprefix("--").strip() for line in lines if line.startswith("--"))
        sql = "\n".join(line for line in lines if not line.startswith("--")).strip().removesuffix(";")
        if not description or not sql:
            raise ValueError(f"{origin}: the query {head[1]} lacks its description or its statement")
        found.append(Query(name=head[1], description=description, sql=sql))
    return found


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
