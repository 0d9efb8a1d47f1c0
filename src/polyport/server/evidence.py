"""What a partner's folder says of itself beside what it does: its quality tier, what is missing for a higher one, its notes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from polyport.manifest.disk import Place, is_file, is_folder
from polyport.server.routing import Answer, Body, Call, Endpoint

NOTES: Final = "notes.md"
NOTES_LONGEST: Final = 100_000


class RuleAnswer(Body):
    """One rule of the quality scale: ``text`` is what it asks and why, ``status`` is ``done``, ``todo`` or ``exempt``, with a ``comment`` that says why."""

    name: str
    level: str
    text: str
    status: str
    comment: str


class EvidenceAnswer(Body):
    """What is known of a partner's quality. ``tier`` is ``null`` where its folder claims none; ``notes`` is Markdown, empty where there are none."""

    tier: str | None
    rules: list[RuleAnswer]
    notes: str


async def read(call: Call) -> Answer:
    """GET /partners/{partnerId}/evidence."""
    account_id = call.caller.account_id if call.caller is not None else None
    item = await call.engine.runtime.catalog.seen_by(account_id).partner_item(call.id("partnerId"))
    return Answer(data=await asyncio.to_thread(_read, item["slug"], call.engine.runtime.settings.partner_roots), etag=True)


def _read(slug: str, extra: Sequence[str]) -> dict[str, Any]:
    from polyport.manifest.quality import FILE, load_quality  # noqa: PLC0415  the server starts faster without the scale
    from polyport.manifest.rules import RULES  # noqa: PLC0415  as above
    from polyport.manifest.rules.base import LEVELS  # noqa: PLC0415  as above

    roots: list[Any] = [files("polyport").joinpath("connectors"), *map(Path, extra)]
    folder: Place | None = next((root.joinpath(slug) for root in roots if is_folder(root.joinpath(slug))), None)
    if folder is None or not is_file(folder.joinpath(FILE)):
        return {"tier": None, "rules": [], "notes": _notes(folder)}
    quality = load_quality(folder, RULES).quality
    rules = [
        {
            "name": rule.name,
            "level": rule.tier,
            "text": rule.text,
            "status": quality.status(rule.name),
            "comment": quality.comment(rule.name),
        }
        for rule in sorted(RULES.values(), key=lambda rule: (LEVELS.index(rule.tier), rule.number))
    ]
    return {"tier": quality.tier, "rules": rules, "notes": _notes(folder)}


def _notes(folder: Place | None) -> str:
    if folder is None or not is_file(folder.joinpath(NOTES)):
        return ""
    return folder.joinpath(NOTES).read_bytes().decode("utf-8", "replace")[:NOTES_LONGEST]


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/partners/{partnerId}/evidence",
        handler=read,
        tag="Catalogue",
        summary="Read how good a partner is, and its notes",
        description="The tier of its folder, each rule of the quality scale with its answer, and the notes in Markdown. A partner that was imported has none.",
        scope="catalog:read",
        answer=EvidenceAnswer,
        tagged=True,
    ),
)
