"""Bringing an index in step with what the sources offer: what changed is read, checked whole and put in, the rest is not even looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from polyport.catalog.reading import Read, asked_of, read_offer
from polyport.catalog.sources import Offer
from polyport.manifest.disk import Place
from polyport.manifest.source import Problem
from polyport.store.catalogue import CatalogIndex, Clash, OfferRow, Stored

TOLD_AFTER: Final = 50  # partners that were read: from there on the log says how far it is
_log: Final = structlog.get_logger("polyport.catalog")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one source: what it offers no more, what it offers anew or in another version, and what of it the index has."""

    gone: Sequence[OfferRow]
    fresh: Sequence[Offer]
    held: Mapping[str, OfferRow]


def plan(rows: Sequence[OfferRow], offers: Sequence[Offer]) -> Plan:
    """Compare what a source offers with what the index has of it."""
    held = {row.key: row for row in rows}
    offered = {offer.key for offer in offers}
    gone = [row for row in rows if row.key not in offered]
    fresh = [offer for offer in offers if not _is_current(held.get(offer.key), offer)]
    return Plan(gone=gone, fresh=fresh, held=held)


def known(rows: Sequence[OfferRow]) -> list[Offer]:
    """What a source offered when the index took it up."""
    return [Offer(key=row.key, stamp=row.stamp, owner=row.owner) for row in rows]


def _is_current(row: OfferRow | None, offer: Offer) -> bool:
    return row is not None and (row.stamp, row.owner) == (offer.stamp, offer.owner) and not row.clash


class Builder:
    """Carries out the plans for one source. It has to be alone meanwhile (``CatalogIndex.building``)."""

    def __init__(self, index: CatalogIndex, source: str, position: int) -> None:
        self._index = index
        self._source = source
        self._position = position
        self._read = 0

    def clear(self, gone: Sequence[OfferRow]) -> None:
        """Take out what is offered no more."""
        if gone:
            self._index.change(gone, (), None)

    def take(self, offer: Offer, folder: Place, before: OfferRow | None, *, anew: bool = False) -> None:
        """Read an offer, and put it in if it is whole and nothing of it is taken. What only has another stamp, and the same content, stays unless ``anew``."""
        self.put(offer, before, read_offer(asked_of(offer, folder, before, anew=anew)))

    def put(self, offer: Offer, before: OfferRow | None, read: Read) -> None:
        """Put an offer in that was read, if it is whole and nothing of it is taken."""
        if read.same and before is not None:
            self._index.change((), [before._replace(stamp=offer.stamp, position=self._position)], None)
            return
        gone = [before] if before is not None else []
        self._read += 1
        if self._read % TOLD_AFTER == 0:
            _log.info("the index of the catalogue is being built", partners=self._read)
        row = OfferRow(self._source, offer.key, self._position, offer.stamp, read.digest or "", offer.owner, None, False, "[]")
        if read.stored is None:
            self._index.change(gone, [row._replace(problems=_as_text(read.problems))], None)
            return
        self._settle(row, before, read.stored)

    def _settle(self, row: OfferRow, before: OfferRow | None, stored: Stored) -> None:
        """Put a whole partner in the place of its former self, if nothing of it is taken by one that comes first."""
        gone = [before] if before is not None else []
        own = before.partner_id if before is not None else None
        partner = stored.partner
        taken = self._index.clashes(partner.partner_id, partner.slug, row.owner, [each.operation_id for each in stored.operations])
        taken = [clash for clash in taken if clash.partner_id != own]
        rivals: dict[int, OfferRow] = {}
        if taken:
            numbers = {clash.partner_id for clash in taken}
            rivals = {each.partner_id: each for each in self._index.offers() if each.partner_id is not None and each.partner_id in numbers}
        if not all(_yields(rival, row) for rival in rivals.values()):
            problems = [_shared(stored, row.owner, clash, rivals[clash.partner_id]) for clash in taken]
            self._index.change(gone, [row._replace(clash=True, problems=_as_text(problems))], None)
            return
        told = [rival._replace(partner_id=None, clash=True, problems=_as_text([_behind(rival, row)])) for rival in rivals.values()]
        self._index.change([*gone, *rivals.values()], [*told, row._replace(partner_id=partner.partner_id)], stored)


def _yields(rival: OfferRow, row: OfferRow) -> bool:
    """Whether one that is there gives way: to one that everybody sees before one of an account, then in the order of sources and names."""
    return (row.owner is not None, row.position, row.key) < (rival.owner is not None, rival.position, rival.key)


def _shared(stored: Stored, owner: int | None, clash: Clash, rival: OfferRow) -> Problem:
    """What a partner may not share with one that is there. Of partners of others nothing is told but that something is taken."""
    whose = "A partner of somebody else" if clash.owner is not None and clash.owner != owner else f'The partner "{rival.key}"'
    file, what = "partner.yaml", "slug" if clash.what == "slug" else "id"
    if clash.what == "operation":
        file = next(each.document for each in stored.operations if each.operation_id == clash.number)
        what = "id for an operation"
    return Problem(
        file=f"{stored.partner.slug}/{file}", message=f"{whose} has the same {what}; choose another one. This partner is left out."
    )


def _behind(rival: OfferRow, row: OfferRow) -> Problem:
    """Why a partner is there no more: another one came that has precedence."""
    whose = "A partner of somebody else" if row.owner is not None and row.owner != rival.owner else f'The partner "{row.key}"'
    return Problem(
        file=f"{rival.key}/partner.yaml",
        message=f"{whose} has the same id, slug or id for an operation, and comes first. This partner is left out.",
    )


def _as_text(problems: Sequence[Problem]) -> str:
    return json.dumps([[each.file, each.line, each.column, each.message] for each in problems])


def problems_in(row: OfferRow) -> list[Problem]:
    """The problems of an offer."""
    return [Problem(file=file, line=line, column=column, message=message) for file, line, column, message in json.loads(row.problems)]
