"""Which partners an account is limited to, over HTTP."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from polyport.errors import Fault, NotFound, ValidationFailed
from polyport.server.routing import Answer, Body, Call, Endpoint
from polyport.store.base import Stale

PARTNERS_MOST: Final = 5_000


class AllowedBody(Body):
    """The partners that the account is to see, by their ids."""

    partner_ids: list[int] = Field(max_length=PARTNERS_MOST, examples=[[10055, 225]])


class AllowedAnswer(Body):
    """What limits the account: its own list and that of the operator of this installation, ``null`` where there is none. What is in both is seen."""

    partner_ids: list[int] | None
    operator_partner_ids: list[int] | None
    updated_at: int | None


async def read(call: Call) -> Answer:
    """GET /account/partners."""
    lists = await call.engine.runtime.repo.allow_lists.of(call.principal.account_id)
    own, operators = lists.get("account"), lists.get("operator")
    return Answer(
        data={
            "partnerIds": sorted(own.partners) if own is not None else None,
            "operatorPartnerIds": sorted(operators.partners) if operators is not None else None,
            "updatedAt": own.updated_at // 1000 if own is not None else None,
        }
    )


async def put(call: Call) -> Answer:
    """PUT /account/partners."""
    wanted, account_id, runtime = call.body(AllowedBody).partner_ids, call.principal.account_id, call.engine.runtime
    operators = (await runtime.repo.allow_lists.of(account_id)).get("operator")
    known = set(await runtime.catalog.all_ids(account_id))
    if operators is not None:
        known &= operators.partners
    faults = [
        Fault(path=f"partnerIds[{index}]", code="not_found", message="There is no partner with this id.")
        for index, each in enumerate(wanted)
        if each not in known
    ]
    if faults:
        raise ValidationFailed.of(*faults)
    await runtime.repo.allow_lists.put(account_id, "account", set(wanted), runtime.now_ms())
    runtime.catalog.forget()
    return await read(call)


async def delete(call: Call) -> Answer:
    """DELETE /account/partners."""
    try:
        await call.engine.runtime.repo.allow_lists.delete(call.principal.account_id, "account")
    except Stale:
        raise NotFound("The account has no list of partners.") from None
    call.engine.runtime.catalog.forget()
    return Answer()


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/account/partners", handler=read, tag="Account", scope="admin", answer=AllowedAnswer,
        summary="Read which partners the account is limited to",
    ),
    Endpoint(
        method="PUT", path="/account/partners", handler=put, tag="Account", scope="admin", body=AllowedBody, answer=AllowedAnswer,
        summary="Limit the account to some partners",
        description="All others answer 404 from then on, in lists, schemas, runs, links and new connections. Connections that are there stay, unused, until their partner is "
        "allowed again or they are deleted. Runs that still wait end `failed` with `not_found`; nothing is sent. Polyport's own tools (partner 1) are always seen.",
    ),
    Endpoint(
        method="DELETE", path="/account/partners", handler=delete, tag="Account", scope="admin", errors=("not_found",),
        summary="Limit the account no more; what the operator limits stays limited",
    ),
)  # fmt: skip
