"""Bringing an index in step with what the sources offer: what changed is read, checked whole and put in, the rest is not even looked at."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from polyport.catalog.listing import operation_row, partner_row
from polyport.catalog.sources import Offer
from polyport.manifest.disk import Place
from polyport.manifest.levels import file_of
from polyport.manifest.load import Loaded, content_digest, load_partner
from polyport.manifest.model import Partner
from polyport.manifest.source import Problem
from polyport.store.catalogue import CatalogIndex, Clash, OfferRow, Stored

TOLD_AFTER: Final = 50  # partners that were read: from there on the log says how far it is
ICON: Final = "icon.svg"
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
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
        digest = content_digest(folder)
        if (
            not anew
            and before is not None
            and digest is not None
            and (before.digest, before.owner, before.clash) == (digest, offer.owner, False)
        ):
            self._index.change((), [before._replace(stamp=offer.stamp, position=self._position)], None)
            return
        gone = [before] if before is not None else []
        loaded = load_partner(folder)
        self._read += 1
        if self._read % TOLD_AFTER == 0:
            _log.info("the index of the catalogue is being built", partners=self._read)
        row = OfferRow(self._source, offer.key, self._position, offer.stamp, digest or "", offer.owner, None, False, "[]")
        if loaded.partner is None:
            problems = [_named(folder, problem) for problem in loaded.problems]
            self._index.change(gone, [row._replace(problems=_as_text(problems))], None)
            return
        self._settle(row, before, loaded, loaded.partner)

    def _settle(self, row: OfferRow, before: OfferRow | None, loaded: Loaded, partner: Partner) -> None:
        """Put a whole partner in the place of its former self, if nothing of it is taken by one that comes first."""
        gone = [before] if before is not None else []
        own = before.partner_id if before is not None else None
        taken = self._index.clashes(partner.file.id, partner.file.slug, row.owner, [each.id for each in partner.operations])
        taken = [clash for clash in taken if clash.partner_id != own]
        rivals: dict[int, OfferRow] = {}
        if taken:
            numbers = {clash.partner_id for clash in taken}
            rivals = {each.partner_id: each for each in self._index.offers() if each.partner_id is not None and each.partner_id in numbers}
        if not all(_yields(rival, row) for rival in rivals.values()):
            problems = [_shared(partner, row.owner, clash, rivals[clash.partner_id]) for clash in taken]
            self._index.change(gone, [row._replace(clash=True, problems=_as_text(problems))], None)
            return
        told = [rival._replace(partner_id=None, clash=True, problems=_as_text([_behind(rival, row)])) for rival in rivals.values()]
        stored = Stored(
            partner=partner_row(partner, row.owner),
            operations=[operation_row(partner, each, row.owner) for each in partner.operations],
            documents=_documents(loaded),
        )
        self._index.change([*gone, *rivals.values()], [*told, row._replace(partner_id=partner.file.id)], stored)


def _documents(loaded: Loaded) -> dict[str, bytes]:
    found: dict[str, Any] = dict(loaded.data)
    if loaded.partner is not None and loaded.partner.icon is not None:
        found[ICON] = loaded.partner.icon
    return {name: zlib.compress(_ENCODER.encode(data), 1) for name, data in found.items()}


def _yields(rival: OfferRow, row: OfferRow) -> bool:
    """Whether one that is there gives way: to one that everybody sees before one of an account, then in the order of sources and names."""
    return (row.owner is not None, row.position, row.key) < (rival.owner is not None, rival.position, rival.key)


def _named(folder: Place, problem: Problem) -> Problem:
    return Problem(file=f"{folder.name}/{problem.file}", line=problem.line, column=problem.column, message=problem.message)


def _shared(partner: Partner, owner: int | None, clash: Clash, rival: OfferRow) -> Problem:
    """What a partner may not share with one that is there. Of partners of others nothing is told but that something is taken."""
    whose = "A partner of somebody else" if clash.owner is not None and clash.owner != owner else f'The partner "{rival.key}"'
    file, what = "partner.yaml", "slug" if clash.what == "slug" else "id"
    if clash.what == "operation":
        file = next(file_of(each) for each in partner.operations if each.id == clash.number)
        what = "id for an operation"
    return Problem(
        file=f"{partner.file.slug}/{file}", message=f"{whose} has the same {what}; choose another one. This partner is left out."
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
