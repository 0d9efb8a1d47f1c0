"""A new partner's folder: small, whole, without faults, with a mark (``todo:``) at each place where the partner itself has to be written in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from polyport.errors import SetupError
from polyport.manifest.load import load_partner
from polyport.manifest.model import Partner
from polyport.manifest.quality import RecordedIds, with_recorded_ids
from polyport.manifest.rules import RULES

FIRST_ID: Final = 100_000
LAST_ID: Final = 999_999
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]{0,59}")


def free_id(slug: str, others: Iterable[Partner]) -> int:
    """An id for a new partner, told by its slug: two people who start partners at the same time do not meet in the middle of a list."""
    taken = {partner.file.id for partner in others}
    taken |= {operation.id // 10_000 for partner in others for operation in partner.operations}
    span = LAST_ID - FIRST_ID + 1
    first = int.from_bytes(hashlib.sha256(slug.encode()).digest()[:8]) % span
    return next(number for number in (FIRST_ID + (first + step) % span for step in range(span)) if number not in taken)


def write_partner(folder: Path, slug: str, title: str, number: int, today: date) -> list[str]:
    """Write a new partner into a folder that is not there yet; the names of its files. Raises ``SetupError``."""
    if not _SLUG.fullmatch(slug):
        raise SetupError(f'"{slug}" is no slug: small letters, digits and -, beginning with a letter.')
    if folder.exists():
        raise SetupError(f"{folder} is there already; nothing was written. Choose another slug, or another place with --into.")
    words = {"@ID@": str(number), "@SLUG@": slug, "@TITLE@": _quoted(title), "@TODAY@": today.isoformat()}
    written: list[str] = []
    for name, entry in _templates(files("polyport.cli").joinpath("new_partner"), ""):
        text = entry.read_text("utf-8")
        for word, value in words.items():
            text = text.replace(word, title if word == "@TITLE@" and not name.endswith(".yaml") else value)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        written.append(name)
    partner = load_partner(folder).partner
    if partner is not None:
        (folder / "quality.yaml").write_text(_claims(partner), "utf-8")
    return [*written, "quality.yaml"]


def _claims(partner: Partner) -> str:
    """Every rule still to be done, with what a rule asks in a remark, and the ids."""
    lines = [
        "# Every rule of docs/reference/quality.md: done, todo, or {status: exempt, comment: why}. `polyport connector score` checks what is said here."
    ]
    lines += [f"{rule.name}: todo  # {rule.tier}" for rule in RULES.values()]
    return with_recorded_ids("\n".join(lines), partner, RecordedIds())


def _quoted(title: str) -> str:
    """A title that stays a text in a YAML file."""
    plain = (
        all(char.isalnum() or char in " .&()'" for char in title) and title[:1].isalpha() and title.lower() not in {"true", "false", "null"}
    )
    return title if plain else '"' + title.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _templates(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
