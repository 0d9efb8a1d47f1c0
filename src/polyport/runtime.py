"""The one composition root: everything a process needs, opened in order and closed in reverse."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from polyport.apps import AppBook
from polyport.catalog import Catalog
from polyport.connections import ConnectionBook
from polyport.errors import SetupError
from polyport.net.egress import EgressPolicy
from polyport.net.message import Network
from polyport.net.send import Sender
from polyport.passwords import hash_password
from polyport.queue.base import Queue
from polyport.queue.database import DatabaseQueue
from polyport.queue.processes import ProcessLock
from polyport.settings import Settings
from polyport.store.base import Duplicate
from polyport.store.records import Account
from polyport.store.repo import Repo
from polyport.store.sqlite import SqliteDatabase
from polyport.vault import KEY_FILE, Vault, key_id_of, open_keyring

DATABASE: Final = "polyport.db"


def system_clock() -> datetime:
    """The time of this machine, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What a process works with. ``owner`` is its name in the store, ``is_alive`` tells whether another's process lives; ``clock`` gives the time, in UTC."""

    settings: Settings
    catalog: Catalog
    repo: Repo
    vault: Vault
    connections: ConnectionBook
    apps: AppBook
    queue: Queue
    network: Network
    policy: EgressPolicy
    owner: str
    is_alive: Callable[[str], bool]
    clock: Callable[[], datetime]

    def now_ms(self) -> int:
        """The time in unix milliseconds."""
        if self.clock is system_clock:  # asked for many times in a run: without a datetime in between it costs a tenth
            return time.time_ns() // 1_000_000
        return int(self.clock().timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAccount:
    """The account that was made at first start; ``password`` is set only when it was made up and has to be told once."""

    email: str
    password: str | None


@contextlib.asynccontextmanager
async def open_runtime(
    settings: Settings, *, catalog: Catalog | None = None, network: Network | None = None, clock: Callable[[], datetime] | None = None
) -> AsyncIterator[Runtime]:
    """Open everything, and close it again. Raises ``SetupError`` with a sentence when something does not allow a start.

    ``catalog``, ``network`` and ``clock`` replace the real ones in tests.
    """
    vault = _open_vault(settings)
    policy = EgressPolicy(settings.allow_networks)
    async with contextlib.AsyncExitStack() as stack:
        database = await SqliteDatabase.open(settings.data / DATABASE)
        stack.push_async_callback(database.close)
        repo = Repo(database)
        await _check_keys(repo, vault)
        processes = ProcessLock(settings.data / "processes")
        stack.callback(processes.release)
        if network is None:
            sender = Sender(
                policy,
                connections=settings.partner.connections,
                connections_per_host=settings.partner.connections_per_host,
                answer_limit=settings.partner.answer_limit,
                timeout_limit=settings.partner.timeout_limit,
            )
            stack.push_async_callback(sender.close)
            network = sender
        yield Runtime(
            settings=settings,
            catalog=catalog or Catalog.load(settings.connectors, settings.origin),
            repo=repo,
            vault=vault,
            connections=ConnectionBook(repo, vault),
            apps=AppBook(repo, vault),
            queue=DatabaseQueue(database, processes),
            network=network,
            policy=policy,
            owner=processes.owner,
            is_alive=processes.is_alive,
            clock=clock or system_clock,
        )


async def make_first_account(settings: Settings, make_password: Callable[[], str]) -> FirstAccount | None:
    """Make the first account where there is none. ``make_password`` is called when the settings name no password.

    Raises ``SetupError`` when the settings' e-mail address or password cannot be used.
    """
    vault = _open_vault(settings)
    database = await SqliteDatabase.open(settings.data / DATABASE)
    try:
        repo = Repo(database)
        if await repo.accounts.count():
            return None
        email = settings.bootstrap.email.strip().lower() or "admin@localhost"
        given = settings.bootstrap.password.get_secret_value()
        password = given or make_password()
        await create_account(repo, vault, title=email, email=email, password=password, now=int(time.time() * 1000))
        return FirstAccount(email=email, password=None if given else password)
    except Duplicate:
        return None
    finally:
        await database.close()


async def create_account(repo: Repo, vault: Vault, *, title: str, email: str, password: str, now: int) -> int:
    """Make an account with its first user; its id. Raises ``SetupError`` for a password that is too short, ``Duplicate`` for a taken e-mail."""
    if len(password) < 8:
        raise SetupError("A password has at least 8 characters: set POLYPORT_BOOTSTRAP_PASSWORD to a longer one.")
    account_id = await repo.accounts.reserve_id()
    account = Account(account_id=account_id, title=title, data_key=vault.new_key(account_scope(account_id)), created_at=now)
    user = await repo.accounts.create(account, email=email, password_hash=hash_password(password))
    return user.account_id


def account_scope(account_id: int) -> str:
    """What an account's data key is bound to."""
    return f"account/{account_id}"


def _open_vault(settings: Settings) -> Vault:
    """The vault of the data folder, which is made if need be. A key file is only made where there is no data yet that another key has sealed."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = settings.master_key.get_secret_value()
    if not given and (settings.data / DATABASE).exists() and not (settings.data / KEY_FILE).exists():
        raise SetupError(
            f"There is a database in {settings.data}, but the key that seals it is gone. "
            f"Put {KEY_FILE} back into the folder, or set POLYPORT_MASTER_KEY to it."
        )
    return Vault(open_keyring(given, settings.data))


async def _check_keys(repo: Repo, vault: Vault) -> None:
    """Refuse to start with a key ring that cannot open what is stored: a lost key is said, not crashed on."""
    for account in await repo.accounts.all():
        if key_id_of(account.data_key) not in vault.key_ids:
            raise SetupError(
                f"The master key is not the one this data was sealed with (key id {key_id_of(account.data_key)}). "
                "Set POLYPORT_MASTER_KEY to it, or put the key file back into the data folder."
            )
