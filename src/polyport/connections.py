"""Connections at rest and open: sealing, opening, masking. Knows the store and the vault, no partner and no network.

Every connection has a data key of its own, wrapped by the master key and bound to its account and its id; deleting the connection deletes the key.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from polyport.errors import ConnectionInvalid, Details, NotFound
from polyport.kinds.auth.base import Grant
from polyport.redaction import mask
from polyport.store.reach import within_reach
from polyport.store.records import Connection, ConnectionStatus, StoredGrant
from polyport.store.repo import Repo
from polyport.vault import Vault, VaultFault

OPEN_SECONDS: Final = 60.0
OPEN_MOST: Final = 1_024

_MISSING: Final = "There is no connection with this id."
_USABLE: Final = frozenset({ConnectionStatus.ACTIVE, ConnectionStatus.PENDING})
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection with its fields in the clear; they live as long as this object, and no repr shows them."""

    record: Connection
    fields: Mapping[str, Any] = field(repr=False)


def scope_of(account_id: int, connection_id: int) -> str:
    """What a connection's data key is bound to."""
    return f"account/{account_id}/connection/{connection_id}"


def shown_fields(fields: Mapping[str, Any], secrets: Collection[str]) -> dict[str, Any]:
    """The fields as they may be shown: secrets by their last characters only."""
    return {name: mask(str(value)) if name in secrets else value for name, value in fields.items()}


class ConnectionBook:
    """Opens and seals connections; keeps those in use open in memory for a minute at most."""

    def __init__(self, repo: Repo, vault: Vault) -> None:
        self._repo = repo
        self._vault = vault
        self._open: OrderedDict[tuple[int, int], tuple[float, Opened]] = OrderedDict()

    def new_key(self, account_id: int, connection_id: int) -> bytes:
        """A wrapped data key for a new connection."""
        return self._vault.new_key(scope_of(account_id, connection_id))

    def seal(self, account_id: int, connection_id: int, data_key: bytes, fields: Mapping[str, Any]) -> bytes:
        """The fields of a connection as ciphertext."""
        box = self._vault.box(scope_of(account_id, connection_id), data_key)
        return box.seal(_ENCODER.encode(fields), "fields")

    def seal_list(self, record: Connection, name: str, items: Any) -> bytes:
        """What was read from a partner for a connection, as ciphertext."""
        box = self._vault.box(scope_of(record.account_id, record.connection_id), record.data_key)
        return box.seal(_ENCODER.encode(items), f"list/{name}")

    def open_list(self, record: Connection, name: str, sealed: bytes) -> Any:
        """What ``seal_list`` sealed. Raises ``VaultFault``."""
        box = self._vault.box(scope_of(record.account_id, record.connection_id), record.data_key)
        return msgspec.json.decode(box.open(sealed, f"list/{name}"))

    def seal_grant(self, record: Connection, grant: Grant, *, now: int) -> StoredGrant:
        """A grant as it is kept, its tokens as ciphertext. It is the first of its connection; ``now`` is in unix milliseconds.

        Without a refresh token there is nothing to renew it with; without an end nobody knows when: the partner's refusal tells.
        """
        box = self._vault.box(scope_of(record.account_id, record.connection_id), record.data_key)
        renew_at = grant.renew_at(now / 1000) if "refresh_token" in grant.values else None
        return StoredGrant(
            connection_id=record.connection_id,
            sealed=box.seal(_ENCODER.encode({"values": grant.values, "learned": grant.learned}), "grant"),
            generation=1,
            expires_at=_milliseconds(grant.expires_at),
            refresh_at=_milliseconds(renew_at),
            exchange_until=None,
            exchange_by=None,
            failures=0,
            fence=0,
            updated_at=now,
        )

    def open_grant(self, record: Connection, stored: StoredGrant) -> Grant:
        """What ``seal_grant`` sealed. Raises ``VaultFault``."""
        box = self._vault.box(scope_of(record.account_id, record.connection_id), record.data_key)
        told = msgspec.json.decode(box.open(stored.sealed, "grant"))
        expires_at = None if stored.expires_at is None else stored.expires_at / 1000
        return Grant(values=told["values"], learned=told["learned"], expires_at=expires_at)

    async def open(self, account_id: int, connection_id: int) -> Opened:
        """A connection of an account with its fields. Raises ``NotFound``, or ``ConnectionInvalid`` when its key cannot be read."""
        key = (account_id, connection_id)
        held = self._open.get(key)
        if held is not None and time.monotonic() - held[0] < OPEN_SECONDS:
            check_reach(held[1].record)
            return held[1]
        record = await self.record(account_id, connection_id)
        opened = Opened(record=record, fields=self.unseal(record))
        self._open[key] = (time.monotonic(), opened)
        self._open.move_to_end(key)
        while len(self._open) > OPEN_MOST:
            self._open.popitem(last=False)
        return opened

    async def record(self, account_id: int, connection_id: int) -> Connection:
        """The stored record of a connection. Raises ``NotFound``."""
        record = await self._repo.connections.get(account_id, connection_id)
        if record is None:
            raise NotFound(_MISSING)
        return record

    def unseal(self, record: Connection) -> dict[str, Any]:
        """The fields of a connection in the clear. Raises ``ConnectionInvalid`` when its key cannot be read."""
        try:
            box = self._vault.box(scope_of(record.account_id, record.connection_id), record.data_key)
            fields: dict[str, Any] = msgspec.json.decode(box.open(record.sealed, "fields"))
        except VaultFault as fault:
            fix = "The operator has to give the server the master key that this connection was made under; else enter its fields again."
            details = Details(suggested_fix=fix, connection_id=record.connection_id)
            raise ConnectionInvalid(f"The connection's secrets cannot be opened: {fault}", details) from None
        return fields

    def forget(self) -> None:
        """Drop everything that is open: something changed."""
        self._open.clear()


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)


def check_reach(record: Connection) -> None:
    """Raise what ``record`` raises when a connection that is held in memory is not the caller's to use."""
    if not within_reach(record.external_user_id):
        raise NotFound(_MISSING)


def is_usable(record: Connection) -> bool:
    """Whether runs may use the connection: one that is pending is proved by the first run that succeeds."""
    return record.status in _USABLE
