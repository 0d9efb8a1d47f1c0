"""Where partners come from: folders on disk, and whatever else is added while a process is opened (partners that accounts imported).

A source is added to the catalogue of each process when its runtime is opened: ``catalog.add_source(source)``. What it offers is taken up by
``await catalog.refresh()``:

- *Added*: the source offers one more key. Its files are read and checked whole; with a fault, or where an id or a slug is taken, it is left out and
  named in ``Catalog.problems``.
- *Replaced*: the source offers a key with another ``stamp``. Runs that are under way end with the version they began with; whatever asks afterwards
  gets the new one. A version that has a fault is not taken up: the one before is gone all the same, since the source no longer offers it, so check
  before you offer (``manifest.load.load_partner`` gives the same faults).
- *Removed*: the source does not offer the key any more: 404 from then on. Make sure that nothing uses it before that.

The process that changed something calls ``refresh`` itself and sees the change when that returns. The others of the data folder see it within a second:
write the change and ``bump_epoch`` in one unit, which makes every process call ``refresh``. That costs next to nothing where ``revision`` is what it was.

Ids of partners and operations are one space of numbers for all accounts: a source whose partners belong to accounts gives each its own. A slug is one
among what everybody sees, and one within an account. Where offers clash, one that everybody sees has precedence, then the source that was added first,
then the key that sorts first; the other is left out until it changes or the first is gone.

What was checked is kept as data in the index of the data folder (``store.catalogue``), and that is what is served: a source is read when an offer is new
or has another stamp, and at no other time. ``folder`` may be asked again for any offer when the index is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, Protocol

from polyport import stamps
from polyport.manifest.disk import Place, is_folder
from polyport.manifest.load import partner_folders
from polyport.manifest.source import Problem, Unreadable
from polyport.stamps import MANY, folder_names, stamp_of

BUNDLED: Final = "<bundled>"  # no path: a program that was installed elsewhere finds what it knew


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A partner that a source has: its ``key`` there, a ``stamp`` that changes whenever its content does, and the account that alone sees it."""

    key: str
    stamp: str
    owner: int | None = None


class Source(Protocol):
    """Partners of one place."""

    @property
    def name(self) -> str:
        """What the source is called; no two of a process are called the same, and each is called the same in every process."""

    async def revision(self) -> str:
        """A text that changes whenever an offer does. Cheap: it is asked for often."""

    async def offers(self) -> tuple[Sequence[Offer], Sequence[Problem]]:
        """All partners that are there now, and what speaks against there being more."""

    async def folder(self, offer: Offer) -> Place:
        """The files of an offer: a folder on disk, or ``manifest.disk.Files`` for what is kept elsewhere."""


class FolderSource:
    """The partners in the folders under ``root``, which everybody sees.

    They are looked at once, when the process starts: what is changed later is taken up by the next one. Where there are many, and an index knows these very
    folders, a start may take its word for what is in them (``adopt``), and look when it serves (``look_later``).
    """

    def __init__(self, root: Traversable | Path, *, name: str | None = None, named_by: str | None = None) -> None:
        self._root = root
        self._name = name or str(root)
        self._named_by = named_by
        self._seen: tuple[Sequence[Offer], Sequence[Problem]] | None = None
        self._mark = ""
        self.adopted = False

    @property
    def name(self) -> str:
        """The path of the root, or what stands for it wherever it is."""
        return self._name

    async def revision(self) -> str:
        """Stamps of all its files together."""
        await self.offers()
        return self.mark()

    def mark(self) -> str:
        """The stamps of what was seen when the folders were looked at."""
        return self._mark

    async def offers(self) -> tuple[Sequence[Offer], Sequence[Problem]]:
        """A folder each."""
        if self._seen is None:
            await asyncio.to_thread(self.look)
        return self.seen()

    async def folder(self, offer: Offer) -> Place:
        """The folder itself."""
        return self.place(offer)

    def place(self, offer: Offer) -> Place:
        """The folder of an offer."""
        return self._root / offer.key

    def seen(self) -> tuple[Sequence[Offer], Sequence[Problem]]:
        """What was there when the folders were looked at."""
        return self._seen or ((), ())

    def look(self) -> None:
        """Look at the folders now."""
        self._see(self._look({}))

    def _see(self, seen: tuple[Sequence[Offer], Sequence[Problem]]) -> None:
        self._seen, self._mark = seen, hashlib.sha256(repr(seen).encode()).hexdigest()

    def adopt(self, offers: Sequence[Offer]) -> bool:
        """Take these for what there is, if they are many, and it is their folders that are there."""
        self.adopted = len(offers) >= MANY and folder_names(str(self._root)) == [offer.key for offer in offers]
        if self.adopted:
            self._see((tuple(offers), ()))
        return self.adopted

    async def look_later(self) -> None:
        """Look at the folders in another process, which lets others go first. What it cannot tell is looked at here."""
        known = await _look_aside(str(self._root))
        self._see(await asyncio.to_thread(self._look, known))
        self.adopted = False

    def _look(self, known: Mapping[str, str]) -> tuple[Sequence[Offer], Sequence[Problem]]:
        if not is_folder(self._root):
            message = f"{self._named_by or 'This installation'} names this, and there is no folder of this name: correct it."
            return (), (Problem(file=self._root.name, message=message),)
        try:
            folders = partner_folders(self._root)
        except Unreadable as error:
            return (), error.problems
        # One after the other: in several threads they waited for the interpreter, and took longer.
        return tuple(Offer(key=folder.name, stamp=known.get(folder.name) or stamp_of(str(folder))) for folder in folders), ()


async def _look_aside(root: str) -> Mapping[str, str]:
    """The stamps of the folders under a root, by name, from another process. What it does not tell, for whatever reason, has to be looked at here."""
    quiet = asyncio.subprocess.DEVNULL
    command = (sys.executable, "-I", "-S", stamps.__file__, root)
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=asyncio.subprocess.PIPE, stderr=quiet)
    except OSError:
        return {}
    try:
        told, _nothing = await process.communicate()
        found: Mapping[str, str] = json.loads(told)
    except ValueError:
        return {}
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    return found


def folder_sources(extra: Sequence[str]) -> list[FolderSource]:
    """The bundled partners, and those of the folders that the settings name."""
    bundled = FolderSource(files("polyport").joinpath("connectors"), name=BUNDLED)
    return [bundled, *(FolderSource(Path(text), named_by="POLYPORT_CONNECTORS") for text in extra)]
