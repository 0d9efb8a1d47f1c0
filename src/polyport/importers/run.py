"""One import from bytes to files, in a process of its own: what a document does to its reader, it does to that process alone."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from polyport.importers.documents import Refused, read_document
from polyport.importers.drift import Change, compare
from polyport.importers.overlay import Overlay
from polyport.importers.partner import Wanted, beside, build
from polyport.importers.references import ReadFile, no_files
from polyport.importers.report import FORMAT, notes_of, report_of, report_text
from polyport.importers.writing import folder_files

SECONDS: Final = 300
MEMORY: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What is to be imported. ``files`` are those beside the document, by their path, or they stand in a ``folder``; ``before`` is the report of an earlier import, whose ids and names stay."""

    content: bytes = field(repr=False)
    slug: str
    today: date
    source: str = ""
    origin: str | None = None
    base: str | None = None
    number: int | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    overlay: bytes | None = field(default=None, repr=False)
    before: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it: the folder's files, the report, and the changes since the import before."""

    files: Mapping[str, str]
    report: Mapping[str, Any]
    changes: tuple[Change, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.report["leftOut"]


def import_document(wanted: Import) -> Imported:
    """Import in this process. Raises ``Refused``."""
    overlay = Overlay(wanted.overlay) if wanted.overlay is not None else None
    data = read_document(wanted.content)
    if overlay is not None:
        data = overlay.correct(data)
    told = _told(wanted.before)
    asked = Wanted(
        slug=wanted.slug,
        today=wanted.today,
        base=wanted.base,
        origin=wanted.origin,
        number=wanted.number,
        kept_ids={call: int(one["id"]) for call, one in told.items()},
        kept_names={call: str(one["name"]) for call, one in told.items()},
    )
    built = build(data, asked, _reader(wanted))
    if overlay is not None:
        overlay.finish(built)
    digest = hashlib.sha256(wanted.content).hexdigest()
    report = report_of(built, source=wanted.source, digest=digest, unused=overlay.unused if overlay is not None else [])
    extra = {"notes.md": notes_of(report, built.service.docs), "import.json": report_text(report)}
    changes = tuple(compare(told, report["operations"])) if wanted.before is not None else ()
    return Imported(files=folder_files(built, extra), report=report, changes=changes)


def _told(before: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The operations of an earlier report. Raises ``Refused`` for one of another format."""
    if before is None:
        return {}
    if before.get("format") != FORMAT or not isinstance(before.get("operations"), dict):
        raise Refused("The import.json in the folder is not one of this version: take it away, and ids and names are made anew.")
    return dict(before["operations"])


def _reader(wanted: Import) -> ReadFile:
    if wanted.folder is not None:
        return beside(wanted.folder)
    files = wanted.files
    if not files:
        return no_files

    def read(name: str) -> bytes:
        if name not in files:
            raise OSError(f"there is no {name}")
        return files[name]

    return read


def import_guarded(wanted: Import, seconds: int = SECONDS, memory: int = MEMORY, progress: Callable[[], None] | None = None) -> Imported:
    """Import in a process of its own, which gets so much time and memory. Raises ``Refused``, also where that was not enough.

    ``progress`` is called every half second while it lasts.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sending, wanted, seconds, memory), daemon=True)
    child.start()
    sending.close()
    try:
        waited = 0.0
        while not receiving.poll(0.5):
            waited += 0.5
            if progress is not None:
                progress()
            if waited > seconds + 30:
                raise Refused(f"The document was not read within {seconds} seconds.")
        try:
            found = receiving.recv()
        except EOFError:
            raise Refused(f"Reading the document took more than {seconds} seconds or {memory // 1024**2} MiB of memory.") from None
    finally:
        child.kill()
        child.join()
        receiving.close()
    if not isinstance(found, Imported):
        raise Refused(str(found))
    return found


def _child(sending: Connection, wanted: Import, seconds: int, memory: int) -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sending.send(import_document(wanted))
    except Refused as error:
        sending.send(str(error))
    except MemoryError:
        sending.send(f"Reading the document took more than {memory // 1024**2} MiB of memory.")
    except Exception as error:  # noqa: BLE001  a defect of the importer must not look like a success, nor show what the document holds
        sending.send(f"The importer failed on this document ({type(error).__name__}): please report it with the document.")
