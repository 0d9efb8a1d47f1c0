"""What an account sets for itself."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from pydantic import ConfigDict, field_validator
from pydantic_core import PydanticCustomError

from polyport.accounts import OwnSettings, change_own, read_own
from polyport.server.routing import Answer, Call, Endpoint, read_model
from polyport.store.records import Account


class AccountBody(OwnSettings):
    """What changes; what is left out stays. ``branding`` is replaced as a whole."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("allowed_redirect_hosts")
    @classmethod
    def _each_once(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        twice = [host for host, count in Counter(hosts).items() if count > 1]
        if twice:
            raise PydanticCustomError("not_unique", "{told} stands here twice", {"told": twice[0]})
        return hosts


class AccountAnswer(OwnSettings):
    """An account with what it has set. Times are unix seconds."""

    account_id: int
    title: str
    created_at: int


async def read(call: Call) -> Answer:
    """GET /account."""
    return Answer(data=_item(await _account(call), await read_own(call.engine.runtime.repo, call.principal.account_id)))


async def patch(call: Call) -> Answer:
    """PATCH /account."""
    sent = call.json()
    body = read_model(AccountBody, sent)
    runtime = call.engine.runtime
    change = body.model_dump(by_alias=True, mode="json", exclude_unset=True)
    settings = await change_own(runtime.repo, call.principal.account_id, change, runtime.now_ms())
    return Answer(data=_item(await _account(call), settings))


async def _account(call: Call) -> Account | None:
    return await call.engine.runtime.repo.accounts.get(call.principal.account_id)


def _item(account: Account | None, settings: OwnSettings) -> dict[str, Any]:
    known = (
        {"accountId": account.account_id, "title": account.title, "createdAt": account.created_at // 1000} if account is not None else {}
    )
    return known | settings.model_dump(by_alias=True, mode="json")


ENDPOINTS: Final = (
    Endpoint(method="GET", path="/account", handler=read, tag="Account", summary="Read the account", scope="admin", answer=AccountAnswer),
    Endpoint(
        method="PATCH", path="/account", handler=patch, tag="Account", summary="Change what the account has set", scope="admin",
        body=AccountBody, answer=AccountAnswer, errors=("conflict",),
        description="`allowedRedirectHosts`: where links may lead back to. `branding`: name, colour and logo of the connect page.",
    ),
)  # fmt: skip
