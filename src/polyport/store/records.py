"""The rows that Polyport keeps, as frozen records. Times are unix milliseconds unless a name says otherwise.

Sealed fields hold ciphertext of ``vault``; nothing in a record is a secret in the clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import msgspec


class RunStatus(StrEnum):
    """Where a run stands. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    CANCELLED = "cancelled"


RESTORED = (
    "restored"  # the owner of runs that had not ended in a backup: no process has this name, so the first one that starts settles them
)
FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.UNCERTAIN, RunStatus.CANCELLED})


def has_ended(run: Run) -> bool:
    """Whether a run stands as it will: it has ended, and no doubt about it is looked into."""
    return run.status in FINAL and run.probe_at is None


class Priority(IntEnum):
    """How a queued run stands to others: a step up goes before those that were due up to ``PRIORITY_LEAD_MS`` earlier."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


PRIORITY_LEAD_MS: Final = 5 * 60_000
FIRST_LOOK_MS: Final = 2_000  # after a doubt, until the partner is first asked what became of it


class ConnectionStatus(StrEnum):
    """Whether a connection can be used.

    ``active``: the partner took it, and nothing has contradicted that. ``pending``: kept, and not proved yet; runs may use it, the first that succeeds
    proves it. ``invalid``: the partner refused it, and again at a second look. ``expired``: its sign-in is over and cannot be renewed without the customer.
    """

    ACTIVE = "active"
    INVALID = "invalid"
    EXPIRED = "expired"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A company that uses this server. ``data_key`` is its wrapped key for runs and caches."""

    account_id: int
    title: str
    data_key: bytes
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who signs in for an account. ``role`` is ``owner``, ``developer`` or ``viewer``; an empty hash is of who has no password yet."""

    user_id: int
    account_id: int
    email: str
    password_hash: str
    role: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A session token, a refresh token or an API key; only the SHA-256 of its text is kept.

    ``kind`` is ``session``, ``refresh``, ``api_key`` or ``end_user``; one of an end user has the ``external_user_id``. ``family`` joins the tokens of one sign-in, so that all end together.
    ``scopes`` are space-separated. ``prefix`` is the start of the text, for people to tell keys apart.
    """

    token_id: int
    token_hash: bytes
    kind: str
    account_id: int
    user_id: int | None
    family: str
    title: str
    prefix: str
    scopes: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    external_user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUser:
    """A user of the customer's own product. ``external_id`` is the customer's id of it, the ``external_user_id`` of everything else.

    ``status`` is ``active`` or ``deleting``; from then on ``mark`` is what the user's runs have in place of the id. ``generation`` counts the changes.
    """

    end_user_id: int
    account_id: int
    external_id: str
    title: str | None
    email: str | None
    metadata: str
    status: str
    mark: str | None
    generation: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A customer's account at a partner.

    ``sealed`` is the JSON of all its fields under ``data_key`` (itself wrapped). ``shown`` is the JSON of the fields as they may be
    shown: secrets masked. ``generation`` counts every change of the sealed fields. ``data_status`` is the wire's ``updateStatus``.
    ``simulated``: it talks to the partner's simulator in the server's process. ``check_at`` is when it is to be proved again (``None``: the partner has no verify call), ``refusals`` how often in a row the partner refused it.
    """

    connection_id: int
    account_id: int
    partner_id: int
    title: str
    status: ConnectionStatus
    auth: str
    account_label: str | None
    external_user_id: str | None
    metadata: str
    shown: str
    data_key: bytes
    sealed: bytes
    generation: int
    data_status: int
    last_error: str | None
    last_used_at: int | None
    last_verified_at: int | None
    check_at: int | None
    refusals: int
    created_at: int
    updated_at: int
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGrant:
    """What a partner granted to a connection: tokens and what came with them, sealed under the connection's key.

    ``generation`` counts the grants of the connection, ``fence`` is that of the last lease under which a new one was asked for. ``refresh_at`` is when to
    ask; ``None`` where that cannot be or nobody knows when. ``exchange_until`` stands while an exchange is under way (in the process ``exchange_by``), and stays when nobody could
    write down what came of it: until then the partner may still act on that. ``failures`` counts the exchanges since the last grant that brought none.
    """

    connection_id: int
    sealed: bytes
    generation: int
    expires_at: int | None
    refresh_at: int | None
    exchange_until: int | None
    exchange_by: str | None
    failures: int
    fence: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one process alone may do until a time. ``fence`` is higher than that of every lease before."""

    name: str
    owner: str
    fence: int
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What proving a connection found. ``proved``: the partner took it. ``account_label`` is kept as it was where it is ``None``."""

    status: ConnectionStatus
    proved: bool
    account_label: str | None
    last_error: str | None
    check_at: int | None
    refusals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProof:
    """That a run's success proves its connection, which is to be proved anew at ``check_at``."""

    connection_id: int
    generation: int
    check_at: int


class LinkStatus(IntEnum):
    """Where a link stands, by the wire's numbers. A link that failed may be tried again until it expires."""

    WAITING = 0
    DONE = 1
    OPENED = 2
    FAILED = 3
    EXPIRED = 4
    REVOKED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link by which a customer makes one connection; of its token only the SHA-256 is kept.

    ``connection_id`` is what it led to, or, where it ``renews`` a connection, which one. ``session_hash`` is of the browser that finished it.
    """

    link_id: int
    account_id: int
    partner_id: int
    token_hash: bytes
    status: LinkStatus
    connection_id: int | None
    renews: bool
    title: str
    external_user_id: str | None
    redirect_url: str | None
    callback_url: str | None
    metadata: str
    language: str | None
    last_error: str | None
    session_hash: bytes | None
    created_at: int
    expires_at: int
    opened_at: int | None
    used_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A customer who is at a partner's sign-in. Of the ``state`` that brings them back only the SHA-256 is kept.

    ``token_hash`` is of the link's token that it began with, ``session_hash`` of the browser. ``sealed`` is what goes on with it, under the account's key.
    """

    state_hash: bytes
    link_id: int
    account_id: int
    token_hash: bytes
    session_hash: bytes
    sealed: bytes
    used_at: int | None
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """What Polyport is at a partner for customers who sign in there: a client id and what proves it.

    ``account_id`` is whose it is; ``None`` is the installation's, which serves every account without one of its own. ``auth`` is the one choice that it
    serves; ``None`` serves all. ``sealed`` is the JSON of its secrets under ``data_key``, ``shown`` that of their masks. ``scopes`` and ``scope_choices``
    are JSON lists; ``None`` leaves them to the partner's file.
    """

    app_id: int
    account_id: int | None
    partner_id: int
    auth: str | None
    client_id: str
    shown: str
    scopes: str | None
    scope_choices: str | None
    data_key: bytes
    sealed: bytes
    generation: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """What an account has set for itself, as JSON. ``generation`` counts the changes, from 0 for an account that never set anything."""

    account_id: int
    settings: str
    generation: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedList:
    """What was read from a partner for one connection (a list, custom fields), sealed; ``stale_at`` is when to read it again."""

    connection_id: int
    name: str
    sealed: bytes
    read_at: int
    stale_at: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, from its acceptance to its end.

    ``mode`` is ``sync`` or ``async``. ``sending`` is true from before the first byte of a request that must not be repeated can leave until
    its outcome is known: a run found dead in that state is ``uncertain``. ``owner`` is the process that works on it. ``due_at`` is when it may be taken (again).
    ``queued_ms`` is for how long it was due and nobody took it, ``waited_ms`` for how long it was not to be taken: before its start, and between attempts.
    ``cancel_at`` is when it was asked to stop. ``replay_of`` is the run it repeats. ``reconciles``: a doubt can be looked into at the
    partner; ``probe_at`` is when that is done next, ``settled`` the JSON of what the last look found. ``partner_version`` is the version of an account's own partner that it was accepted with. ``error`` is the JSON of the error record. ``sealed_input``, ``sealed_result`` and ``sealed_attempts`` are ciphertext under the account's key.

    A ``Struct``, as everything is that a run makes several of: frozen dataclasses set their fields one by one, which costs six to fifty times as much.
    """

    run_id: str
    account_id: int
    partner_id: int
    operation_id: int
    connection_id: int | None
    external_user_id: str | None
    mode: str
    status: RunStatus
    sending: bool
    repeatable: bool
    owner: str | None
    attempts: int
    priority: Priority
    due_at: int
    deadline_at: int | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    cancel_at: int | None
    queued_ms: int
    waited_ms: int
    upstream_ms: int | None
    idempotency_key: str | None
    replay_of: str | None
    reconciles: bool
    probe_at: int | None
    settled: str | None
    partner_version: int | None = None
    callback_url: str | None
    metadata: str
    error: str | None
    sealed_input: bytes | None
    sealed_result: bytes | None
    sealed_attempts: bytes | None


class Lane(NamedTuple):
    """What one account runs with one connection and one operation: the runs of a lane go on in order, lanes take turns.

    ``place`` is the connection's id; of partners that need no connection it is their own id, negated.
    """

    account_id: int
    place: int
    operation_id: int
    partner_id: int

    @classmethod
    def of(cls, run: Run) -> Lane:
        """The lane of a run."""
        place = run.connection_id if run.connection_id is not None else -run.partner_id
        return cls(run.account_id, place, run.operation_id, run.partner_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Runs of an account with one partner that ended on one day in one way. ``day`` is counted from 1970, in UTC."""

    account_id: int
    day: int
    partner_id: int
    status: str
    runs: int
    attempts: int
    upstream_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A remembered ``Idempotency-Key``: ``digest`` is the SHA-256 of operation and canonical body."""

    account_id: int
    key: str
    digest: bytes
    run_id: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An uploaded file; ``sealed`` is its content under the account's key, ``size`` that of the content in bytes."""

    file_id: str
    account_id: int
    name: str
    content_type: str
    size: int
    created_at: int
    external_user_id: str | None = None
    sealed: bytes


class EndpointStatus(StrEnum):
    """Whether an endpoint is told anything. What happens while it is paused waits; while it is disabled, nothing is kept for it."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address of an account that is told of events. ``event_types`` is a JSON list of types and patterns (``connection.*``, ``*``).

    ``secrets`` are the signing secrets, sealed. ``reason`` says why it is disabled. ``generation`` counts the changes.
    """

    endpoint_id: str
    account_id: int
    url: str
    event_types: str
    title: str
    status: EndpointStatus
    reason: str | None
    secrets: bytes
    generation: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSecrets:
    """What signs an account's events to callback addresses, sealed. ``generation`` counts the changes, 0 for what is not kept yet."""

    account_id: int
    secrets: bytes
    generation: int
    updated_at: int


class EventStatus(StrEnum):
    """Where an outgoing event stands. A dead one is a dead letter: it can be replayed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class OutgoingEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one receiver: an endpoint, or (``endpoint_id`` is ``None``) the callback address ``url`` alone. With its end user it is erased.

    ``lane`` is the account and the receiver's origin, which share bounds. ``attempts`` counts those that were begun. ``due_at`` is when it is sent next,
    or when the lease of its ``owner`` is over. ``last_status`` is the receiver's last HTTP status. ``sealed`` is the body under the account's key.
    ``subject`` is the run that it tells of, if it does. ``deliveries`` is the JSON of its last attempts.
    """

    event_id: str
    account_id: int
    external_user_id: str | None
    type: str
    endpoint_id: str | None
    url: str
    lane: str
    status: EventStatus
    attempts: int
    due_at: int
    owner: str | None
    last_status: int | None
    last_error: str | None
    created_at: int
    ended_at: int | None
    deliveries: str = "[]"
    sealed: bytes
    subject: str | None = None
