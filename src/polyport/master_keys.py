"""The master keys of a process, kept in step with the key file, the store and the other processes.

Which master key seals is said by the store, so that all processes change over at one moment; the key file and the setting say which keys there are.
Every process tells the others, in the file of its lock, which keys it has: a key may only seal once all of them can open with it.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from polyport.errors import SetupError
from polyport.keyfile import KeyFile
from polyport.queue.processes import ProcessLock
from polyport.store.repo import Repo
from polyport.vault import Vault

FOLLOW_SECONDS: Final = 1.0
CENSUS_SECONDS: Final = 10.0

_log: Final = structlog.get_logger("polyport.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another process on the same data: its number, the master keys it has, the one it seals with, and whether its keys come from the key file."""

    pid: str
    key_ids: tuple[str, ...]
    seals: str
    reads_file: bool


class MasterKeys:
    """The master keys of this process. ``file`` is ``None`` where the setting names them."""

    def __init__(self, repo: Repo, vault: Vault, processes: ProcessLock, file: KeyFile | None) -> None:
        self.repo = repo
        self.vault = vault
        self.file = file
        self._processes = processes
        self._told = ""
        self._trouble: str | None = None
        self._census: list[dict[str, Any]] = []
        self._census_at = -math.inf

    async def begin(self, now: int) -> None:
        """Take up what the store says. Raises ``SetupError`` when these keys cannot open what is stored: a lost key is said, not crashed on."""
        if await self.repo.keys.sealing() is None:
            await self.repo.keys.begin(bytes.fromhex(self.vault.key_ids[0]), now)
        await self.follow()
        for found in await self.repo.keys.counts():
            if found.holder == "accounts" and found.key_id.hex() not in self.vault.key_ids:
                raise SetupError(
                    f"The master key is not the one this data was sealed with (key id {found.key_id.hex()}). "
                    "Set POLYPORT_MASTER_KEY to it, or put the key file back into the data folder."
                )
        retired = {key.key_id.hex() for key in await self.repo.keys.all() if key.retired_at is not None}
        if self.vault.key_ids[0] in retired:
            raise SetupError(
                f"The master key {self.vault.key_ids[0]} was dropped from this data and may seal nothing any more: give the server the one that took its place."
            )

    async def follow(self) -> None:
        """Take over what changed, and tell the other processes."""
        self.vault.follow()
        sealing = await self.repo.keys.sealing()
        if sealing is not None:
            self.vault.seal_with(sealing.hex())
        ids = self.vault.key_ids
        told = json.dumps({"keys": ids, "seals": ids[0], "file": self.file is not None})
        if told != self._told:
            self._processes.tell(told)
            self._told = told
        trouble = self.trouble
        if trouble is not None and trouble != self._trouble:
            _log.warning("the key file cannot be read again; the keys stay what they were", reason=trouble)
        self._trouble = trouble

    @property
    def trouble(self) -> str | None:
        """Why the key file could not be read again, if so."""
        return self.file.trouble if self.file is not None else None

    def neighbours(self) -> list[Neighbour]:
        """The other processes on this data."""
        return [_neighbour(owner, text) for owner, text in self._processes.others().items()]

    async def recent_census(self) -> list[dict[str, Any]]:
        """``census`` as it was at most ten seconds ago: it counts every connection, and whoever can reach a server can ask for it."""
        if time.monotonic() - self._census_at > CENSUS_SECONDS:
            self._census_at = time.monotonic()
            self._census = await self.census()
        return self._census

    async def census(self) -> list[dict[str, Any]]:
        """Every master key that is on the ring, sealed here, or is needed by a data key: what is told of it by ``keys list`` and ``/readyz``."""
        known = {key.key_id.hex(): key for key in await self.repo.keys.all()}
        needed: dict[str, dict[str, int]] = {}
        for found in await self.repo.keys.counts():
            needed.setdefault(found.key_id.hex(), {})[found.holder] = found.count
        ring = self.vault.key_ids
        told = []
        for key_id in dict.fromkeys((*ring, *known, *needed)):
            key = known.get(key_id)
            told.append(
                {
                    "keyId": key_id,
                    "seals": key_id == ring[0],
                    "held": key_id in ring,
                    "since": key.since // 1000 if key is not None else None,
                    "dropped": key is not None and key.retired_at is not None,
                    "dataKeys": needed.get(key_id, {}),
                }
            )
        return told


def _neighbour(owner: str, text: str) -> Neighbour:
    told: Any = {}
    with contextlib.suppress(ValueError):  # a process that has only just begun has told nothing
        told = json.loads(text)
    if not isinstance(told, Mapping):
        told = {}
    return Neighbour(
        pid=owner.partition("-")[0],
        key_ids=tuple(told.get("keys", ())),
        seals=str(told.get("seals", "")),
        reads_file=bool(told.get("file", True)),
    )
