"""All partners of a process, and what an account sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from polyport.catalog.listing import (
    OPERATION_FILTERS,
    PARTNER_FILTERS,
    Entry,
    Item,
    Operation,
    Page,
    Wanted,
    auth_types,
    operation_entry,
    partner_entry,
    select,
    signs_in,
)
from polyport.catalog.sources import Offer, Source, folder_sources
from polyport.errors import NotFound
from polyport.manifest.budgets import shown
from polyport.manifest.disk import Place
from polyport.manifest.load import load_partner
from polyport.manifest.model import Partner
from polyport.manifest.neighbours import clashes
from polyport.manifest.source import Problem

__all__ = ["Catalog", "Operation", "View", "auth_types"]

_NO_PARTNER: Final = "There is no partner with this id."
_NO_OPERATION: Final = "There is no trigger or action with this id."


_Loaded = tuple[Partner, int | None, tuple[str, str, str] | None]
_Found = tuple[str, Offer, Place]
_Told = dict[tuple[str, str], list[Problem]]


@dataclass(frozen=True, slots=True)
class _Held:
    """A partner that was taken up: of which account, from which offer of which source."""

    partner: Partner
    owner: int | None
    entry: Entry
    operations: dict[int, tuple[Operation, Entry]]
    place: tuple[str, str, str] | None = None


class Catalog:
    """All partners of a process. ``problems`` names what was left out, and why: a partner with any fault never stops the server.

    ``partners`` stand in it for good; what sources offer is taken up by ``refresh``.
    """

    def __init__(self, partners: Iterable[Partner], problems: Sequence[Problem], origin: str) -> None:
        self._origin = origin
        self._sources: list[Source] = []
        self._own: list[_Loaded] = [(partner, None, None) for partner in partners]
        self._known: Sequence[Problem] = problems
        self._revisions: dict[str, str] = {}
        self._partners: dict[int, _Held] = {}
        self._operations: dict[int, tuple[_Held, Operation]] = {}
        self._refreshing = asyncio.Lock()
        self.problems: list[Problem] = []
        self._take_up(self._own, problems, _Told())

    @classmethod
    def load(cls, extra: Sequence[str], origin: str) -> Catalog:
        """The bundled partners and those of the extra folders, loaded and checked here and now."""
        catalog = cls((), (), origin)
        found: list[_Found] = []
        problems: list[Problem] = []
        for source in folder_sources(extra):
            catalog.add_source(source)
            offers, told = source.look()
            problems.extend(told)
            found.extend((source.name, offer, source.place(offer)) for offer in offers)
        catalog._take_up(*catalog._checked(found, problems))
        return catalog

    def add_source(self, source: Source) -> None:
        """Let one more source be taken up by the next ``refresh``."""
        self._sources.append(source)

    async def refresh(self) -> None:
        """Take up what the sources offer now. Where nothing changed it costs a look at each source's ``revision``."""
        async with self._refreshing:
            revisions = {source.name: await source.revision() for source in self._sources}
            if revisions == self._revisions:
                return
            found: list[_Found] = []
            problems: list[Problem] = []
            for source in self._sources:
                offers, told = await source.offers()
                problems.extend(told)
                found.extend([(source.name, offer, await source.folder(offer)) for offer in offers])
            self._take_up(*await asyncio.to_thread(self._checked, found, problems))
            self._revisions = revisions

    def _checked(self, found: Sequence[_Found], told: Sequence[Problem]) -> tuple[list[_Loaded], list[Problem], _Told]:
        """The offers that are whole, and every problem; what is held already is not read again."""
        loaded, problems, owned = list(self._own), [*self._known, *told], _Told()
        held = {each.place: each for each in self._partners.values() if each.place is not None}
        for name, offer, folder in found:
            place = (name, offer.key, offer.stamp)
            known = held.get(place)
            if known is not None and known.owner == offer.owner:
                loaded.append((known.partner, offer.owner, place))
                continue
            read = load_partner(folder)
            lines = [
                Problem(file=f"{folder.name}/{each.file}", line=each.line, column=each.column, message=each.message)
                for each in read.problems
            ]
            if offer.owner is None:
                problems.extend(lines)
            elif lines:
                owned[(name, offer.key)] = lines
            if read.partner is not None:
                loaded.append((read.partner, offer.owner, place))
        return loaded, problems, owned

    def _take_up(self, loaded: Sequence[_Loaded], problems: Sequence[Problem], owned: _Told) -> None:
        partners: dict[int, _Held] = {}
        told = list(problems)
        for partner, owner, place in loaded:
            shared = [problem for other in partners.values() for problem in _shared(partner, owner, other)]
            if shared and owner is not None and place is not None:
                owned[place[:2]] = shared
            elif shared:
                told.extend(shared)
            else:
                operations = {each.id: (each, operation_entry(partner, each)) for each in partner.operations}
                partners[partner.file.id] = _Held(partner, owner, partner_entry(partner, self._origin), operations, place)
        self._partners = dict(sorted(partners.items()))
        self._operations = {
            number: (held, operation) for held in self._partners.values() for number, (operation, _entry) in sorted(held.operations.items())
        }
        self.problems = told
        self._owned = owned

    def problems_of(self, source: str, key: str) -> list[Problem]:
        """What was wrong with an offer that an account alone sees: ``problems`` does not name these, since everybody may read it."""
        return self._owned.get((source, key), [])

    def seen_by(self, account_id: int | None) -> View:
        """What an account sees: what everybody sees, and its own. ``None`` is nobody in particular: the public catalogue, the shell."""
        return View(self, account_id)

    @property
    def count(self) -> int:
        """How many partners there are, those of accounts included."""
        return len(self._partners)

    def partner_of(self, partner_id: int) -> _Held | None:
        """A partner, whoever looks."""
        return self._partners.get(partner_id)

    def operation_of(self, operation_id: int) -> tuple[_Held, Operation] | None:
        """An operation with its partner, whoever looks."""
        return self._operations.get(operation_id)

    def __iter__(self) -> Iterator[_Held]:
        return iter(self._partners.values())


class View:
    """The catalogue as one account sees it. What it does not see answers like what is not there.

    A partner may have to be loaded: what gives one is awaited, and gives at once what is loaded already.
    """

    __slots__ = ("_account_id", "_catalog")

    def __init__(self, catalog: Catalog, account_id: int | None) -> None:
        self._catalog = catalog
        self._account_id = account_id

    async def partner(self, partner_id: int) -> Partner:
        """A partner by its id. Raises ``NotFound``."""
        return self._held(partner_id).partner

    async def operation(self, operation_id: int) -> tuple[Partner, Operation]:
        """An operation and its partner. Raises ``NotFound``."""
        found = self._catalog.operation_of(operation_id)
        if found is None or not self._sees(found[0]):
            raise NotFound(_NO_OPERATION)
        return found[0].partner, found[1]

    async def partner_item(self, partner_id: int) -> Item:
        """The wire item of a partner, with its budgets. Raises ``NotFound``."""
        held = self._held(partner_id)
        return held.entry.item | {"budgets": [shown(budget) for budget in held.partner.file.budgets]}

    async def operation_item(self, operation_id: int) -> Item:
        """The wire item of an operation. Raises ``NotFound``."""
        await self.operation(operation_id)
        found = self._catalog.operation_of(operation_id)
        if found is None:
            raise NotFound(_NO_OPERATION)
        return found[0].operations[operation_id][1].item

    async def list_partners(self, wanted: Wanted) -> Page:
        """Partners, filtered, searched, sorted, paged. Raises ``ValidationFailed`` for a filter or a sort that there is not."""
        return select([held.entry for held in self._seen()], wanted, PARTNER_FILTERS)

    async def list_operations(self, wanted: Wanted) -> Page:
        """Operations, filtered, searched, sorted, paged. Raises ``ValidationFailed`` for a filter or a sort that there is not."""
        return select([entry for held in self._seen() for _operation, entry in held.operations.values()], wanted, OPERATION_FILTERS)

    async def signing_in(self) -> list[int]:
        """The ids of the partners whose customers sign in with an OAuth app, by title."""
        found = [held.partner.file for held in self._seen() if signs_in(held.partner)]
        return [file.id for file in sorted(found, key=lambda file: (file.title.lower(), file.id))]

    async def find(self, name: str) -> Partner:
        """A partner by its slug, or by its id in digits. Raises ``NotFound``."""
        for held in self._seen():
            if name in {held.partner.file.slug, str(held.partner.file.id)}:
                return held.partner
        raise NotFound("There is no partner with this slug or id.")

    def _seen(self) -> list[_Held]:
        return [held for held in self._catalog if self._sees(held)]

    def _held(self, partner_id: int) -> _Held:
        held = self._catalog.partner_of(partner_id)
        if held is None or not self._sees(held):
            raise NotFound(_NO_PARTNER)
        return held

    def _sees(self, held: _Held) -> bool:
        return held.owner is None or held.owner == self._account_id


def _shared(partner: Partner, owner: int | None, other: _Held) -> list[Problem]:
    """What a partner may not share with one that is there already. Of partners of others nothing is told but that a number is taken."""
    found: list[Problem] = []
    strangers = other.owner is not None and other.owner != owner
    for file, key, message in clashes(partner, (other.partner,)):
        if key == "slug" and strangers and owner is not None:
            continue
        told = f"This {key} is taken by a partner of somebody else; choose another one." if strangers else message
        found.append(Problem(file=f"{partner.file.slug}/{file}", message=f"{told} This partner is left out."))
    return found
