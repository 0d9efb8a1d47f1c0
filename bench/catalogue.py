"""What a catalogue of many partners costs at start: the bundled folders and copies of them. ``python -m bench.catalogue``: JSON on standard output."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec

from bench.machine import resident
from polyport.catalog import Catalog, Wanted
from polyport.manifest.load import partner_folders

PARTNERS: Final = 30
SECONDS: Final = 1.5
MEGABYTES: Final = 60
_ID: Final = re.compile(r"^id: (\d+)$", re.MULTILINE)
_SLUG: Final = re.compile(r"^slug: (\S+)$", re.MULTILINE)
_OFFSET: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Loading and checking ``partners`` folders of ``files`` files in a process that had loaded none: seconds, and MB that it grew by."""

    partners: int
    operations: int
    files: int
    seconds: float
    mb: float


def copy_partners(folder: Path, partners: int = PARTNERS) -> int:
    """Copies of bundled partners with ids and slugs of their own, until there are enough partners in all; the number of files read at start."""
    bundled = [Path(str(each)) for each in partner_folders(files("polyport").joinpath("connectors"))]
    count = sum(_read_at_start(each) for each in bundled)
    for number in range(max(0, partners - len(bundled))):
        source = bundled[number % len(bundled)]
        target = folder / f"{source.name}-{number}"
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("cases", "*.md"))
        for path in target.rglob("*.yaml"):
            path.write_text(_renamed(path.read_text("utf-8"), number), "utf-8")
        count += _read_at_start(target)
    return count


def _renamed(text: str, number: int) -> str:
    return _SLUG.sub(
        lambda found: f"slug: {found[1]}-{number}", _ID.sub(lambda found: f"id: {int(found[1]) + _OFFSET + number * 10**8}", text)
    )


def _read_at_start(folder: Path) -> int:
    return 1 + sum(1 for kind in ("actions", "triggers", "lists") for _path in (folder / kind).glob("*.yaml"))


def main() -> None:
    """Measure, and print JSON."""
    with tempfile.TemporaryDirectory(prefix="bench-partners-") as folder:
        count = copy_partners(Path(folder))
        before, began = resident(), time.perf_counter()
        catalog = Catalog.load((folder,), "http://127.0.0.1:8080")
        seconds, grown = time.perf_counter() - began, resident() - before
    if catalog.problems:
        raise SystemExit("\n".join(map(str, catalog.problems)))
    operations = asyncio.run(catalog.seen_by(None).list_operations(Wanted())).total
    loaded = Loaded(partners=catalog.count, operations=operations, files=count, seconds=seconds, mb=grown)
    sys.stdout.write(msgspec.json.encode(loaded).decode() + "\n")


if __name__ == "__main__":
    main()
