"""Everything that Polyport keeps, by subject, over any ``Database``."""

from __future__ import annotations

from dataclasses import dataclass, field

from polyport.store.accounts import Accounts, Files, Throttles, Tokens
from polyport.store.allow_lists import AllowLists
from polyport.store.apps import OAuthApps
from polyport.store.base import Database, Statement
from polyport.store.budgets import BudgetUses
from polyport.store.connections import Connections
from polyport.store.console import AuditEntries, ConsoleSessions, ConsoleUsers
from polyport.store.end_users import EndUsers
from polyport.store.grants import Grants
from polyport.store.herald import Herald, Silence
from polyport.store.keys import Keys
from polyport.store.leases import Leases
from polyport.store.links import Links, OwnSettings
from polyport.store.outbox import PARKED, Endpoints, Outbox
from polyport.store.private_partners import Imports, PrivatePartners
from polyport.store.runs import Runs
from polyport.store.sign_ins import SignIns
from polyport.store.sums import RunSums


@dataclass(frozen=True, slots=True)
class Repo:
    """The store as the rest of the program sees it. The ``herald`` gives the events of what changes."""

    database: Database
    herald: Herald = field(default_factory=Silence)
    runs: Runs = field(init=False)
    """Runs and idempotency keys."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", Runs(self.database))  # made once: every run asks for it twice

    @property
    def accounts(self) -> Accounts:
        """Accounts and users."""
        return Accounts(self.database)

    @property
    def allow_lists(self) -> AllowLists:
        """Which partners accounts are limited to."""
        return AllowLists(self.database)

    @property
    def tokens(self) -> Tokens:
        """Session tokens, refresh tokens, API keys."""
        return Tokens(self.database)

    @property
    def console_users(self) -> ConsoleUsers:
        """The people of an account by role."""
        return ConsoleUsers(self.database)

    @property
    def console_sessions(self) -> ConsoleSessions:
        """Browsers that are signed in."""
        return ConsoleSessions(self.database)

    @property
    def audit(self) -> AuditEntries:
        """Who did what."""
        return AuditEntries(self.database)

    @property
    def end_users(self) -> EndUsers:
        """The customer's own users."""
        return EndUsers(self.database)

    async def scrub(self) -> bool:
        """Clean the database's files of what was deleted since the last time. False when that has to be tried again."""
        erased, scrubbed = (await self.database.read("erasures"))[0]
        if erased == scrubbed:
            return True
        if not await self.database.scrub():
            return False
        await self.database.write(Statement(query="note_scrubbing", params={"value": erased}))
        return True

    @property
    def throttles(self) -> Throttles:
        """Counters of tries."""
        return Throttles(self.database)

    @property
    def connections(self) -> Connections:
        """Connections and what was read for them."""
        return Connections(self.database, self.herald)

    @property
    def grants(self) -> Grants:
        """What partners granted to connections."""
        return Grants(self.database, self.herald)

    @property
    def leases(self) -> Leases:
        """What one process alone may do for a time."""
        return Leases(self.database)

    @property
    def keys(self) -> Keys:
        """Master keys by id, and the data keys under them."""
        return Keys(self.database)

    @property
    def links(self) -> Links:
        """Links by which customers connect."""
        return Links(self.database, self.herald)

    @property
    def oauth_apps(self) -> OAuthApps:
        """What Polyport is at partners where customers sign in."""
        return OAuthApps(self.database)

    @property
    def private_partners(self) -> PrivatePartners:
        """Partners of accounts' own."""
        return PrivatePartners(self.database)

    @property
    def imports(self) -> Imports:
        """Imports of partners."""
        return Imports(self.database)

    @property
    def sign_ins(self) -> SignIns:
        """Customers who are at a partner's sign-in."""
        return SignIns(self.database)

    @property
    def own_settings(self) -> OwnSettings:
        """What accounts have set for themselves."""
        return OwnSettings(self.database)

    @property
    def files(self) -> Files:
        """Uploaded files."""
        return Files(self.database)

    @property
    def budget_uses(self) -> BudgetUses:
        """What was taken of partners' budgets."""
        return BudgetUses(self.database)

    @property
    def run_sums(self) -> RunSums:
        """What pictures of runs are made of."""
        return RunSums(self.database)

    @property
    def outbox(self) -> Outbox:
        """Events on their way."""
        return Outbox(self.database)

    async def mend_due(self, now: int, back: int, slack: int) -> int:
        """Draw near what is due, or would be remembered, too late because the clock was ahead by ``back`` milliseconds, or by an unknown time (0); how many there were.

        What waits is moved by the step once, all in one unit: moved twice it would come too early.
        """
        count, given = 0, {"now": now, "slack": slack, "limit": 1000}
        while mended := len((await self.database.write(Statement(query="mend_keys", params=given)))[0]):
            count += mended
        for query in ("mend_due_runs", "mend_due_events"):
            given = {"now": now, "slack": slack, "parked": PARKED} if query == "mend_due_events" else {"now": now, "slack": slack}
            while mended := len((await self.database.write(Statement(query=query, params={**given, "back": 0, "limit": 1000})))[0]):
                count += mended
            if back:
                count += len((await self.database.write(Statement(query=query, params={**given, "back": back, "limit": -1})))[0])
        return count

    @property
    def endpoints(self) -> Endpoints:
        """Who is told of events."""
        return Endpoints(self.database)
