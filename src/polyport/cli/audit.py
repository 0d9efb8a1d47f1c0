"""``polyport audit``: verifying an exported audit log, anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from polyport.errors import SetupError

audit = typer.Typer(help="The audit log: verify what was exported.", no_args_is_help=True)


@audit.callback()
def _group() -> None:
    """The audit log: verify what was exported."""


@audit.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(help="What GET /audit/export gave.")],
    head: Annotated[str | None, typer.Option(help="A hash that you kept: that of its end, then or now.", show_default=False)] = None,
) -> None:
    """Verify an exported audit log: every entry against its hash, and each against the one before it.

    Exit code 0: it is as it was written. 1: it is not, and the first entry that is wrong is named.
    """
    from polyport.audit import verify  # noqa: PLC0415  other commands start faster without it

    kept = _Kept(head)
    found = verify(kept.look(_entries(file)))
    if found.broken_at is not None:
        raise SetupError(f"The audit log is broken at entry {found.broken_at}: {found.why}")
    if head is not None and kept.at is None:
        raise SetupError(f"No entry has the hash {head}, the last one has {found.head}: its end is missing, or all of it was written anew.")
    since = "" if kept.at is None else f" The hash that you kept is that of entry {kept.at}, {found.entries - kept.at} came after it."
    typer.echo(f"{found.entries} entries, all as they were written. The end: {found.head or 'none'}.{since}")


class _Kept:
    """Where in a log a hash stands that somebody kept: the log goes on after it."""

    def __init__(self, head: str | None) -> None:
        self._head = head.strip().lower() if head is not None else None
        self.at: int | None = None

    def look(self, entries: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The same entries."""
        for entry in entries:
            if self._head is not None and entry.get("hash") == self._head:
                self.at = entry.get("sequence")
            yield entry


def _entries(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise SetupError(f"{file}, line {number}: this is no entry of an audit log.")
            yield entry
