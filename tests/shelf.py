"""A source of partners that a test fills: folders in memory, with an owner each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from polyport.catalog import Offer
from polyport.manifest.disk import Files, Place
from polyport.manifest.source import Problem

PARTNER = """\
id: {id}
slug: {slug}
title: {title}
owners: [Somebody]
base: https://api.example.com
verified: {{how: cases, on: "2026-11-01"}}
"""
ACTION = """\
id: {id}
name: create
title: {title}
idempotent: true
call: {{method: PUT, path: /things}}
"""


def folder(number: int, slug: str = "", title: str = "Depot", operation: str = "Create a thing") -> dict[str, bytes]:
    return {
        "partner.yaml": PARTNER.format(id=number, slug=slug or f"depot-{number}", title=title).encode(),
        "actions/create.yaml": ACTION.format(id=number * 1000 + 1, title=operation).encode(),
    }


@dataclass
class Shelf:
    """A source in memory: key to owner and files."""

    name: str = "shelf"
    held: dict[str, tuple[int | None, dict[str, bytes]]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    async def revision(self) -> str:
        return repr(self.held)

    async def offers(self) -> tuple[Sequence[Offer], Sequence[Problem]]:
        return [Offer(key=key, stamp=repr(files), owner=owner) for key, (owner, files) in self.held.items()], ()

    async def folder(self, offer: Offer) -> Place:
        self.read.append(offer.key)
        return Files(offer.key, self.held[offer.key][1])
