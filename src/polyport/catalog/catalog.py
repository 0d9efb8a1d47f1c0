"""All partners of a process, and what an account sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec
import structlog

from polyport.catalog.building import Builder, known, plan, problems_in
from polyport.catalog.listing import Item, Operation, Page, Wanted, logo_of, operation_row, partner_row, ready_partner, understand
from polyport.catalog.loaded import MEMORY_MB, Head, Kept, Opened, pinned, prepare
from polyport.catalog.reading import asked_of, read_all
from polyport.catalog.search import Search
from polyport.catalog.sources import FolderSource, Offer, Source, folder_sources
from polyport.errors import NotFound
from polyport.manifest.model import Partner
from polyport.manifest.neighbours import clashes
from polyport.manifest.source import Problem
from polyport.store.catalogue import CatalogIndex, IndexDamaged, OfferRow, Ordered, Reach, Stored
from polyport.store.sqlite_catalogue import SqliteCatalogue
from polyport.store.threads import Threads

TOOLS: Final = 1
THREADS: Final = 2
_NO_PARTNER: Final = "There is no partner with this id."
_NO_OPERATION: Final = "There is no trigger or action with this id."
_log: Final = structlog.get_logger("polyport.catalog")

T = TypeVar("T")
Allowed = Callable[[int], Awaitable[frozenset[int] | None]]


async def _everything(_account_id: int) -> frozenset[int] | None:
    return None


class Catalog:
    """All partners of a process. ``problems`` names what was left out, and why: a partner with any fault never stops the server.

    ``changed`` tells whether the index was changed when it was loaded.

    An index knows them all; those that are used are loaded from it when they are first asked for, and kept while there is room. ``partners`` stand in it
    for good; what sources offer is taken up by ``refresh``. ``limit_by`` says who knows which partners an account is limited to.
    """

    def __init__(
        self,
        partners: Iterable[Partner],
        problems: Sequence[Problem],
        origin: str,
        *,
        index: CatalogIndex | None = None,
        memory: int = MEMORY_MB,
    ) -> None:
        self._origin = origin
        self._index = index if index is not None else SqliteCatalogue()
        # Without a file there is one connection: one thread has it.
        self._threads = Threads("polyport-catalog", THREADS if index is not None else 1)
        self._search = Search(self._index)
        self._sources: list[Source] = []
        self._revisions: dict[str, str] = {}
        self._told: dict[str, Sequence[Problem]] = {"": tuple(problems)}
        self._generation = -1
        self._era = 0
        self._owned: dict[tuple[str, str], list[Problem]] = {}
        self._refreshing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._kept = Kept(memory)
        self._limits: dict[int, frozenset[int] | None] = {}
        self._allowed: Allowed = _everything
        self.problems: list[Problem] = list(problems)
        self.count = 0
        self.changed = False
        for partner in partners:
            self._pin(partner)
        self._catch_up()

    @classmethod
    def load(
        cls,
        extra: Sequence[str],
        origin: str,
        index: CatalogIndex | None = None,
        *,
        anew: bool = False,
        memory: int = MEMORY_MB,
        late: bool = False,
    ) -> Catalog:
        """The bundled partners and those of the extra folders, here and now; without an ``index`` in one of this process alone.

        ``anew``: every folder is read and checked, whatever the index says. ``late``: where there are many folders, and the index knows these very
        ones, nobody looks yet whether their files changed: ``look_again`` does.
        """
        catalog = cls((), (), origin, index=index, memory=memory)
        before = catalog._index.generation()
        for source in folder_sources(extra):
            catalog.add_source(source)
            with catalog._index.building():
                rows = catalog._index.offers(source.name)
                if not (late and source.adopt(known(rows))):
                    source.look()
                offers, catalog._told[source.name] = source.seen()
                catalog._revisions[source.name] = source.mark()
                todo = plan(rows, offers)
                builder = Builder(catalog._index, source.name, len(catalog._sources))
                builder.clear(todo.gone)
                fresh = [(offer, todo.held.get(offer.key)) for offer in (offers if anew else todo.fresh)]
                reading = read_all([asked_of(offer, source.place(offer), row, anew=anew) for offer, row in fresh])
                for (offer, row), read in zip(fresh, reading, strict=True):
                    builder.put(offer, row, read)
        catalog.changed = catalog._index.generation() != before
        catalog._generation = -1
        catalog._catch_up()
        return catalog

    def _pin(self, partner: Partner) -> None:
        """Keep a partner for good."""
        for other in self._kept.pinned():
            for file, _key, message in clashes(partner, (other.partner,)):
                self.problems.append(Problem(file=f"{partner.file.slug}/{file}", message=f"{message} This partner is left out."))
                return
        rows = [operation_row(partner, each, None) for each in partner.operations]
        offer = OfferRow("", str(partner.file.id), 0, "", "", None, partner.file.id, False, "[]")
        self._index.change((), [offer], Stored(partner=partner_row(partner, None), operations=rows, documents={}))
        self._kept.pin(pinned(partner))
        self._told[""] = tuple(self.problems)

    def add_source(self, source: Source) -> None:
        """Let one more source be taken up by the next ``refresh``."""
        self._sources.append(source)

    def remove_source(self, source: Source) -> None:
        """Forget a source, when what it reads from is closed. What it offered stays until the next ``refresh``."""
        self._sources = [each for each in self._sources if each is not source]

    async def refresh(self) -> None:
        """Take up what the sources offer now, and what other processes took up. Where nothing changed it costs a look at each source's ``revision``.

        An index that is damaged is made anew. A caller that is cancelled stops nothing: what was begun is ended, so that the others can go on.
        """
        task = asyncio.create_task(self._refresh_alone())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _refresh_alone(self) -> None:
        async with self._refreshing:
            try:
                await self._refresh()
            except IndexDamaged as damage:
                _log.warning("the index of the catalogue is built again", reason=str(damage))
                await self._renew()

    async def _refresh(self) -> None:
        changed = [source for source in self._sources if await source.revision() != self._revisions.get(source.name)]
        if changed:
            lock = self._index.building()
            await self._off(lock.__enter__)
            try:
                for source in changed:
                    await self._take_up(source)
                await self._try_again(changed)
            finally:
                await self._off(partial(lock.__exit__, None, None, None))
            self._generation = -1  # what the sources said of themselves counts too
        await self._off(self._catch_up)

    async def look_again(self) -> bool:
        """Look at the files that nobody looked at when it was loaded, and take up what changed. Whether anything did."""
        late = [source for source in self._sources if isinstance(source, FolderSource) and source.adopted]
        for source in late:
            await source.look_later()
        before = await self._off(self._index.generation)
        if late:
            await self.refresh()
        return await self._off(self._index.generation) != before

    async def _take_up(self, source: Source) -> None:
        """Bring the index in step with a source. Nobody else changes it meanwhile, so what the source says now is the newest there is."""
        revision = await source.revision()
        offers, self._told[source.name] = await source.offers()
        todo = plan(await self._off(partial(self._index.offers, source.name)), offers)
        builder = Builder(self._index, source.name, self._sources.index(source) + 1)
        await self._off(partial(builder.clear, todo.gone))
        for offer in todo.fresh:
            folder = await source.folder(offer)
            await self._off(partial(builder.take, offer, folder, todo.held.get(offer.key)))
        self._revisions[source.name] = revision

    async def _try_again(self, changed: Sequence[Source]) -> None:
        """What stood back behind another one, in sources that did not change, may have its place now."""
        rows = [row for row in await self._off(self._index.left_out) if row.clash]
        for position, source in enumerate(self._sources, 1):
            if source in changed:
                continue
            builder = Builder(self._index, source.name, position)
            for row in rows:
                if row.source == source.name:
                    offer = Offer(key=row.key, stamp=row.stamp, owner=row.owner)
                    await self._off(partial(builder.take, offer, await source.folder(offer), row))

    def _catch_up(self) -> None:
        """Drop what the index has in another version by now."""
        generation = self._index.generation()
        if generation == self._generation:
            return
        rows = self._index.left_out()
        order = {source.name: position for position, source in enumerate(self._sources)}
        told = [problem for name in ("", *order) for problem in self._told.get(name, ())]
        shared = [row for row in rows if row.owner is None and row.source in order]
        told += [problem for row in sorted(shared, key=lambda row: (order[row.source], row.key)) for problem in problems_in(row)]
        self.problems = told
        self._owned = {(row.source, row.key): problems_in(row) for row in rows if row.owner is not None}
        self.count = self._index.count()
        for partner_id in self._kept.partners():
            row = self._index.partner(partner_id)
            self._kept.drop_unless(partner_id, row.digest if row is not None else None, row.owner if row is not None else None)
        self._generation = generation

    def problems_of(self, source: str, key: str) -> list[Problem]:
        """What was wrong with an offer that an account alone sees: ``problems`` does not name these, since everybody may read it."""
        return self._owned.get((source, key), [])

    def seen_by(self, account_id: int | None) -> View:
        """What an account sees: what everybody sees, and its own. ``None`` is nobody in particular: the public catalogue, the shell."""
        return View(self, account_id)

    def limit_by(self, allowed: Allowed) -> Allowed:
        """Say who tells which partners an account is limited to; who did so before."""
        before, self._allowed = self._allowed, allowed
        self._limits.clear()
        return before

    def forget(self) -> None:
        """Ask again which partners accounts are limited to."""
        self._limits.clear()

    async def all_ids(self, account_id: int | None) -> list[int]:
        """The ids of all partners of everybody and of an account, by title, whatever the account is limited to."""
        return await self.reading(lambda index: index.ids(Reach(owner=account_id)))

    async def ids_of(self, account_id: int | None, name: str) -> list[int]:
        """The id of the partner with a slug or an id, whatever the account is limited to: its own before what everybody sees."""
        return await self.reading(lambda index: index.ids(Reach(owner=account_id), name=name))

    def on_drop(self, drop: Callable[[int], object]) -> None:
        """Tell somebody of every operation, by id, that is no longer kept here."""
        self._kept.watchers.append(drop)

    async def prepare(self) -> None:
        """Load what reads partners and what is searched: the first who asks for one would wait for it."""
        await asyncio.to_thread(prepare)
        await self.reading(lambda _index: self._search.prepare())

    def close(self) -> None:
        """Release everything."""
        self._index.stop()
        self._threads.close(wait=True)
        self._index.close()

    async def _off(self, work: Callable[[], T]) -> T:
        """Do something in a thread."""
        return await self._threads.run(work)

    async def reading(self, work: Callable[[CatalogIndex], T]) -> T:
        """Read the index in a thread; one that is damaged is made anew first. Raises ``StoreUnavailable``."""
        era = self._era
        try:
            return await self._off(partial(work, self._index))
        except IndexDamaged as damage:
            if not self._sources:
                raise
            _log.warning("the index of the catalogue cannot be read", reason=str(damage))
        async with self._refreshing:
            if era == self._era:  # nobody else did it while this one waited
                await self._renew()
        return await self._off(partial(work, self._index))

    async def _renew(self) -> None:
        """Make the index anew, and build it."""
        await self._off(self._index.renew)
        self._era += 1
        self._revisions.clear()
        await self._refresh()

    def limit(self, account_id: int) -> frozenset[int] | None:
        """The partners that an account is limited to, as far as that is known here. Raises ``KeyError``."""
        return self._limits[account_id]

    async def learn_limit(self, account_id: int) -> frozenset[int] | None:
        """Ask which partners an account is limited to. The tools go with every list: they send nothing anywhere."""
        told = await self._allowed(account_id)
        found = None if told is None else told | {TOOLS}
        if len(self._limits) > 10_000:
            self._limits.clear()
        self._limits[account_id] = found
        return found

    def kept_operation(self, operation_id: int) -> Opened | None:
        """An operation that is loaded."""
        return self._kept.operation(operation_id)

    def holds(self, account_id: int, partner: Partner, operation: Operation) -> bool:
        """Whether this operation of this partner is what an account gets now, as far as that is in memory; nearly always it is."""
        found = self._kept.operation(operation.id)
        if found is None or found.operation is not operation or found.head.partner is not partner or account_id not in self._limits:
            return False
        return _sees(account_id, self._limits[account_id], partner.file.id, found.head.owner)

    def kept_head(self, partner_id: int) -> Head | None:
        """A partner that is loaded."""
        return self._kept.head(partner_id)

    async def load_head(self, partner_id: int, sees: Callable[[int, int | None], bool]) -> Head | None:
        """A partner from the index, if it is seen."""
        return await self.reading(lambda index: self._kept.load_head(index, partner_id, sees))

    async def load_operation(self, operation_id: int, sees: Callable[[int, int | None], bool]) -> Opened | None:
        """An operation from the index, if it is seen: it alone, not the others of its partner."""
        return await self.reading(lambda index: self._kept.load_operation(index, operation_id, sees))

    def list(self, index: CatalogIndex, kind: str, reach: Reach, wanted: Wanted) -> Page:
        """A page of a list. Raises ``ValidationFailed``."""
        ordered, question = understand(wanted, kind)
        if wanted.by_cursor:
            return self._list_after(index, kind, reach, wanted, ordered, question)
        start = (wanted.page - 1) * wanted.per_page
        if question is None:
            found, total = index.page(kind, reach, ordered, start, wanted.per_page)
        else:
            found, total = self._search.page(kind, question, reach, ordered, start, wanted.per_page)
        return Page(items=self._items(kind, found, wanted), page=wanted.page, per_page=wanted.per_page, total=total)

    def _list_after(self, index: CatalogIndex, kind: str, reach: Reach, wanted: Wanted, ordered: Ordered, question: str | None) -> Page:
        """A page that begins after a place. What is searched goes on by rank."""
        if question is None:
            placed, total = index.page_after(kind, reach, ordered, wanted.after, wanted.per_page + 1)
        else:
            start = int(wanted.after[0]) if wanted.after is not None else 0
            found, total = self._search.page(kind, question, reach, ordered, start, wanted.per_page + 1)
            placed = [(each, (start + number,)) for number, each in enumerate(found, 1)]
        shown = placed[: wanted.per_page]
        following = shown[-1][1] if len(placed) > wanted.per_page else None
        items = self._items(kind, [each for each, _place in shown], wanted)
        return Page(items=items, page=wanted.page, per_page=wanted.per_page, total=total, following=following)

    def _items(self, kind: str, found: Sequence[bytes], wanted: Wanted) -> Sequence[Any]:
        if not wanted.ready:
            return [self.item(kind, each) for each in found]
        return [ready_partner(each, self._origin) if kind == "partner" else msgspec.Raw(each) for each in found]

    def item(self, kind: str, content: bytes, *, whole: bool = False) -> Item:
        """An item as it is shown. Lists show no budgets."""
        item: dict[str, Any] = msgspec.json.decode(content)
        if kind == "partner":
            if item["logo"] is None:
                item["logo"] = logo_of(item["partnerId"], self._origin)
            if not whole:
                del item["budgets"]
        return item


class View:
    """The catalogue as one account sees it. What it does not see answers like what is not there.

    A partner may have to be loaded: what gives one is awaited, and gives at once what is loaded already. All of it raises ``StoreUnavailable`` when the
    index cannot be read.
    """

    __slots__ = ("_account_id", "_catalog")

    def __init__(self, catalog: Catalog, account_id: int | None) -> None:
        self._catalog = catalog
        self._account_id = account_id

    async def partner(self, partner_id: int) -> Partner:
        """A partner by its id: its file, lists and icon. Its operations are not in it: each is loaded by itself. Raises ``NotFound``."""
        sees = await self._seeing()
        head = self._catalog.kept_head(partner_id)
        if head is None:
            head = await self._catalog.load_head(partner_id, sees)
        if head is None or not sees(partner_id, head.owner):
            raise NotFound(_NO_PARTNER)
        return head.partner

    async def operation(self, operation_id: int) -> tuple[Partner, Operation]:
        """An operation and its partner. Raises ``NotFound``."""
        found = self._catalog.kept_operation(operation_id)
        try:
            limit = self._catalog.limit(self._account_id) if self._account_id is not None else None
        except KeyError:
            limit = await self._catalog.learn_limit(self._account_id or 0)
        if found is None:
            found = await self._catalog.load_operation(operation_id, partial(_sees, self._account_id, limit))
        if found is None or not _sees(self._account_id, limit, found.head.partner.file.id, found.head.owner):
            raise NotFound(_NO_OPERATION)
        return found.head.partner, found.operation

    async def partner_item(self, partner_id: int) -> Item:
        """The wire item of a partner, with its budgets. Raises ``NotFound``."""
        sees = await self._seeing()
        row = await self._catalog.reading(lambda index: index.partner(partner_id))
        if row is None or not sees(partner_id, row.owner):
            raise NotFound(_NO_PARTNER)
        return self._catalog.item("partner", row.item, whole=True)

    async def operation_item(self, operation_id: int) -> Item:
        """The wire item of an operation. Raises ``NotFound``."""
        sees = await self._seeing()
        found = await self._catalog.reading(lambda index: index.operation(operation_id))
        if found is None or not sees(found[0].partner_id, found[0].owner):
            raise NotFound(_NO_OPERATION)
        return self._catalog.item("operation", found[1])

    async def list_partners(self, wanted: Wanted) -> Page:
        """Partners, filtered, searched, sorted, paged. Raises ``ValidationFailed`` for a filter or a sort that there is not."""
        reach = await self._reach()
        return await self._catalog.reading(lambda index: self._catalog.list(index, "partner", reach, wanted))

    async def list_operations(self, wanted: Wanted) -> Page:
        """Operations, filtered, searched, sorted, paged. Raises ``ValidationFailed`` for a filter or a sort that there is not."""
        reach = await self._reach()
        return await self._catalog.reading(lambda index: self._catalog.list(index, "operation", reach, wanted))

    async def ids(self) -> list[int]:
        """The ids of all partners, by title."""
        reach = await self._reach()
        return await self._catalog.reading(lambda index: index.ids(reach))

    async def signing_in(self) -> list[int]:
        """The ids of the partners whose customers sign in with an OAuth app, by title."""
        reach = await self._reach()
        return await self._catalog.reading(lambda index: index.ids(reach, signs_in=True))

    async def find(self, name: str) -> Partner:
        """A partner by its slug, or by its id in digits. Raises ``NotFound``."""
        reach = await self._reach()
        found = await self._catalog.reading(lambda index: index.ids(reach, name=name))
        if not found:
            raise NotFound("There is no partner with this slug or id.")
        return await self.partner(found[0])

    async def _limit(self) -> frozenset[int] | None:
        if self._account_id is None:
            return None
        try:
            return self._catalog.limit(self._account_id)
        except KeyError:
            return await self._catalog.learn_limit(self._account_id)

    async def _seeing(self) -> Callable[[int, int | None], bool]:
        return partial(_sees, self._account_id, await self._limit())

    async def _reach(self) -> Reach:
        return Reach(owner=self._account_id, allowed=await self._limit())


def _sees(account_id: int | None, limit: frozenset[int] | None, partner_id: int, owner: int | None) -> bool:
    """Whether an account that is limited to some partners sees the one with this id, of this owner."""
    return (owner is None or owner == account_id) and (limit is None or partner_id in limit)
