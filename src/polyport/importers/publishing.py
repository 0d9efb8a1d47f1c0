"""What becomes of an account's own partner once it is imported: which version serves, what its users are told, when it may go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from polyport.errors import Conflict, NotFound
from polyport.importers.documents import one_line
from polyport.importers.drift import Change, compare_reports
from polyport.importers.working import dropped_with, open_report
from polyport.runtime import Runtime
from polyport.store.base import Stale
from polyport.store.private_partners import PartnerState, PartnerVersion, PrivatePartner, Uses

BREAKS_SHOWN: Final = 20
_CHANGED: Final = "Somebody else changed this partner at the same time: read it and try again."


async def own_partner(runtime: Runtime, account_id: int, partner_id: int) -> PrivatePartner:
    """A partner of the account's own. Raises ``NotFound``."""
    found = await runtime.repo.private_partners.get(account_id, partner_id)
    if found is None or found.state is PartnerState.REMOVED:
        raise NotFound("There is no partner with this id.")
    return found


async def own_version(runtime: Runtime, partner: PrivatePartner, number: int) -> PartnerVersion:
    """A version of it. Raises ``NotFound``."""
    found = await runtime.repo.private_partners.version(partner.account_id, partner.partner_id, number)
    if found is None:
        raise NotFound("This partner has no version with this number.")
    return found


async def read_report(runtime: Runtime, version: PartnerVersion) -> dict[str, Any]:
    """What the importer said of a version: ``report``, and ``changes`` ``against`` the version that served then. Raises ``NotFound``."""
    sealed = await runtime.repo.private_partners.report(version)
    if sealed is None:
        raise NotFound("This partner has no version with this number.")
    box = await runtime.boxes.of(version.account_id)
    return await asyncio.to_thread(open_report, box, version, sealed)


async def changes_to(runtime: Runtime, partner: PrivatePartner, version: PartnerVersion) -> Sequence[Change]:
    """What differs for those who use a partner when this version serves in place of the one that does."""
    return (await _compared(runtime, partner, version))[0]


async def _compared(runtime: Runtime, partner: PrivatePartner, version: PartnerVersion) -> tuple[Sequence[Change], str | None]:
    """That, and which operations the partner has no more then."""
    if partner.live is None or partner.live == version.number:
        return (), partner.dropped
    serving = await own_version(runtime, partner, partner.live)
    before, after = await read_report(runtime, serving), await read_report(runtime, version)
    changes = await asyncio.to_thread(compare_reports, before["report"], after["report"])
    return changes, dropped_with(partner, before["report"], after["report"])


async def publish(runtime: Runtime, partner: PrivatePartner, number: int, *, by: str, accept_breaking: bool) -> Sequence[Change]:
    """Let a version serve, a newer one or an older one; what differs. Raises ``NotFound``, or ``Conflict`` where it breaks its users and that was not accepted."""
    version = await own_version(runtime, partner, number)
    changes, dropped = await _compared(runtime, partner, version)
    breaks = [change for change in changes if change.kind == "breaks"]
    if breaks and not accept_breaking:
        told = "; ".join(f"{change.operation}: {change.what}" for change in breaks[:BREAKS_SHOWN])
        raise Conflict(
            f'Version {number} breaks those who use version {partner.live} ({len(breaks)} times): {told}. Say accept: "breaking" to publish it.'
        )
    if partner.live == number:
        return ()
    now = runtime.now_ms()
    state = PartnerState.LIVE if partner.state is PartnerState.DRAFT else partner.state
    after = replace(partner, live=number, state=state, title=version.title, dropped=dropped, updated_at=now)
    await _update(runtime, after, replace(version, published_by=by, published_at=now))
    return changes


async def deprecate(runtime: Runtime, partner: PrivatePartner, message: str, on: date | None) -> None:
    """Tell users of a partner that it goes, and when. Raises ``Conflict`` for one that does not serve."""
    if partner.live is None:
        raise Conflict("This partner has no version that serves: nobody uses it.")
    told = json.dumps({"message": one_line(message, 1_000), "on": on.isoformat() if on is not None else None})
    await _update(runtime, replace(partner, state=PartnerState.DEPRECATED, deprecation=told, updated_at=runtime.now_ms()))


async def undeprecate(runtime: Runtime, partner: PrivatePartner) -> None:
    """Take that back."""
    if partner.state is PartnerState.DEPRECATED:
        await _update(runtime, replace(partner, state=PartnerState.LIVE, deprecation=None, updated_at=runtime.now_ms()))


async def remove(runtime: Runtime, partner: PrivatePartner) -> None:
    """Remove a partner with all versions. Raises ``Conflict`` that says what uses it."""
    partners, now = runtime.repo.private_partners, runtime.now_ms()
    try:
        await partners.remove(partner, now)
    except Stale:
        uses = await partners.uses(partner, now)
        raise Conflict(_in_use(partner, uses) if any((uses.connections, uses.links, uses.runs)) else _CHANGED) from None
    await runtime.catalog.refresh()


def _in_use(partner: PrivatePartner, uses: Uses) -> str:
    told = (
        (uses.connections, "connection", "connections"),
        (uses.links, "open link", "open links"),
        (uses.runs, "run that has not ended", "runs that have not ended"),
    )
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in told if count]
    return f"{partner.title} is in use: {', '.join(parts)}. Delete these, or deprecate the partner and wait."


async def _update(runtime: Runtime, partner: PrivatePartner, published: PartnerVersion | None = None) -> None:
    try:
        await runtime.repo.private_partners.update(partner, published=published)
    except Stale:
        raise Conflict(_CHANGED) from None
    await runtime.catalog.refresh()
