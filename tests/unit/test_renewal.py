"""Tokens of sign-ins: renewed once per expiry by whoever comes first, kept through failures, and given up only when the partner has said so."""

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as with_changes

from polyport.engine import renewal
from polyport.engine.calls import exchange
from polyport.engine.checks import found_working
from polyport.engine.connect import renew_due
from polyport.engine.connect import test_connection as prove_now
from polyport.engine.grants import authorise
from polyport.engine.record import Ask
from polyport.engine.render import compile_call
from polyport.engine.trace import CallFailed
from polyport.errors import ConnectionInvalid, NotFound, Overloaded, PartnerTimeout, PartnerUnavailable
from polyport.kinds.auth.base import Grant
from polyport.manifest.model import Call
from polyport.net.message import NetworkFault
from polyport.store.base import Stale, StoreUnavailable
from samples import json_reply
from signed_in import CREATE, Clock, Gate, Provider, oauth_partner, open_house

pytestmark = pytest.mark.anyio
ACTIVE, INVALID, EXPIRED = "active", "invalid", "expired"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(renewal, "POLL_SECONDS", 0.002)
    monkeypatch.setattr(renewal, "STORE_SECONDS", 0.002)


@pytest.fixture
def provider():
    return Provider(Clock())


@pytest.fixture
async def house(tmp_path, provider, anyio_backend):
    async with open_house(tmp_path, provider) as opened:
        yield opened


@pytest.fixture
async def other(tmp_path, provider, house, anyio_backend):
    """Another process over the same folder."""
    async with open_house(tmp_path, provider, beside=house) as opened:
        yield opened


def once(house, reply):
    """The partner's next answers to calls."""
    replies = [reply]
    house.provider.refuses = lambda _request: replies.pop() if replies else None


# In time, and when refused


async def test_a_kept_token_signs_calls_until_it_is_due(house, provider):
    assert await house.run() == "succeeded"
    house.clock.forward(3500)
    assert await house.run() == "succeeded"
    assert (provider.asked, len(provider.sent)) == ([], 2)


async def test_a_minute_before_its_end_it_is_renewed_and_neither_the_connection_nor_what_was_read_becomes_another(house, provider):
    epoch, before = await house.repo.tokens.epoch(), await house.record()
    house.clock.forward(3541)
    assert await house.run() == "succeeded"
    kept, after = await house.kept(), await house.record()
    assert [asked["grant_type"] for asked in provider.asked] == ["refresh_token"]
    assert (provider.asked[0]["client_id"], provider.asked[0]["client_secret"]) == ("id-1", "client-secret-canary")
    assert (kept.generation, kept.exchange_until, kept.failures) == (2, None, 0)
    assert kept.expires_at == house.engine.runtime.now_ms() + 3_600_000
    assert (after.generation, await house.repo.tokens.epoch()) == (before.generation, epoch)
    assert await house.repo.leases.get(f"grant/{house.connection}") is None


async def test_a_token_that_the_partner_calls_expired_is_renewed_and_the_call_made_once_more(house, provider):
    once(house, json_reply('{"error": "token_expired"}', 401))
    assert await house.run() == "succeeded"
    assert (len(provider.asked), len(provider.sent)) == (1, 2)


async def test_a_token_that_stays_refused_is_renewed_once_per_call(house, provider):
    provider.refuses = lambda _request: json_reply('{"error": "token_expired"}', 401)
    bench = await house.bench()
    with pytest.raises(CallFailed) as failed:
        await exchange(bench.caller, compile_call(Call.model_validate({"path": "/things"})), {}, bench.caller.partner.file.errors)
    assert (failed.value.kind, len(provider.asked), len(provider.sent)) == ("expired_token", 1, 2)


async def test_calls_at_the_same_time_share_one_exchange(house, provider):
    house.clock.forward(4000)
    assert await asyncio.gather(*(house.run() for _ in range(8))) == ["succeeded"] * 8
    assert len(provider.asked) == 1


async def test_what_is_granted_is_sealed_and_shown_nowhere(house, provider, tmp_path):
    house.clock.forward(3541)
    held, traces = await authorise((await house.bench()).caller)
    assert len(traces) == 1
    assert "canary" not in repr(held) + repr(await house.kept())
    assert all("canary" not in str(trace.as_dict()) for trace in traces)
    await house.engine.runtime.repo.database.ready()
    assert all(b"canary" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


async def test_what_an_answer_tells_replaces_what_was_told_before_and_the_rest_stays(tmp_path, provider):
    learn = {"site": {"at": "site"}, "plan": {"at": "plan"}}
    async with open_house(tmp_path, provider, oauth_partner(learn=learn)) as house:
        await house.connect(provider.sign_in(learned={"site": "eu", "plan": "pro"}))
        provider.learned = {"site": "us"}
        house.clock.forward(4000)
        held, _traces = await authorise((await house.bench()).caller)
        assert held.grant.learned == {"site": "us", "plan": "pro"}


async def test_a_connection_that_is_not_proved_yet_is_renewed_and_given_up_like_any(house, provider):
    record = await house.record()
    pending = replace(found_working(1, account=None), status=renewal.ConnectionStatus.PENDING, proved=False)
    await house.repo.connections.verified(record, pending, now=1)
    house.clock.forward(4000)
    assert (await house.run(), len(provider.asked)) == ("succeeded", 1)
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    house.clock.forward(4000)
    assert "connection_invalid" in await house.run()
    assert (await house.record()).status == INVALID


async def test_where_tokens_do_not_rotate_the_refresh_token_stays(tmp_path, provider):
    provider.rotates = False
    async with open_house(tmp_path, provider, oauth_partner(rotates=False)) as house:
        for _time in range(2):
            house.clock.forward(4000)
            assert await house.run() == "succeeded"
        assert provider.asked[0]["refresh_token"] == provider.asked[1]["refresh_token"]


async def test_the_partners_own_habits_of_refreshing_are_kept(tmp_path, provider):
    scheme = {"refreshUrl": "https://other.example.com/oauth/token", "refreshParams": {"audience": "api"}, "clientAuth": "basic"}
    async with open_house(tmp_path, provider, oauth_partner(**scheme)) as house:
        house.clock.forward(4000)
        assert await house.run() == "succeeded"
        assert provider.asked[0]["audience"] == "api"
        assert "client_secret" not in provider.asked[0]


# A token that is refused without a word


async def test_a_plain_401_renews_a_token_of_some_age_and_not_one_of_a_moment_ago(tmp_path, provider):
    async with open_house(tmp_path, provider, oauth_partner(expired=False)) as house:
        provider.refuses = lambda request: json_reply("{}", 401) if request.url.endswith("/things") else None
        assert "partner_error" in await house.run()  # the verify call has shown that the connection is valid
        assert provider.asked == []
        house.clock.forward(31)
        assert "partner_error" in await house.run()
        assert len(provider.asked) == 1


async def test_the_verify_call_renews_also_a_token_of_a_moment_ago(tmp_path, provider):
    async with open_house(tmp_path, provider, oauth_partner(expired=False)) as house:
        once(house, json_reply("{}", 401))
        record, error = await prove_now(house.desk, house.account, house.connection)
        assert (record.status, error, len(provider.asked)) == (ACTIVE, None, 1)


# Without a refresh token


async def test_a_token_that_cannot_be_renewed_is_used_to_its_end_and_then_the_connection_is_expired(house, provider):
    access = provider.sign_in().values["access_token"]
    await house.connect(Grant(values={"access_token": access}, expires_at=house.clock().timestamp() + 3600))
    house.clock.forward(3599)
    assert await house.run() == "succeeded"
    house.clock.forward(2)
    assert (await house.run()).startswith("connection_invalid: The partner's permission has run out")
    record = await house.record()
    assert (record.status, record.last_error) == (EXPIRED, renewal._EXPIRED)
    house.desk.forget()
    with pytest.raises(ConnectionInvalid) as invalid:
        await house.run()
    assert invalid.value.details.connection_id == house.connection
    assert provider.asked == []


async def test_one_that_the_partner_calls_expired_before_its_time_is_expired_too(house, provider):
    await house.connect(Grant(values={"access_token": "unknown"}))
    assert "connection_invalid" in await house.run()
    assert ((await house.record()).status, provider.asked) == (EXPIRED, [])


async def test_one_that_is_refused_without_a_word_makes_the_connection_invalid(tmp_path, provider):
    async with open_house(tmp_path, provider, oauth_partner(expired=False)) as house:
        await house.connect(Grant(values={"access_token": "unknown"}))
        assert "connection_invalid" in await house.run()
        assert ((await house.record()).status, provider.asked) == (INVALID, [])


# The partner has taken its permission back


async def test_a_refresh_token_that_serves_no_more_makes_the_connection_invalid_and_says_what_to_do(house, provider):
    provider.answers = [json_reply('{"error": "invalid_grant", "error_description": "Taken back."}', 400)]
    house.clock.forward(4000)
    assert (await house.run()).startswith("connection_invalid: The partner no longer renews this connection's token (Taken back.)")
    record, kept = await house.record(), await house.kept()
    assert (record.status, "connect again" in record.last_error, kept.exchange_until) == (INVALID, True, None)
    partner = await house.desk.runtime.catalog.seen_by(house.account).partner(record.partner_id)
    with pytest.raises(ConnectionInvalid):  # also a process that has not heard of it asks the partner no more
        await authorise((await house.desk._open(house.account, partner, house.connection)).caller)
    assert len(provider.asked) == 1


async def test_a_refusal_is_looked_at_twice_another_grant_that_is_there_by_then_is_used(house, provider):
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    record, now = await house.record(), house.engine.runtime.now_ms()
    anew = house.engine.runtime.connections.seal_grant(record, provider.sign_in(), now=now)
    await house.repo.connections.replace_secrets(record, anew, now=now)
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    gate.opened.set()
    assert await running == "succeeded"
    assert ((await house.record()).status, (await house.kept()).generation) == (ACTIVE, 2)


async def test_the_loser_of_a_race_never_ends_the_connection_of_the_winner(house, provider, monkeypatch):
    keeper = house.desk.renewals.keeper(await house.record())
    lost = await keeper._state(None)
    house.clock.forward(4000)
    assert await house.run() == "succeeded"
    await keeper._end(lost, renewal.ConnectionStatus.INVALID, "refused")
    assert (await house.record()).status == ACTIVE


async def test_a_test_asks_the_partner_again_for_a_connection_that_is_invalid(house, provider):
    refusal = json_reply('{"error": "invalid_grant", "error_description": "Taken back."}', 400)
    provider.answers = [refusal, refusal]
    house.clock.forward(4000)
    await house.run()
    record, error = await prove_now(house.desk, house.account, house.connection)
    assert (record.status, error.code, len(provider.asked)) == (INVALID, "connection_invalid", 2)
    record, error = await prove_now(house.desk, house.account, house.connection)
    assert (record.status, record.last_error, error) == (ACTIVE, None, None)


# What is no reason to give a connection up

NOT_NOW = {
    "unavailable": (json_reply('{"error": "server_error"}', 503), "partner_unavailable", True),
    "no answer": (NetworkFault("No answer came in time.", reached=True, timed_out=True), "partner_timeout", True),
    "no connection": (NetworkFault("No connection.", reached=False, timed_out=False), "partner_unavailable", False),
    "too many": (json_reply("{}", 429, Retry_After="7"), "partner_rate_limited", False),
    "another client": (json_reply('{"error": "invalid_client", "error_description": "Unknown client."}', 401), "partner_error", False),
    "no token": (json_reply('{"hello": 1}'), "partner_error", False),
}


@pytest.mark.parametrize(("answer", "code", "doubt"), NOT_NOW.values(), ids=NOT_NOW)
async def test_a_partner_that_gives_no_token_now_keeps_the_connection_and_is_left_alone_for_a_while(house, provider, answer, code, doubt):
    provider.answers = [answer]
    house.clock.forward(4000)
    with pytest.raises(CallFailed) as failed:
        await authorise((await house.bench()).caller)
    assert failed.value.failure.error.code == code
    kept = await house.kept()
    assert (kept.generation, kept.failures, kept.exchange_until is not None) == (1, 1, doubt)
    assert (await house.record()).status == ACTIVE
    with pytest.raises(PartnerUnavailable) as told:
        await authorise((await house.bench()).caller)
    assert (len(provider.asked), 0 < told.value.details.retry_after_ms <= 7_000) == (1, True)
    house.clock.forward(8)
    assert await house.run() == "succeeded"
    assert ((await house.kept()).failures, len(provider.asked)) == (0, 2)


async def test_while_the_token_lives_calls_go_on_with_it(house, provider):
    provider.answers = [json_reply("{}", 503)] * 2
    house.clock.forward(3550)
    assert await house.run() == "succeeded"
    assert await house.run() == "succeeded"
    assert len(provider.asked) == 1
    kept = await house.kept()
    assert kept.refresh_at == house.engine.runtime.now_ms() + renewal.DOUBT_MS
    house.clock.forward(48)
    assert await house.run() == "succeeded"
    assert (await house.kept()).refresh_at == kept.expires_at  # at its end it is asked for whatever happened before
    house.clock.forward(2)
    assert await house.run() == "succeeded"
    assert len(provider.asked) == 3


async def test_the_pause_grows_and_has_an_end(house, provider):
    provider.answers = [json_reply("{}", 503)] * 12
    house.clock.forward(4000)
    pauses = []
    for _time in range(12):
        with pytest.raises(CallFailed):
            await authorise((await house.bench()).caller)
        pauses.append((await house.kept()).refresh_at - house.engine.runtime.now_ms())
        house.clock.forward(pauses[-1] / 1000)
    assert pauses[:3] == [5_000, 10_000, 20_000]
    assert pauses[-1] == renewal.BACKOFF_MOST_MS


@pytest.mark.parametrize("fault", ["missing", "sealed", "incomplete"])
async def test_an_app_that_is_not_there_or_not_whole_is_no_fault_of_the_connection(house, provider, fault):
    house.app.missing = fault == "missing"
    house.app.fault = ConnectionInvalid("The OAuth app's secret cannot be opened.") if fault == "sealed" else None
    house.app.material = {} if fault == "incomplete" else house.app.material
    house.clock.forward(3550)
    assert await house.run() == "succeeded"
    house.clock.forward(50)
    assert "validation_failed" in await house.run()
    assert ((await house.record()).status, provider.asked) == (ACTIVE, [])
    assert (await house.kept()).exchange_until is None


# Several processes


async def test_two_processes_ask_once_and_the_second_finds_what_the_first_got(house, other, provider):
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = [asyncio.create_task(one.run()) for one in (house, other)]
    await gate.reached.wait()
    await asyncio.sleep(0.02)
    gate.opened.set()
    assert await asyncio.gather(*running) == ["succeeded"] * 2
    assert len(provider.asked) == 1


async def test_while_another_process_renews_calls_go_on_with_a_token_that_lives(house, other, provider):
    gate = provider.before = Gate()
    house.clock.forward(3550)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    assert await other.run() == "succeeded"
    gate.opened.set()
    assert await running == "succeeded"
    house.clock.forward(1)
    assert await other.run() == "succeeded"
    assert len(provider.asked) == 1
    assert provider.sent[0].header("authorization") != provider.sent[-1].header("authorization")


async def test_a_token_that_another_process_renewed_is_found_when_ones_own_is_refused(house, other, provider):
    await other.run()
    once(house, json_reply('{"error": "token_expired"}', 401))
    await house.run()
    once(house, json_reply('{"error": "token_expired"}', 401))
    assert await other.run() == "succeeded"
    assert len(provider.asked) == 1


async def test_a_holder_that_is_slower_than_its_lease_holds_it_longer(house, other, provider, monkeypatch):
    monkeypatch.setattr(renewal, "LEASE_MS", 30)
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    begun = await house.repo.leases.get(f"grant/{house.connection}")
    house.clock.forward(1)
    async with asyncio.timeout(60):
        while (held := await house.repo.leases.get(f"grant/{house.connection}")).until == begun.until:  # noqa: ASYNC110  nobody tells when a lease is extended
            await asyncio.sleep(0.005)
    waiting = asyncio.create_task(other.run())
    await asyncio.sleep(0.02)
    gate.opened.set()
    assert await asyncio.gather(running, waiting) == ["succeeded"] * 2
    assert (held.fence, len(provider.asked)) == (begun.fence, 1)


async def test_a_process_that_is_held_up_within_its_exchange_and_lives_is_waited_for(house, other, provider):
    gate = provider.after = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    house.clock.forward(120)  # its lease is over
    waiting = asyncio.create_task(other.run())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    gate.opened.set()
    assert await asyncio.gather(running, waiting) == ["succeeded"] * 2
    assert len(provider.asked) == 1


async def dies_within_its_exchange(folder, house, provider, *, carried_out):
    """Another process begins an exchange and is gone; what the partner made of it is ``carried_out`` or not."""
    async with open_house(folder, provider, beside=house) as dying:
        gate = Gate()
        provider.before, provider.after = (None, gate) if carried_out else (gate, None)
        running = asyncio.create_task(dying.run())
        await gate.reached.wait()
        kept, lease = await house.kept(), await house.repo.leases.get(f"grant/{house.connection}")
        for task in (running, dying.desk._grants[(house.account, house.connection, 1)].task):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    provider.before = provider.after = None
    await house.repo.leases.claim(lease.name, lease.owner, over=None, until=lease.until)  # a killed process gives nothing back
    assert kept.exchange_until == house.engine.runtime.now_ms() + 31_000


async def test_an_exchange_of_a_process_that_died_is_waited_out_before_the_partner_is_asked_again(tmp_path, house, provider):
    house.clock.forward(4000)
    await dies_within_its_exchange(tmp_path, house, provider, carried_out=False)
    waiting = asyncio.create_task(house.run())
    await asyncio.sleep(0.02)
    assert (waiting.done(), len(provider.asked)) == (False, 1)
    house.clock.forward(31)
    assert await waiting == "succeeded"
    assert len(provider.asked) == 2


async def test_while_that_time_runs_calls_go_on_with_a_token_that_lives(tmp_path, house, provider):
    house.clock.forward(3550)
    await dies_within_its_exchange(tmp_path, house, provider, carried_out=False)
    assert await house.run() == "succeeded"
    assert len(provider.asked) == 1


async def test_a_renewal_that_was_interrupted_after_the_partner_had_carried_it_out_is_called_that(tmp_path, house, provider):
    house.clock.forward(4000)
    await dies_within_its_exchange(tmp_path, house, provider, carried_out=True)
    house.clock.forward(31)
    assert "was interrupted before the partner's answer could be kept" in await house.run()
    record = await house.record()
    assert (record.status, "(It was used or taken back.): the customer has to connect again" in record.last_error) == (INVALID, True)


async def test_so_is_one_whose_answer_did_not_arrive(house, provider):
    provider.loses = NetworkFault("The connection was cut.", reached=True, timed_out=False)
    house.clock.forward(4000)
    with pytest.raises(CallFailed):
        await authorise((await house.bench()).caller)
    house.clock.forward(6)
    assert "was interrupted" in await house.run()


async def test_a_doubt_is_remembered_over_refusals_of_another_kind(house, provider):
    provider.loses = NetworkFault("The connection was cut.", reached=True, timed_out=False)
    house.clock.forward(4000)
    for answers in ([], [json_reply("{}", 429)]):
        provider.answers = answers
        with pytest.raises(CallFailed):
            await authorise((await house.bench()).caller)
        house.clock.forward(11)
    assert "was interrupted" in await house.run()


async def test_who_was_overtaken_throws_its_grant_away_and_takes_the_one_that_is_there(house, provider):
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    record, now = await house.record(), house.engine.runtime.now_ms()
    anew = house.engine.runtime.connections.seal_grant(record, provider.sign_in(), now=now)
    await house.repo.connections.replace_secrets(record, anew, now=now)
    gate.opened.set()
    assert await running == "succeeded"
    kept = await house.kept()
    assert (kept.generation, kept.sealed) == (2, anew.sealed)


async def test_a_failure_of_who_was_overtaken_counts_for_nothing(house, provider):
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    record, now = await house.record(), house.engine.runtime.now_ms()
    await house.repo.connections.replace_secrets(
        record, house.engine.runtime.connections.seal_grant(record, provider.sign_in(), now=now), now=now
    )
    provider.answers = [json_reply("{}", 503)]
    gate.opened.set()
    assert await running == "succeeded"
    assert (await house.kept()).failures == 0


async def test_of_two_that_claim_at_the_same_moment_one_looks_again(house, provider, monkeypatch):
    leases, real = type(house.repo.leases), type(house.repo.leases).claim
    tries = []

    async def claim(self, name, owner, *, over, until):
        tries.append(name)
        if len(tries) == 1:
            raise Stale("another was first")
        return await real(self, name, owner, over=over, until=until)

    monkeypatch.setattr(leases, "claim", claim)
    house.clock.forward(4000)
    assert await house.run() == "succeeded"
    assert (len(tries), len(provider.asked)) == (2, 1)


@pytest.mark.parametrize("renewed", [True, False])
async def test_under_the_lease_the_grant_is_looked_at_again(house, provider, monkeypatch, renewed):
    """Between the first look and the lease another process has renewed it, or begun to (and was held up before it said so)."""
    leases, real, calls = type(house.repo.leases), type(house.repo.leases).claim, []

    async def claim(self, name, owner, *, over, until):
        if not calls:
            calls.append(name)
            stored, record = await house.kept(), await house.record()
            if renewed:
                anew = house.engine.runtime.connections.seal_grant(record, provider.sign_in(), now=house.engine.runtime.now_ms())
                await house.repo.connections.replace_secrets(record, anew, now=1)
            else:
                lease = await real(self, "other", owner, over=None, until=until)
                await house.repo.grants.begin_exchange(stored, fence=lease.fence + 2, until=house.engine.runtime.now_ms(), owner="dead")
        return await real(self, name, owner, over=over, until=until)

    monkeypatch.setattr(leases, "claim", claim)
    house.clock.forward(4000)
    assert await house.run() == "succeeded"
    assert len(provider.asked) == (0 if renewed else 1)


@pytest.mark.parametrize("moment", ["before it looks again", "after it has looked again"])
async def test_a_holder_that_begins_after_its_lease_is_over_is_not_joined_by_the_next_one(house, other, provider, monkeypatch, moment):
    """Its process was held up between the lease and the exchange for longer than the lease."""
    grants, leases = type(house.repo.grants), type(house.repo.leases)
    begin, claim = grants.begin_exchange, leases.claim
    late, begun, owners = Gate(), asyncio.Event(), []

    async def slow_begin(self, grant, **told):
        owners.append(told["owner"])
        if len(owners) == 1:
            await late()
            await begin(self, grant, **told)
            begun.set()
            return
        if not begun.is_set():
            late.opened.set()
            await begun.wait()
        await begin(self, grant, **told)

    async def slow_claim(self, name, owner, **told):
        lease = await claim(self, name, owner, **told)
        if moment == "before it looks again" and owner == other.engine.runtime.owner and not begun.is_set():
            late.opened.set()
            await begun.wait()
        return lease

    monkeypatch.setattr(grants, "begin_exchange", slow_begin)
    monkeypatch.setattr(leases, "claim", slow_claim)
    answering = provider.after = Gate()
    house.clock.forward(4000)
    first = asyncio.create_task(house.run())
    await late.reached.wait()
    house.clock.forward(6)
    second = asyncio.create_task(other.run())
    await answering.reached.wait()
    house.clock.forward(60)  # the next one has given the lease back, and what was begun should be over: but who began it lives
    await asyncio.sleep(0.03)
    assert not second.done()
    answering.opened.set()
    assert await asyncio.gather(first, second) == ["succeeded"] * 2
    assert len(provider.asked) == 1
    assert len(owners) == (1 if moment == "before it looks again" else 2)


async def test_a_lease_that_is_never_given_back_is_waited_for_a_while_and_no_longer(house, other, monkeypatch):
    monkeypatch.setattr(renewal, "WAIT_SECONDS", 0.01)
    await other.repo.leases.claim(f"grant/{house.connection}", other.engine.runtime.owner, over=None, until=1 << 50)
    house.clock.forward(4000)
    with pytest.raises(PartnerTimeout):
        await authorise((await house.bench()).caller)


async def test_a_lease_that_this_process_no_longer_works_under_is_taken_over(house, provider):
    await house.repo.leases.claim(f"grant/{house.connection}", house.engine.runtime.owner, over=None, until=1 << 50)
    house.clock.forward(4000)
    assert await house.run() == "succeeded"


async def test_extending_a_lease_survives_a_store_that_is_gone_and_ends_with_a_lease_that_is_lost(house, monkeypatch):
    monkeypatch.setattr(renewal, "LEASE_MS", 3)
    tries = []

    async def extend(_self, lease, until):
        tries.append(until)
        raise StoreUnavailable("gone") if len(tries) == 1 else Stale("lost")

    monkeypatch.setattr(type(house.repo.leases), "extend", extend)
    lease = await house.repo.leases.claim("grant/0", "p", over=None, until=1)
    async with asyncio.timeout(60):
        await house.desk.renewals._extend(lease)
    assert len(tries) == 2


# The store


async def test_a_new_grant_is_kept_however_long_the_store_cannot(house, provider, monkeypatch):
    grants, real, tries = type(house.repo.grants), type(house.repo.grants).replace, []

    async def put(self, grant):
        tries.append(grant)
        if len(tries) < 3:
            raise StoreUnavailable("full")
        await real(self, grant)

    monkeypatch.setattr(grants, "replace", put)
    house.clock.forward(4000)
    assert await house.run() == "succeeded"
    assert (len(tries), len(provider.asked), (await house.kept()).generation) == (3, 1, 2)


async def test_without_a_store_nothing_is_asked(house, provider, monkeypatch):
    async def gone(_self, _connection_id):
        raise StoreUnavailable("gone")

    bench = await house.bench()
    monkeypatch.setattr(type(house.repo.grants), "get", gone)
    with pytest.raises(Overloaded):
        await authorise(bench.caller)
    assert provider.asked == []


async def test_a_connection_that_is_gone_or_has_no_grant_or_one_that_does_not_open_is_said(house):
    bench, record = await house.bench(), await house.record()
    await spoil(house)
    with pytest.raises(ConnectionInvalid, match="cannot be opened"):
        await authorise(bench.caller)
    await house.repo.connections.replace_secrets(record, now=2)
    with pytest.raises(ConnectionInvalid, match="Nothing is kept"):
        await authorise(bench.caller)
    await house.repo.connections.delete(house.account, house.connection)
    with pytest.raises(NotFound):
        await authorise(bench.caller)


async def spoil(house):
    kept = await house.kept()
    await house.repo.grants.begin_exchange(kept, fence=9, until=1, owner="p")
    await house.repo.grants.replace(replace(kept, fence=9, sealed=b"not ciphertext at all, but long enough for it"))


async def test_only_a_scheme_renews_a_grant(house):
    keeper, bench = house.desk.renewals.keeper(await house.record()), await house.bench()
    with pytest.raises(TypeError):
        await keeper._ask(with_changes(bench.caller, scheme=None), await keeper._state(None), [])


# In the background


async def test_tokens_of_connections_in_use_are_renewed_before_anybody_waits_for_them(house, provider):
    first = house.connection
    second = await house.connect()
    house.clock.forward(3550)
    await renew_due(house.desk)
    assert [(await house.repo.grants.get(number)).generation for number in (first, second)] == [2, 2]
    await renew_due(house.desk)
    assert len(provider.asked) == 2


async def test_one_that_fails_keeps_the_others_from_nothing(house, provider):
    second = await house.connect()
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    house.clock.forward(3550)
    await renew_due(house.desk)
    assert (len(provider.asked), sorted([(await house.kept()).generation, (await house.repo.grants.get(second - 1)).generation])) == (
        2,
        [1, 2],
    )


async def test_a_connection_that_nobody_uses_is_left_alone(house, provider):
    house.clock.forward(3601)
    await renew_due(house.desk)
    assert provider.asked == []


async def test_a_stop_waits_for_the_answer_of_an_exchange(house, provider):
    await house.engine.drain(1)
    gate = provider.after = Gate()
    house.clock.forward(3550)
    renewing = asyncio.create_task(renew_due(house.desk))
    await gate.reached.wait()
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    stopping = asyncio.create_task(house.engine.drain(5))
    await asyncio.sleep(0)
    gate.opened.set()
    await stopping
    assert (await house.kept()).generation == 2


# Requests that are only shown


async def test_a_dry_run_asks_nobody_and_shows_no_token(house, provider):
    bench = await house.bench()
    shown = await house.engine.dry_run(
        Ask(account_id=house.account, operation_id=CREATE, mode="sync", runner_data={"name": "x"}, credential_data={"0": house.connection})
    )
    assert ["Authorization", "[secret]"] in [list(pair) for pair in shown[0]["headers"]] or "[secret]" in str(shown[0]["headers"])
    assert (provider.asked, provider.sent, bench.caller.granted) == ([], [], True)


@pytest.mark.parametrize("renewable", [True, False])
async def test_a_grant_that_comes_between_the_second_look_and_the_verdict_saves_the_connection(house, provider, monkeypatch, renewable):
    if not renewable:
        await house.connect(Grant(values={"access_token": "short"}, expires_at=house.clock().timestamp() + 60))
    grants = type(house.repo.grants)
    real = grants.end_connection

    async def end(self, connection, grant, status, **more):
        kept, now = await house.kept(), house.engine.runtime.now_ms()
        anew = house.engine.runtime.connections.seal_grant(connection, provider.sign_in(), now=now)
        await house.repo.grants.replace(replace(anew, generation=kept.generation, fence=kept.fence))
        await real(self, connection, grant, status, **more)

    monkeypatch.setattr(grants, "end_connection", end)
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    house.clock.forward(4000)
    assert await house.run() == "succeeded"
    assert ((await house.record()).status, (await house.kept()).generation) == (ACTIVE, 2)


async def test_who_waits_for_a_refusal_is_told_of_it_and_of_nothing_else(house, other, provider, monkeypatch):
    """Nothing of a refusal may be seen before all of it: a token that was refused long before its end has its renewal far ahead."""
    writes, real = [], type(house.repo.database).write

    async def write(self, *statements):
        writes.append({statement.query for statement in statements} & {"delay_grant", "end_exchange", "end_connection"})
        return await real(self, *statements)

    gate = provider.before = Gate()
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    provider.refuses = lambda _request: json_reply('{"error": "token_expired"}', 401)
    running = [asyncio.create_task(one.run()) for one in (house, other)]
    await gate.reached.wait()
    await asyncio.sleep(0.02)
    monkeypatch.setattr(type(house.repo.database), "write", write)
    gate.opened.set()
    told = await asyncio.gather(*running, return_exceptions=True)
    assert ["connection_invalid" in str(one) or isinstance(one, ConnectionInvalid) for one in told] == [True, True]
    assert [one for one in writes if one] == [{"end_exchange", "end_connection"}]
    assert len(provider.asked) == 1


async def test_a_connection_that_somebody_else_has_ended_by_then_stays_so(house, provider):
    record = await house.record()
    gate = provider.before = Gate()
    house.clock.forward(4000)
    running = asyncio.create_task(house.run())
    await gate.reached.wait()
    await house.repo.grants.end_connection(record, await house.kept(), renewal.ConnectionStatus.EXPIRED, last_error="said before", now=1)
    provider.answers = [json_reply('{"error": "invalid_grant"}', 400)]
    gate.opened.set()
    assert await running == "connection_invalid: said before"
    assert (await house.record()).status == EXPIRED
