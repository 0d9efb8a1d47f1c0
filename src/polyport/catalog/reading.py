"""Reading partners' folders for an index: checked whole, and made what the index keeps. Many are read in several processes, since that takes nearly all of a build."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.process
import os
import signal
import threading
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from polyport.catalog.listing import operation_row, partner_row
from polyport.catalog.sources import Offer
from polyport.manifest.disk import Place
from polyport.manifest.load import Loaded, content_digest, load_partner
from polyport.manifest.source import Problem
from polyport.store.catalogue import OfferRow, Stored

ICON: Final = "icon.svg"
WORTH_IT: Final = 100  # folders, for which further processes are begun: one takes as long to begin as some ten folders to read
PROCESSES_MOST: Final = 4
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Asked:
    """A folder to read; ``known`` is the digest of what the index has of it, if it may stay."""

    folder: Place
    owner: int | None
    known: str | None


@dataclass(frozen=True, slots=True)
class Read:
    """What came of a folder: that it is the ``same``, a whole partner (``stored``), or what is wrong with it."""

    digest: str | None
    same: bool = False
    problems: tuple[Problem, ...] = ()
    stored: Stored | None = None


def asked_of(offer: Offer, folder: Place, before: OfferRow | None, *, anew: bool) -> Asked:
    """What is to be read of an offer."""
    stays = before is not None and not anew and not before.clash and before.owner == offer.owner
    return Asked(folder, offer.owner, before.digest if before is not None and stays else None)


def read_offer(asked: Asked) -> Read:
    """Read one folder."""
    digest = content_digest(asked.folder)
    if digest is not None and digest == asked.known:
        return Read(digest, same=True)
    loaded = load_partner(asked.folder)
    partner = loaded.partner
    if partner is None:
        return Read(digest, problems=tuple(_named(asked.folder, problem) for problem in loaded.problems))
    stored = Stored(
        partner=partner_row(partner, asked.owner),
        operations=[operation_row(partner, each, asked.owner) for each in partner.operations],
        documents=_documents(loaded),
    )
    return Read(digest, stored=stored)


def read_all(asked: Sequence[Asked]) -> Iterator[Read]:
    """Read folders, one after the other for whoever takes them. Where they are many, as many processes as there are cores read ahead, a few folders each.

    Where they were killed, for lack of memory say, the rest is read here.
    """
    processes = min(PROCESSES_MOST, _cores(), len(asked) // (WORTH_IT // 2))
    if processes < 2 or not all(isinstance(each.folder, Path) for each in asked):
        yield from map(read_offer, asked)
        return
    done = 0
    with (
        contextlib.suppress(BrokenExecutor),
        ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=_begin) as pool,
    ):
        waiting = iter(asked)
        ahead: deque[Future[Read]] = deque(pool.submit(read_offer, each) for each in itertools.islice(waiting, 4 * processes))
        try:
            while ahead:
                read = ahead[0].result()
                ahead.popleft()
                ahead.extend(pool.submit(read_offer, each) for each in itertools.islice(waiting, 1))
                done += 1
                yield read
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    yield from map(read_offer, asked[done:])


def _cores() -> int:
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin() -> None:
    """What a further process does first: it leaves Ctrl-C to the one that began it, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _documents(loaded: Loaded) -> dict[str, bytes]:
    found: dict[str, Any] = dict(loaded.data)
    if loaded.partner is not None and loaded.partner.icon is not None:
        found[ICON] = loaded.partner.icon
    return {name: zlib.compress(_ENCODER.encode(data), 1) for name, data in found.items()}


def _named(folder: Place, problem: Problem) -> Problem:
    return Problem(file=f"{folder.name}/{problem.file}", line=problem.line, column=problem.column, message=problem.message)
