"""Sign-ins at a partner that does what a test says: what goes wrong where a real server never does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from engines import new_account
from polyport.apps import NewApp
from polyport.catalog import Catalog
from polyport.engine import sign_in as sign_ins
from polyport.engine.desk import Desk
from polyport.engine.links import NewLink, create_link
from polyport.engine.sign_in import Back, Landing, SignInLost, Visitor, begin_sign_in, finish_sign_in
from polyport.errors import Conflict, LinkExpired, PartnerUnavailable, ValidationFailed
from polyport.net.message import Reply, Request
from polyport.passwords import digest
from polyport.runtime import open_runtime
from polyport.settings import load_settings
from polyport.vault import Tampered
from samples import field as input_field
from samples import json_reply, partner

pytestmark = pytest.mark.anyio

SESSION = "s" * 43
WHERE = {"authorizeUrl": "https://login.example.com/authorize", "tokenUrl": "https://login.example.com/token"}


def made(**scheme: Any) -> Any:
    told = {"kind": "oauth2", **WHERE, **scheme}
    return partner(
        connection={
            "fields": [input_field("site", pattern="[a-z]+")],
            "auth": [{"name": "login", "label": "Log in", "scheme": told}],
            "verify": {"call": {"path": "/me"}, "account": "{{answer.name}}"},
        }
    )


@dataclass
class House:
    """An engine with a link for a customer; the partner answers what ``answer`` says."""

    desk: Desk
    account: int
    served: Any
    link: Any = None
    token: str = ""
    answer: Callable[[Request], Reply] = lambda _request: json_reply('{"access_token": "token-canary-1", "name": "Ada"}')
    sent: list[Request] = field(default_factory=list)

    async def send(self, request: Request) -> Reply:
        self.sent.append(request)
        return self.answer(request)

    @property
    def runtime(self) -> Any:
        return self.desk.runtime

    @property
    def choice(self) -> Any:
        return self.served.file.connection.auth[0]

    async def begin(self, *chosen: str, **fields: str) -> Back:
        """Go to the partner; what comes back from there."""
        visitor = Visitor(token=self.token, session=SESSION, language="en")
        url = await begin_sign_in(self.desk, self.link, self.choice, fields, chosen, visitor)
        state = dict(parse_qsl(urlsplit(url).query))["state"]
        return Back(state=state, code="code-canary-1", error=None, description=None, issuer=None)

    async def finish(self, back: Back) -> Landing:
        return await finish_sign_in(self.desk, back, SESSION)

    async def status(self) -> tuple[int, str | None]:
        found = await self.runtime.repo.links.get(self.account, self.link.link_id, self.runtime.now_ms())
        return int(found.status), found.last_error

    async def new_link(self, **more: Any) -> None:
        new = NewLink(account_id=self.account, partner_id=9, title="Mine", **more)
        self.link, self.token = await create_link(self.runtime, new)


async def open_house(folder: Path, served: Any) -> AsyncIterator[House]:
    house = House(desk=None, account=0, served=served)  # type: ignore[arg-type]  # it is made in the next lines
    catalog = Catalog([served], [], "http://127.0.0.1")
    async with open_runtime(load_settings({}, data=folder), catalog=catalog, network=house) as runtime:
        house.desk = Desk(runtime)
        house.account = await new_account(runtime.repo, runtime.vault, "a@b.example")
        await runtime.apps.put(house.account, served, NewApp(partner_id=9, client_id="id-1", client_secret="client-secret-canary"), 1)
        await house.new_link()
        yield house


@pytest.fixture
async def house(tmp_path: Path, anyio_backend: str) -> AsyncIterator[House]:
    async for opened in open_house(tmp_path, made()):
        yield opened


async def test_a_sign_in_without_optional_scopes_leads_to_a_connection_with_its_tokens(house: House):
    landing = await house.finish(await house.begin(site="acme"))
    assert (landing.problem, landing.token, landing.link_id) == (None, house.token, house.link.link_id)
    link = await house.runtime.repo.links.get(house.account, house.link.link_id, house.runtime.now_ms())
    record = await house.runtime.repo.connections.get(house.account, link.connection_id)
    assert (json.loads(record.shown), record.account_label) == ({"site": "acme"}, "Ada")
    stored = await house.runtime.repo.grants.get(record.connection_id)
    assert house.runtime.connections.open_grant(record, stored).values == {"access_token": "token-canary-1"}
    assert (stored.expires_at, stored.refresh_at) == (None, None), "good until it is refused"


async def test_nothing_that_is_secret_is_in_a_repr(house: House):
    back = await house.begin()
    shown = repr(back) + repr(await house.finish(back)) + repr(Visitor(token=house.token, session=SESSION, language="en"))
    assert [each for each in (house.token, SESSION, back.state, "code-canary-1") if each in shown] == []


async def test_without_an_app_nobody_is_sent_away(house: House):
    await house.runtime.apps.delete(house.account, 9)
    with pytest.raises(Conflict, match="not set up"):
        await house.begin()


async def test_an_app_that_cannot_be_opened_counts_as_none(house: House, monkeypatch: pytest.MonkeyPatch):
    class Locked:
        def box(self, *_given: object) -> Any:
            raise Tampered("told to fail")

    monkeypatch.setattr(house.runtime.apps, "_vault", Locked())
    with pytest.raises(Conflict, match="not set up"):
        await house.begin()


async def test_fields_that_make_no_address_are_told_before_anybody_goes_there(tmp_path: Path):
    where = {"authorizeUrl": "https://{{connection.site}}.example.com/a", "tokenUrl": "https://{{connection.site}}.example.com/t"}
    async for house in open_house(tmp_path, made(**where)):
        with pytest.raises(ValidationFailed) as caught:
            await house.begin()
        assert [fault.path for fault in caught.value.details.fields] == ["fields"]
        assert house.sent == []


async def test_an_exchange_that_cannot_be_put_together_is_told_on_the_page(tmp_path: Path):
    async for house in open_house(tmp_path, made(tokenParams={"shop": "{{connection.site}}"})):
        landing = await house.finish(await house.begin())
        assert landing.problem == "sign_in_refused"
        assert await house.status() == (3, "The connection lacks a field that its authorisation needs.")


async def test_a_sign_in_that_cannot_be_opened_any_more_is_lost(house: House, monkeypatch: pytest.MonkeyPatch):
    back = await house.begin()

    class Locked:
        def open(self, *_given: object) -> bytes:
            raise Tampered("told to fail")

    async def box(_account: int) -> Any:
        return Locked()

    monkeypatch.setattr(house.desk, "box", box)
    with pytest.raises(SignInLost):
        await house.finish(back)


async def renewing(house: House) -> int:
    """A connection, and a link that renews it."""
    await house.finish(await house.begin())
    link = await house.runtime.repo.links.get(house.account, house.link.link_id, house.runtime.now_ms())
    await house.new_link(renews=link.connection_id)
    return int(link.connection_id)


async def test_a_connection_that_is_gone_when_the_customer_comes_back_is_not_renewed(house: House):
    connection = await renewing(house)
    back = await house.begin()
    await house.runtime.repo.connections.delete(house.account, connection)
    assert (await house.finish(back)).problem is None, "the page of the link says what became of it"


async def test_a_connection_that_changes_during_the_exchange_is_left_as_it_is(house: House, monkeypatch: pytest.MonkeyPatch):
    connection = await renewing(house)
    back = await house.begin()
    record = await house.runtime.repo.connections.get(house.account, connection)
    use = house.runtime.repo.links.use

    async def late(*given: Any, **more: Any) -> None:
        await house.runtime.repo.connections.replace_secrets(record, now=5)
        await use(*given, **more)

    monkeypatch.setattr("polyport.store.links.Links.use", lambda _self, *given, **more: late(*given, **more))
    landing = await house.finish(back)
    assert landing.problem == "conflict"
    assert (await house.status())[0] == 0


async def test_a_link_that_ends_during_the_exchange_connects_nothing(house: House, monkeypatch: pytest.MonkeyPatch):
    back = await house.begin()

    async def ended(*_given: object) -> Any:
        raise LinkExpired

    monkeypatch.setattr(sign_ins, "use_link", ended)
    assert (await house.finish(back)).problem is None


async def test_an_attempt_of_another_browser_is_lost_whatever_its_state(house: House):
    back = await house.begin()
    for session in ("", "t" * 43):
        with pytest.raises(SignInLost):
            await finish_sign_in(house.desk, back, session)
    with pytest.raises(SignInLost):
        await house.finish(replace(back, state="x" * 43))
    assert (await house.runtime.repo.sign_ins.find(digest(back.state))).used_at is None


async def test_a_partner_that_does_not_say_where_to_sign_in_is_noted_on_the_link(tmp_path: Path):
    spoken = partner(
        connection={
            "auth": [{"name": "login", "label": "Log in", "scheme": {"kind": "oauth2", "issuer": "https://login.example.com"}}],
            "verify": {"call": {"path": "/me"}},
        }
    )
    async for house in open_house(tmp_path, spoken):
        house.answer = lambda _request: json_reply(status=500)
        with pytest.raises(PartnerUnavailable):
            await house.begin()
        status, told = await house.status()
        assert (status, str(told).startswith("Example cannot be used to sign in now: it answered with status 500")) == (3, True)
