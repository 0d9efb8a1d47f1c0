"""A catalogue of many partners, generated from real API descriptions by the importer: ``generate`` writes the folders, ``bench.scale`` measures with them.

The descriptions are imported once (some minutes), each into a partner; then partners are written that have some of the operations of one of these each,
under ids, slugs and names of their own.
"""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

PARTNERS: Final = 1_500
OPERATIONS: Final = 60_000
LARGE: Final = 1_000  # operations of the first partner
FIRST_PARTNER: Final = 1_000_000_000
FIRST_OPERATION: Final = 3_000_000_000_000_000
_ID: Final = re.compile(r"^id: \d+$", re.MULTILINE)
_SLUG: Final = re.compile(r"^slug: \S+$", re.MULTILINE)
_TITLE: Final = re.compile(r"^title: (.*)$", re.MULTILINE)
_LIST: Final = re.compile(r"\blist: ([A-Za-z_][A-Za-z0-9_-]*)")
_STARTS: Final = ("nor", "vel", "zan", "qui", "mar", "lum", "tor", "pex", "rin", "sol", "kav", "dri")
_ENDS: Final = ("do", "ra", "ly", "vo", "mix", "ta", "sy", "nu", "pa", "zo", "fy", "ka")


def import_all(corpus: Path, folder: Path) -> None:
    """Import every description that is there into ``folder``, once."""
    from polyport.importers.documents import Refused  # noqa: PLC0415  only this needs the importer
    from polyport.importers.run import Import, import_guarded  # noqa: PLC0415  as above
    from polyport.importers.writing import write_folder  # noqa: PLC0415  as above

    with (corpus / "index.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for number, row in enumerate(rows):
        document, slug = corpus / row["file"], f"{row['service']}-{number}"
        if not row["format"].startswith(("openapi", "swagger", "google")) or (folder / slug).exists():
            continue
        wanted = Import(
            content=document.read_bytes(),
            slug=slug,
            today=datetime.now(UTC).date(),
            source=document.name,
            folder=document.parent,
            base=f"https://api.{row['service']}.example.com",
        )
        try:
            write_folder(folder / slug, import_guarded(wanted).files)
        except Refused as refused:
            print(f"{slug}: {refused}", file=sys.stderr)


def generate(imported: Path, folder: Path, partners: int = PARTNERS, operations: int = OPERATIONS) -> int:
    """Write partners until there are as many, with as many operations in all; how many operations there are."""
    sources = [each for each in sorted(imported.iterdir()) if (each / "partner.yaml").is_file()]
    taking = {source: itertools.cycle(sorted(source.glob("actions/*.yaml"))) for source in sources}
    sizes = {source: len(list(source.glob("actions/*.yaml"))) for source in sources}
    ordered = sorted(sources, key=lambda source: -sizes[source])
    written = 0
    for number in range(partners):
        source = ordered[number % len(ordered)]
        wanted = LARGE if number == 0 else -(-(operations - written) // (partners - number))
        written += _write(source, folder, number, itertools.islice(taking[source], min(wanted, sizes[source])), written)
    return written


def _write(source: Path, folder: Path, number: int, files: Iterator[Path], first: int) -> int:
    name = _STARTS[number % 12] + _ENDS[number // 12 % 12] + (str(number // 144) if number >= 144 else "")
    target = folder / f"{source.name}-{name}"
    (target / "actions").mkdir(parents=True)
    text = (source / "partner.yaml").read_text("utf-8")
    text = _SLUG.sub(f"slug: {target.name}", _ID.sub(f"id: {FIRST_PARTNER + number}", text, count=1), count=1)
    title = _TITLE.search(text)
    words = title[1].strip("'\"") if title is not None else source.name
    text = _TITLE.sub(lambda _found: f'title: "{words.replace(chr(34), "")} {name.title()}"', text, count=1)
    (target / "partner.yaml").write_text(text, "utf-8")
    lists: set[str] = set()
    count = 0
    for count, file in enumerate(files, 1):
        action = file.read_text("utf-8")
        lists.update(_LIST.findall(action))
        (target / "actions" / file.name).write_text(_ID.sub(f"id: {FIRST_OPERATION + first + count}", action, count=1), "utf-8")
    for list_name in lists:
        list_file = source / "lists" / f"{list_name}.yaml"
        if list_file.is_file():
            (target / "lists").mkdir(exist_ok=True)
            (target / "lists" / list_file.name).write_bytes(list_file.read_bytes())
    return count
