"""What an index of the catalogue keeps and is asked: rows, and the protocol that SQLite fulfils here and PostgreSQL may elsewhere.

It is a cache over the sources of partners: whoever deletes it loses nothing but the time to build it again. Its methods block: they are called in threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from polyport.store.base import StoreUnavailable
from polyport.store.rows import After

COLUMNS = ("title", "name", "partner", "description", "marks")


class OfferRow(NamedTuple):
    """What a source offered and what came of it: ``partner_id`` where it is in the catalogue, ``problems`` (JSON) where not."""

    source: str
    key: str
    position: int
    stamp: str
    digest: str
    owner: int | None
    partner_id: int | None
    clash: bool
    problems: str


class PartnerRow(NamedTuple):
    """A partner as it is listed, filtered and found. ``item`` is JSON, ``words`` are the texts of ``COLUMNS``, a line each.

    ``facets`` are what it may be filtered by and may have several of, each ``name=value`` in a line of its own.
    """

    partner_id: int
    owner: int | None
    slug: str
    title_key: str
    deprecated: bool
    signs_in: bool
    facets: str
    digest: str
    words: str
    item: bytes


class OperationRow(NamedTuple):
    """An operation as it is listed, filtered and found. ``document`` is the name of its file."""

    operation_id: int
    partner_id: int
    owner: int | None
    is_action: bool
    deprecated: bool
    kind: str
    title_key: str
    document: str
    words: str
    item: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A partner with all that belongs to it. ``documents`` are its files as compressed JSON, by name."""

    partner: PartnerRow
    operations: Sequence[OperationRow]
    documents: Mapping[str, bytes]


class Place(NamedTuple):
    """Where an operation is: of which partner, in which version of it, whose, in which document."""

    partner_id: int
    owner: int | None
    digest: str
    document: str


class Clash(NamedTuple):
    """What is taken already: an ``id``, a ``slug`` or the id of an ``operation``, by which partner."""

    what: str
    number: int
    partner_id: int
    owner: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What is seen: what everybody sees and what is ``owner``'s; of that, where ``allowed`` is given, these partners alone."""

    owner: int | None = None
    allowed: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A list that is filtered and sorted. ``equal`` maps columns to values; ``like`` is a part of the title, ``slug_like`` of the slug, in small letters.

    ``facets`` are what a partner has to have (``name=value``).

    ``sort`` is a column: ``title_key``, ``partner_id`` or ``operation_id``; what is equal in it keeps the order of ids. ``sorted`` tells whether that was asked for.
    """

    equal: Mapping[str, int | str] = field(default_factory=dict)
    like: str | None = None
    slug_like: str | None = None
    facets: tuple[str, ...] = ()
    sort: str = "partner_id"
    reverse: bool = False
    sorted: bool = False

    def columns(self, kind: str) -> tuple[str, ...]:
        """The columns that place an item in the list, the one that sorts it first."""
        ids = ("partner_id",) if kind == "partner" else ("partner_id", "operation_id")
        return (self.sort,) if self.sort == ids[-1] != "partner_id" else (self.sort, *(each for each in ids if each != self.sort))


class IndexDamaged(StoreUnavailable):
    """The index cannot be read any more: ``renew`` it, and build it again."""


class CatalogIndex(Protocol):
    """An index of partners (``kind`` "partner") and operations ("operation")."""

    def generation(self) -> int:
        """A number that grows with every change."""

    def building(self) -> AbstractContextManager[None]:
        """Alone among all processes of the data folder, for as long as it takes."""

    def offers(self, source: str | None = None) -> list[OfferRow]:
        """Every offer that was taken up or left out, of one source or of all, by key."""

    def left_out(self) -> list[OfferRow]:
        """The offers that were left out, and those that something is told about."""

    def clashes(self, partner_id: int, slug: str, owner: int | None, operations: Iterable[int]) -> list[Clash]:
        """What of a new partner is taken."""

    def change(self, gone: Sequence[OfferRow], offers: Sequence[OfferRow], stored: Stored | None) -> None:
        """In one: what these offers brought goes, these are noted, and a partner comes."""

    def partner(self, partner_id: int) -> PartnerRow | None:
        """A partner."""

    def operation(self, operation_id: int) -> tuple[Place, bytes] | None:
        """Where an operation is, and its item."""

    def head(self, partner_id: int) -> tuple[PartnerRow, dict[str, bytes]] | None:
        """A partner with its documents, those of its operations left out."""

    def document(self, place: Place) -> bytes | None:
        """The document of an operation; ``None`` where the version of the place is gone."""

    def ids(self, reach: Reach, *, signs_in: bool = False, name: str | None = None) -> list[int]:
        """The ids of partners, by title: all, those where customers sign in, or those with this slug or id, an account's own first."""

    def count(self) -> int:
        """How many partners there are, whoever sees them."""

    def page(self, kind: str, reach: Reach, wanted: Ordered, start: int, limit: int) -> tuple[list[bytes], int]:
        """Items of a list, and how many there are in all."""

    def page_after(
        self, kind: str, reach: Reach, wanted: Ordered, after: After | None, limit: int
    ) -> tuple[list[tuple[bytes, After]], int]:
        """Items of a list that come after a place, each with its own, and how many there are in all."""

    def vocabulary(self, kind: str) -> list[tuple[str, int]]:
        """Every word that is searched, and in how many places it stands."""

    def matches(self, kind: str, expression: str) -> int:
        """How many an expression of words finds."""

    def numbers(self, kind: str, expression: str, start: int, limit: int) -> list[int]:
        """The numbers of what an expression finds, in the order of numbers."""

    def within(self, kind: str, partner_ids: Iterable[int]) -> list[int]:
        """The numbers of partners, or of what they offer."""

    def words(self, kind: str, numbers: Sequence[int]) -> dict[int, str]:
        """The words of partners or operations, by number."""

    def items(self, kind: str, numbers: Sequence[int]) -> dict[int, bytes]:
        """The items of partners or operations, by number."""

    def narrowed(self, kind: str, expression: str, reach: Reach, wanted: Ordered) -> Iterator[int]:
        """The numbers of what an expression finds and a list holds, in the order of the list."""

    def has_private(self) -> bool:
        """Whether any partner belongs to an account."""

    def renew(self) -> None:
        """Make a damaged index anew, empty, unless another process did so already. Raises ``StoreUnavailable``."""

    def stop(self) -> None:
        """Wait no more for other processes that build."""

    def close(self) -> None:
        """Release everything."""
