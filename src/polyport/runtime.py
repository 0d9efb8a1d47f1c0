"""The one composition root: everything a process needs, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

from polyport.accounts import AccountBoxes, account_scope
from polyport.apps import AppBook
from polyport.breakers import Breakers
from polyport.budgets import Budgets
from polyport.catalog import Catalog, open_catalog
from polyport.connections import ConnectionBook
from polyport.console_users import PLACEHOLDER, new_link
from polyport.errors import SetupError
from polyport.events import Events
from polyport.keyfile import KEY_FILE, KeyFile
from polyport.master_keys import MasterKeys
from polyport.net.egress import EgressPolicy
from polyport.net.late import LateSender, Way
from polyport.net.message import Network, Reply, Request
from polyport.passwords import hash_password
from polyport.private_partners import PrivateSource
from polyport.queue.base import Queue
from polyport.queue.database import DatabaseQueue
from polyport.queue.departures import Departures
from polyport.queue.processes import FolderLock, ProcessLock
from polyport.settings import Settings
from polyport.store.base import Duplicate, StoreFault
from polyport.store.records import Account
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase
from polyport.vault import Keyring, Vault

DATABASE: Final = "polyport.db"


def system_clock() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


def in_milliseconds(clock: Callable[[], datetime]) -> Callable[[], int]:
    """A clock in unix milliseconds."""
    if clock is system_clock:  # asked for many times in a run: without a datetime in between it costs a tenth
        return _system_milliseconds
    return lambda: int(clock().timestamp() * 1000)


def _system_milliseconds() -> int:
    return time.time_ns() // 1_000_000


class Simulated(Protocol):
    """Partners that are simulated within the process: a network for connections that are marked as simulated."""

    def origin(self, slug: str) -> str:
        """Where the calls of such a connection go."""

    def knows(self, slug: str) -> bool:
        """Whether there is a simulator of a partner."""

    async def sample(self, slug: str) -> tuple[str, Mapping[str, Any]]:
        """A way of authorisation and made-up fields that are taken. Raises ``NotFound`` where there is no simulator."""

    async def send(self, request: Request) -> Reply:
        """Let a simulated partner answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a process works with. ``owner`` is its name in the store, ``is_alive`` tells whether another's process lives; ``clock`` gives the time, in UTC.

    ``network`` leads to partners, ``receivers`` to those who are told of events: connections of their own, so that neither waits for the other.
    """

    settings: Settings
    catalog: Catalog
    private: PrivateSource
    repo: Repo
    vault: Vault
    keys: MasterKeys
    boxes: AccountBoxes
    events: Events
    connections: ConnectionBook
    apps: AppBook
    queue: Queue
    budgets: Budgets
    breakers: Breakers
    network: Network
    receivers: Network
    policy: EgressPolicy
    departures: Departures
    owner: str
    is_alive: Callable[[str], bool]
    clock: Callable[[], datetime]
    simulated: Simulated | None = None
    now_ms: Callable[[], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """``now_ms`` gives the time in unix milliseconds."""
        object.__setattr__(self, "now_ms", in_milliseconds(self.clock))

    async def prepare(self) -> None:
        """Load what the first call to a partner would wait for, and the first who asks what one offers."""
        for way in (self.network, self.receivers):
            if isinstance(way, LateSender):
                await way.prepare()
        await self.catalog.prepare()

    async def look_again(self) -> None:
        """Look at the partners' files that a start did not look at, and let all processes of the data folder take up what changed."""
        if await self.catalog.look_again():
            await self.repo.keys.forget()


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAccount:
    """The account that was made at first start; ``password`` and ``welcome`` are set only when they were made up and have to be told once.

    ``welcome`` is a link by which its owner sets a password and comes into the console.
    """

    email: str
    password: str | None
    welcome: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Safe:
    """The data folder, open: the store, the master keys, and the lock that says that this process lives."""

    repo: Repo
    keys: MasterKeys
    processes: ProcessLock


@contextlib.asynccontextmanager
async def open_safe(settings: Settings, *, serves: bool = False) -> AsyncIterator[Safe]:
    """Open the data folder, and close it again; ``serves``: by a server's process. Raises ``SetupError`` with a sentence when its keys or its database cannot be used."""
    ring, file = open_keys(settings)
    async with contextlib.AsyncExitStack() as stack:
        try:
            in_use = FolderLock(settings.data)
        except BlockingIOError:
            raise SetupError(f"A restore is at work in {settings.data}: start again when it is done.") from None
        stack.callback(in_use.release)
        database = await SqliteDatabase.open(settings.data / DATABASE, sole=serves and settings.workers == 1)
        stack.push_async_callback(database.close)
        processes = ProcessLock(settings.data / "processes")
        stack.callback(processes.release)
        repo = Repo(database)
        keys = MasterKeys(repo, Vault(ring, news=file.news if file is not None else None), processes, file)
        await keys.begin(int(time.time() * 1000))
        yield Safe(repo=repo, keys=keys, processes=processes)


@contextlib.asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    catalog: Catalog | None = None,
    network: Network | None = None,
    clock: Callable[[], datetime] | None = None,
    simulated: Simulated | None = None,
    late: bool = False,
    serves: bool = False,
) -> AsyncIterator[Runtime]:
    """Open everything, and close it again. Raises ``SetupError`` with a sentence when something does not allow a start.

    ``catalog``, ``network`` and ``clock`` replace the real ones in tests. ``simulated`` are the partners that simulated connections talk to, if there may be any.
    ``late``: where there are many partners, changes of their files are taken up by ``Runtime.look_again``, once it serves. ``serves``: this process is a server's, and
    no command that works beside one.
    """
    policy = EgressPolicy(settings.allow_networks)
    time_now = clock or system_clock
    async with contextlib.AsyncExitStack() as stack:
        safe = await stack.enter_async_context(open_safe(settings, serves=serves))
        database, vault = safe.repo.database, safe.keys.vault
        boxes = AccountBoxes(safe.repo.accounts, vault)
        events = Events(
            safe.repo.endpoints,
            boxes,
            in_milliseconds(time_now),
            result_limit=settings.events.result_limit,
            watched=settings.health.check_every > 0,
        )
        repo = Repo(database, events)
        departures = stack.enter_context(closing(safe.processes.departures(2 * (settings.runs.concurrency + settings.runs.sync_limit))))
        network, receivers = (network, network) if network is not None else _ways_out(stack, policy, settings)
        budgets = Budgets(repo.budget_uses, owner=safe.processes.owner, now_ms=in_milliseconds(time_now), is_alive=safe.processes.is_alive)
        stack.push_async_callback(budgets.close)
        private = PrivateSource(repo.private_partners, boxes)
        catalog = await _filled(stack, settings, repo, private, catalog, late=late)
        yield Runtime(
            settings=settings,
            catalog=catalog,
            private=private,
            repo=repo,
            vault=vault,
            keys=safe.keys,
            boxes=boxes,
            events=events,
            connections=ConnectionBook(repo, vault),
            apps=AppBook(repo, vault),
            queue=DatabaseQueue(database, safe.processes, events),
            budgets=budgets,
            breakers=Breakers(settings.partner.breaker_failures, settings.partner.breaker_wait),
            network=network,
            receivers=receivers,
            policy=policy,
            departures=departures,
            owner=safe.processes.owner,
            is_alive=safe.processes.is_alive,
            clock=time_now,
            simulated=simulated,
        )


async def _filled(
    stack: contextlib.AsyncExitStack, settings: Settings, repo: Repo, private: PrivateSource, catalog: Catalog | None, *, late: bool
) -> Catalog:
    """The catalogue with what accounts imported, and limited as they are; the real one where none is given."""
    if catalog is None:
        opening = partial(open_catalog, settings.data, settings.partner_roots, settings.origin, memory=settings.catalog.memory, late=late)
        catalog = await asyncio.to_thread(opening)
        stack.callback(catalog.close)
        if catalog.changed:  # other processes of this data folder take it up
            with contextlib.suppress(StoreFault):  # a store that cannot be written now: readyz says so
                await repo.keys.forget()
    catalog.add_source(private)
    stack.callback(catalog.remove_source, private)
    with contextlib.suppress(StoreFault):  # as above
        await catalog.refresh()
    stack.callback(catalog.limit_by, catalog.limit_by(repo.allow_lists.limit))
    return catalog


def _ways_out(stack: contextlib.AsyncExitStack, policy: EgressPolicy, settings: Settings) -> tuple[Network, Network]:
    """To partners, and to those who are told of events."""
    partner, events = settings.partner, settings.events
    return (
        _sender(stack, policy, settings, partner.connections, partner.connections_per_host),
        _sender(stack, policy, settings, events.concurrency, events.concurrency),
    )


def _sender(stack: contextlib.AsyncExitStack, policy: EgressPolicy, settings: Settings, connections: int, per_host: int) -> LateSender:
    def make() -> Way:
        from polyport.net.send import Sender  # noqa: PLC0415  see LateSender

        return Sender(
            policy,
            connections=connections,
            connections_per_host=per_host,
            answer_limit=settings.partner.answer_limit,
            timeout_limit=settings.partner.timeout_limit,
        )

    sender = LateSender(make)
    stack.push_async_callback(sender.close)
    return sender


async def make_first_account(settings: Settings, make_password: Callable[[], str]) -> FirstAccount | None:
    """Make the first account where there is none. ``make_password`` is called when the settings name no password.

    Raises ``SetupError`` when the settings' e-mail address or password cannot be used.
    """
    async with open_safe(settings) as safe:
        if await safe.repo.accounts.count():
            return None
        email = settings.bootstrap.email.strip().lower() or PLACEHOLDER
        given = settings.bootstrap.password.get_secret_value()
        password, now = given or make_password(), int(time.time() * 1000)
        try:
            await create_account(safe.repo, safe.keys.vault, title=email, email=email, password=password, now=now)
        except Duplicate:
            return None
        if given:
            return FirstAccount(email=email, password=None)
        user = await safe.repo.accounts.user_by_email(email)
        welcome = (await new_link(safe.repo, settings, user, now))[0] if user is not None and settings.console.enabled else None
        return FirstAccount(email=email, password=password, welcome=welcome)


async def create_account(repo: Repo, vault: Vault, *, title: str, email: str, password: str, now: int) -> int:
    """Make an account with its first user; its id. Raises ``SetupError`` for a password that is too short, ``Duplicate`` for a taken e-mail."""
    if len(password) < 8:
        raise SetupError("A password has at least 8 characters: set POLYPORT_BOOTSTRAP_PASSWORD to a longer one.")
    account_id = await repo.accounts.reserve_id()
    account = Account(account_id=account_id, title=title, data_key=vault.new_key(account_scope(account_id)), created_at=now)
    user = await repo.accounts.create(account, email=email, password_hash=hash_password(password))
    return user.account_id


def open_keys(settings: Settings) -> tuple[Keyring, KeyFile | None]:
    """The master keys of the settings, or those of the key file, with it. Makes the data folder, and a key file where there is no data yet that another key sealed.

    Raises ``SetupError``.
    """
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = settings.master_key.get_secret_value()
    if given.strip():
        return Keyring.parse(given), None
    file = KeyFile(settings.data)
    if (settings.data / DATABASE).exists() and not file.exists():
        raise SetupError(
            f"There is a database in {settings.data}, but the key that seals it is gone. "
            f"Put {KEY_FILE} back into the folder, or set POLYPORT_MASTER_KEY to it."
        )
    return file.open(), file
