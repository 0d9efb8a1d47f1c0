"""Partners of accounts' own as the catalogue takes them up, and the versions of them that runs were accepted with.

What accounts imported is in the store, sealed. The version that serves is offered to the catalogue; another one is opened when a run asks for it that was
accepted while that served.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from polyport.accounts import AccountBoxes
from polyport.catalog import Offer
from polyport.errors import NotFound, Overloaded
from polyport.manifest.archives import unpack
from polyport.manifest.disk import Files
from polyport.manifest.load import load_partner
from polyport.manifest.model import Partner
from polyport.manifest.source import Problem
from polyport.store.base import StoreFault, StoreUnavailable
from polyport.store.private_partners import PrivatePartners, Serving
from polyport.vault import VaultFault

SOURCE: Final = "accounts"
FIRST_PRIVATE: Final = 2_000_000_001  # partners' ids from here to the last there can be are those of accounts' own partners
LAST_PRIVATE: Final = 2**31
FIRST_PRIVATE_OPERATION: Final = 2**50
OPEN_MOST: Final = 16
_TOLD: Final = re.compile(r"^(?:version|status|deprecation):.*\n", re.MULTILINE)


def folder_context(partner_id: int, number: int) -> str:
    """What the folder of a version is sealed as."""
    return f"partner/{partner_id}/{number}/folder"


class PrivateSource:
    """Accounts' own partners, as a source of the catalogue."""

    def __init__(self, partners: PrivatePartners, boxes: AccountBoxes) -> None:
        self._partners = partners
        self._boxes = boxes
        self._serving: Sequence[Serving] = ()
        self._open: OrderedDict[tuple[int, int], Partner] = OrderedDict()

    @property
    def name(self) -> str:
        """What the source is called."""
        return SOURCE

    async def revision(self) -> str:
        """A text that changes whenever another version serves, or another sentence is told with it."""
        serving = await self._partners.serving()
        closed = {account_id for account_id in {one.account_id for one in serving} if not await self._opens(account_id)}
        self._serving = [one for one in serving if one.account_id not in closed]
        return hashlib.sha256(repr((self._serving, sorted(closed))).encode()).hexdigest()

    async def _opens(self, account_id: int) -> bool:
        """Whether what an account keeps can be opened here; where its master key is missing, its partners are not there until it is back."""
        try:
            await self._boxes.of(account_id)
        except StoreUnavailable:
            raise
        except (Overloaded, StoreFault):
            return False
        return True

    async def offers(self) -> tuple[Sequence[Offer], Sequence[Problem]]:
        """The versions that serve."""
        return [Offer(key=str(one.partner_id), stamp=_stamp(one), owner=one.account_id) for one in self._serving], ()

    async def folder(self, offer: Offer) -> Files:
        """The files of a version that serves. One that cannot be opened now has none, which the catalogue names."""
        serving = next((one for one in self._serving if str(one.partner_id) == offer.key and _stamp(one) == offer.stamp), None)
        if serving is None:
            return Files(offer.key, {})
        told = json.loads(serving.deprecation) if serving.deprecation is not None else None
        try:
            return await self._files(serving.account_id, serving.partner_id, serving.number, serving.slug, told)
        except (NotFound, Overloaded, VaultFault):  # it went meanwhile, or is damaged
            return Files(serving.slug, {})

    async def version(self, account_id: int, partner_id: int, number: int) -> Partner:
        """A partner as a version of it has it, whichever serves. Raises ``NotFound`` when that version is not kept any more."""
        key = (partner_id, number)
        found = self._open.get(key)
        if found is None:
            files = await self._files(account_id, partner_id, number, str(partner_id), None)
            found = (await asyncio.to_thread(load_partner, files)).partner
            if found is None:
                raise NotFound(_gone(number))
            self._open[key] = found
            while len(self._open) > OPEN_MOST:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return found

    def lost(self, account_id: int, operation_id: int) -> NotFound | None:
        """Why there is an operation no more that there was in an earlier version of one of the account's partners."""
        for one in self._serving:
            if one.account_id != account_id or one.dropped is None:
                continue
            told = json.loads(one.dropped).get(str(operation_id))
            if told is not None:
                return NotFound(
                    f'"{told[0]}" was in version {told[1]} of "{one.slug}" and is not in version {one.number}, which serves now.'
                )
        return None

    async def _files(self, account_id: int, partner_id: int, number: int, name: str, deprecation: Any) -> Files:
        sealed = await self._partners.folder(account_id, partner_id, number)
        if sealed is None:
            raise NotFound(_gone(number))
        box = await self._boxes.of(account_id)
        content = await asyncio.to_thread(lambda: unpack(box.open(sealed, folder_context(partner_id, number))))
        return Files(name, {**content, "partner.yaml": _marked(content["partner.yaml"], number, deprecation)})


def _stamp(one: Serving) -> str:
    return hashlib.sha256(repr((one.number, one.content_hash, one.deprecation)).encode()).hexdigest()


def _gone(number: int) -> str:
    return f"Version {number} of this partner, which the run was accepted with, is not kept any more."


def _marked(content: bytes, number: int, deprecation: Mapping[str, Any] | None) -> bytes:
    """``partner.yaml`` with its version, and what users of a deprecated one are told."""
    told: dict[str, Any] = {"version": number}
    if deprecation is not None:
        told |= {"status": "deprecated", "deprecation": {key: value for key, value in deprecation.items() if value is not None}}
    kept = _TOLD.sub("", content.decode() if content.endswith(b"\n") else content.decode() + "\n")
    import yaml  # noqa: PLC0415  a start writes none

    return f"{kept}{yaml.safe_dump(told, allow_unicode=False, sort_keys=False, default_style=None)}".encode()
