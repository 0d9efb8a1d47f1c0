"""One import from bytes to files, in a process of its own: what a document does to its reader, it does to that process alone."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from polyport.importers.documents import Refused, read_document
from polyport.importers.drift import Change, compare_reports
from polyport.importers.names import FIRST_OPERATION
from polyport.importers.overlay import Overlay
from polyport.importers.partner import Built, Progress, Wanted, beside, build
from polyport.importers.questions import Asking, Question
from polyport.importers.references import ReadFile, no_files
from polyport.importers.report import FORMAT, notes_of, report_of, report_text
from polyport.importers.writing import folder_files
from polyport.manifest.archives import pack
from polyport.manifest.disk import Files
from polyport.manifest.load import load_partner

SECONDS: Final = 300
MEMORY: Final = 4 * 1024**3
LOOK_SECONDS: Final = 0.5
TOLD_SECONDS: Final = 0.25
FAULTS_SHOWN: Final = 10
READING: Final = "read"
CHECKING: Final = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What is to be imported.

    ``files`` are those beside the document, by their path, or they stand in a ``folder``, or (``elsewhere``) are asked for one by one. ``before`` is the
    report of an earlier import, whose ids and names stay.

    ``base``, ``hosts``, ``asks``, ``seed`` and ``first_id`` are those of ``Wanted``. With ``packed`` the folder comes as an archive that was loaded once.
    """

    content: bytes = field(repr=False)
    slug: str
    today: date
    source: str = ""
    origin: str | None = None
    base: str | None = None
    hosts: tuple[str, ...] | None = None
    asks: bool = False
    seed: str | None = None
    first_id: int = FIRST_OPERATION
    number: int | None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    elsewhere: bool = False
    overlay: bytes | None = field(default=None, repr=False)
    before: Mapping[str, Any] | None = field(default=None, repr=False)
    packed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it: the folder's files (or the folder as an ``archive``), the report, and the changes since the import before."""

    files: Mapping[str, str]
    archive: bytes | None = field(default=None, repr=False)
    report: Mapping[str, Any]
    changes: tuple[Change, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.report["leftOut"]


def import_document(wanted: Import, read: ReadFile | None = None, progress: Progress | None = None) -> Imported:
    """Import in this process; ``read`` gives files that are ``elsewhere``. Raises ``Refused`` or ``Asking``."""
    overlay = Overlay(wanted.overlay) if wanted.overlay is not None else None
    data = read_document(wanted.content)
    if overlay is not None:
        data = overlay.correct(data)
    told = _told(wanted.before)
    asked = Wanted(
        slug=wanted.slug,
        today=wanted.today,
        base=wanted.base,
        hosts=wanted.hosts,
        asks=wanted.asks,
        seed=wanted.seed,
        first_id=wanted.first_id,
        origin=wanted.origin,
        number=wanted.number,
        kept_ids={call: int(one["id"]) for call, one in told.items()},
        kept_names={call: str(one["name"]) for call, one in told.items()},
    )
    built = build(data, asked, read or _reader(wanted), progress)
    if overlay is not None:
        overlay.finish(built)
        _check_ids(built, wanted)
    digest = hashlib.sha256(wanted.content).hexdigest()
    report = report_of(built, source=wanted.source, digest=digest, unused=overlay.unused if overlay is not None else [])
    extra = {"notes.md": notes_of(report, built.service.docs), "import.json": report_text(report)}
    changes = tuple(compare_reports(wanted.before, report)) if wanted.before is not None else ()
    files = folder_files(built, extra)
    if not wanted.packed:
        return Imported(files=files, report=report, changes=changes)
    archive = pack(files)
    if problems := load_partner(Files(wanted.slug, {name: text.encode() for name, text in files.items()})).problems:
        shown = " ".join(map(str, problems[:FAULTS_SHOWN]))
        raise Refused(f"What came out has {len(problems)} faults; correct them with an overlay. {shown}")
    return Imported(files={}, archive=archive, report=report, changes=changes)


def _check_ids(built: Built, wanted: Import) -> None:
    """Raise ``Refused`` where an overlay makes a partner of an account's own another partner, or its operations those of another."""
    if wanted.seed is None:
        return
    for key in ("version", "status", "deprecation"):
        built.partner.pop(key, None)  # these are said of the partner in the server, version by version
    kept = built.partner.get("id") == wanted.number and built.partner.get("slug") == wanted.slug
    ids = [part.get("id") for part in (*built.actions.values(), *built.triggers.values())]
    if not kept or not all(isinstance(one, int) and wanted.first_id <= one < 2 * wanted.first_id for one in ids):
        raise Refused("An overlay cannot change the ids and the slug of a partner of your own.")


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


@dataclass(frozen=True, slots=True)
class _Needs:
    """The child needs a file that is elsewhere."""

    name: str


@dataclass(frozen=True, slots=True)
class _At:
    """The child has come so far: it reads operations, or checks the folder that came of them."""

    step: str
    number: int
    count: int


@dataclass(frozen=True, slots=True)
class _Refused:
    why: str


@dataclass(frozen=True, slots=True)
class _Asks:
    questions: tuple[Question, ...]


def import_guarded(
    wanted: Import,
    seconds: int = SECONDS,
    memory: int = MEMORY,
    progress: Callable[[str, int, int], None] | None = None,
    read: ReadFile | None = None,
) -> Imported:
    """Import in a process of its own, which gets so much time and memory. Raises ``Refused``, also where that was not enough, or ``Asking``.

    ``progress`` is called every half second while it lasts, with what is being done (``READING``, then ``CHECKING``), the operations that are read and
    how many there are (0: not known yet); what it raises ends the import. ``read`` gives the files that are ``elsewhere``, an ``OSError`` where there is none; it is called in this thread.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, wanted, seconds, memory), daemon=True)
    child.start()
    theirs.close()
    try:
        found = _follow(ours, time.monotonic() + seconds + 30, progress, read)
    except TimeoutError:
        raise Refused(f"The document was not read within {seconds} seconds.") from None
    except (EOFError, ConnectionError):
        raise Refused(f"Reading the document took more than {seconds} seconds or {memory // 1024**2} MiB of memory.") from None
    finally:
        child.kill()
        child.join()
        ours.close()
    if isinstance(found, _Asks):
        raise Asking(found.questions)
    if not isinstance(found, Imported):
        raise Refused(found.why)
    return found


def _follow(
    ours: Connection, end: float, progress: Callable[[str, int, int], None] | None, read: ReadFile | None
) -> Imported | _Refused | _Asks:
    """What the child says at last. Raises ``TimeoutError``, ``EOFError`` when it died."""
    at = _At(READING, 0, 0)
    while True:
        if progress is not None:
            progress(at.step, at.number, at.count)
        if time.monotonic() > end:
            raise TimeoutError
        if not ours.poll(LOOK_SECONDS):
            continue
        told: Imported | _Refused | _Asks | _At | _Needs = ours.recv()
        if isinstance(told, _At):
            at = told
        elif isinstance(told, _Needs):
            ours.send(_given(told.name, read))
        else:
            return told


def _given(name: str, read: ReadFile | None) -> bytes | None:
    if read is None:
        return None
    try:
        return read(name)
    except OSError:
        return None


def _child(pipe: Connection, wanted: Import, seconds: int, memory: int) -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    last = -TOLD_SECONDS

    def progress(number: int, count: int) -> None:
        nonlocal last
        if number == count or time.monotonic() - last >= TOLD_SECONDS:
            last = time.monotonic()
            pipe.send(_At(CHECKING if number == count else READING, number, count))

    def read(name: str) -> bytes:
        pipe.send(_Needs(name))
        content = pipe.recv()
        if not isinstance(content, bytes):
            raise OSError(f"there is no {name}")
        return content

    try:
        pipe.send(import_document(wanted, read if wanted.elsewhere else None, progress))
    except Refused as error:
        pipe.send(_Refused(str(error)))
    except Asking as asking:
        pipe.send(_Asks(asking.questions))
    except MemoryError:
        pipe.send(_Refused(f"Reading the document took more than {memory // 1024**2} MiB of memory."))
    except Exception as error:  # noqa: BLE001  a defect of the importer must not look like a success, nor show what the document holds
        pipe.send(_Refused(f"The importer failed on this document ({type(error).__name__}): please report it with the document."))
