"""Partners and operations that are loaded, and what is kept of them."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from polyport.catalog.listing import Operation
from polyport.catalog.reading import ICON
from polyport.manifest.load import part_of
from polyport.manifest.load import prepare as prepare_models
from polyport.manifest.model import ListSpec, Partner, PartnerFile
from polyport.manifest.passing import METHODS, passing_id
from polyport.store.catalogue import CatalogIndex

HEADS_MOST: Final = 256
MEMORY_MB: Final = 60
BYTES_A_MB: Final = 50_000  # of JSON: what becomes of it, as models and compiled, is some twenty times as large
_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode


class Lists(Mapping[str, ListSpec]):
    """The lists of a partner, each made when it is first asked for: a partner may have hundreds, and an operation needs a few."""

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._content = content
        self._made: dict[str, ListSpec] = {}

    def __getitem__(self, name: str) -> ListSpec:
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = cast("ListSpec", part_of(f"lists/{name}.yaml", decode(self._content[name])))
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


@dataclass(slots=True, eq=False)
class Head:
    """A partner without its operations, whose it is, and which of its operations are loaded."""

    partner: Partner
    owner: int | None = None
    loaded: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Opened:
    """An operation that is loaded, with its partner. ``weight`` is the length of what it was made from."""

    head: Head
    operation: Operation
    weight: int


def decode(content: bytes) -> Any:
    """A document as it was read from its file: numbers keep their digits."""
    return _decode(zlib.decompress(content))


def prepare() -> None:
    """Load what a start does without: what reads partners, and what finds words with typos."""
    import rapidfuzz.process  # noqa: F401, PLC0415  see above

    prepare_models()


def pinned(partner: Partner) -> tuple[Head, list[Opened]]:
    """A partner that is there for good, with its operations."""
    head = Head(partner, None, {each.id for each in partner.operations})
    return head, [Opened(head, each, 0) for each in partner.operations]


class Kept:
    """What is loaded, within bounds: what was not asked for the longest goes first, with all that was made of it (``watchers`` are told).

    Threads load, the event loop looks: what is put in or taken out is so under a lock, what is looked up is not.
    """

    def __init__(self, memory: int = MEMORY_MB) -> None:
        self._most = memory * BYTES_A_MB
        self._heads: OrderedDict[int, Head] = OrderedDict()
        self._operations: OrderedDict[int, Opened] = OrderedDict()
        self._pinned: dict[int, Head] = {}
        self._weight = 0
        self._lock = threading.Lock()
        self.watchers: list[Callable[[int], object]] = []

    def pin(self, held: tuple[Head, list[Opened]]) -> None:
        """Keep a partner for good."""
        head, operations = held
        self._pinned[head.partner.file.id] = head
        self._heads[head.partner.file.id] = head
        self._operations.update({each.operation.id: each for each in operations})

    def pinned(self) -> list[Head]:
        """The partners that are kept for good."""
        return list(self._pinned.values())

    def partners(self) -> list[int]:
        """The ids of the partners that are loaded and may go."""
        with self._lock:
            return [each for each in self._heads if each not in self._pinned]

    def head(self, partner_id: int) -> Head | None:
        """A partner, if it is loaded."""
        return self._heads.get(partner_id)

    def operation(self, operation_id: int) -> Opened | None:
        """An operation, if it is loaded."""
        found = self._operations.get(operation_id)
        if found is not None and found.weight and self._weight > self._most // 2:
            self._touch(operation_id, found.head.partner.file.id)
        return found

    def _touch(self, operation_id: int, partner_id: int) -> None:
        """Let those go later that were just used."""
        with self._lock:
            if operation_id in self._operations and partner_id in self._heads:
                self._operations.move_to_end(operation_id)
                self._heads.move_to_end(partner_id)

    def load_head(self, index: CatalogIndex, partner_id: int, sees: Callable[[int, int | None], bool]) -> Head | None:
        """A partner from the index, if it is seen."""
        row = index.partner(partner_id)
        if row is None or not sees(partner_id, row.owner):
            return None
        found = self._heads.get(partner_id)
        if found is not None and found.partner.digest == row.digest:
            return found
        read = index.head(partner_id)
        if read is None:
            return None
        made = Head(_partner_of(read[1], read[0].digest), read[0].owner)
        with self._lock:
            self._drop(partner_id)
            self._heads[partner_id] = made
            while len(self._heads) - len(self._pinned) > HEADS_MOST:
                self._drop(next(each for each in self._heads if each not in self._pinned))
        return made

    def load_operation(self, index: CatalogIndex, operation_id: int, sees: Callable[[int, int | None], bool]) -> Opened | None:
        """An operation from the index, if it is seen; of the version of its partner that is there now."""
        while True:
            found = index.operation(operation_id)
            if found is None or not sees(found[0].partner_id, found[0].owner):
                return None
            place = found[0]
            head = self.load_head(index, place.partner_id, sees)
            content = index.document(place)
            if head is not None and content is not None and head.partner.digest == place.digest:
                break
        data = zlib.decompress(content)
        operation = cast("Operation", part_of(place.document, _decode(data)))
        with self._lock:
            if self._heads.get(place.partner_id) is not head:  # it went meanwhile: this one is used once
                return Opened(head, operation, len(data))
            held = self._operations.get(operation_id)
            if held is not None and held.head is head:
                return held
            made = self._operations[operation_id] = Opened(head, operation, len(data))
            head.loaded.add(operation_id)
            self._heads.move_to_end(place.partner_id)
            self._weight += made.weight
            while self._weight > self._most:
                oldest = next(each for each, opened in self._operations.items() if opened.weight)
                if oldest == operation_id:  # it alone is more than there is room for
                    break
                self._drop_operation(oldest)
        return made

    def drop_unless(self, partner_id: int, digest: str | None, owner: int | None) -> None:
        """Let a partner go unless it is of this version and owner."""
        with self._lock:
            head = self._heads.get(partner_id)
            if head is not None and (head.partner.digest, head.owner) != (digest, owner):
                self._drop(partner_id)

    def _drop(self, partner_id: int) -> None:
        head = self._heads.pop(partner_id, None)
        if head is None:
            return
        for operation_id in list(head.loaded):
            self._drop_operation(operation_id)
        for method in METHODS:
            self._tell(passing_id(partner_id, method))

    def _drop_operation(self, operation_id: int) -> None:
        opened = self._operations.pop(operation_id, None)
        if opened is not None:
            self._weight -= opened.weight
            opened.head.loaded.discard(operation_id)
            self._tell(operation_id)

    def _tell(self, operation_id: int) -> None:
        for watcher in self.watchers:
            watcher(operation_id)


def _partner_of(documents: Mapping[str, bytes], digest: str) -> Partner:
    """A partner of its documents, those of its operations left out."""
    icon = documents.get(ICON)
    lists = {name.removeprefix("lists/").removesuffix(".yaml"): content for name, content in documents.items() if name.startswith("lists/")}
    return Partner.model_construct(
        file=cast("PartnerFile", part_of("partner.yaml", decode(documents["partner.yaml"]))),
        actions=(),
        triggers=(),
        lists=cast("dict[str, ListSpec]", Lists(lists)),
        icon=decode(icon) if icon is not None else None,
        digest=digest,
    )
