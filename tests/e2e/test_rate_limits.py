"""Requests of an account, counted by all processes together."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from e2e.served import Clock, running_server
from polyport.errors import RateLimited
from polyport.server.rates import RateLimits
from polyport.store.base import StoreUnavailable

pytestmark = pytest.mark.anyio


async def test_an_account_that_asks_too_often_is_told_when_to_come_back(tmp_path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock, http_rate_limit=40, http_rate_window=60) as served:
        status, headers, _told = await served.call("GET", "/partners/info")
        assert status == 200
        assert headers["ratelimit"].startswith('"requests";r=39;t=')
        assert headers["ratelimit-policy"] == '"requests";q=40;w=60'
        other = await served.second_account()
        statuses = Counter([(await served.call("GET", "/partners/info"))[0] for _call in range(60)])
        assert statuses == {200: 39, 429: 21}
        status, headers, told = await served.call("GET", "/partners/info")
        assert (status, told["error"]["code"], told["error"]["retryable"]) == (429, "rate_limited", True)
        assert headers["ratelimit"].startswith('"requests";r=0;t=')
        assert headers["ratelimit-policy"] == '"requests";q=40;w=60'
        assert 1 <= int(headers["retry-after"]) <= 60
        assert (await served.call("GET", "/partners/info", token=other))[0] == 200
        assert (await served.call("GET", "/healthz", token=None))[0] == 200
        clock.forward(60)
        assert (await served.call("GET", "/partners/info"))[0] == 200


async def test_processes_share_the_count(tmp_path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock, http_rate_limit=100) as served:
        processes = [RateLimits(served.runtime) for _process in range(4)]

        async def ask(rates):
            try:
                await rates.count(7)
            except RateLimited:
                return "refused"
            return "granted"

        told = await asyncio.gather(*(ask(rates) for _call in range(60) for rates in processes))
        assert Counter(told) == {"granted": 100, "refused": 140}


async def test_without_a_limit_nothing_is_counted_and_nothing_is_told(tmp_path):
    async with running_server(tmp_path) as served:
        status, headers, _told = await served.call("GET", "/partners/info")
        assert (status, [name for name in headers if name.startswith("ratelimit")]) == (200, [])


async def test_a_store_that_cannot_be_written_lets_requests_through(tmp_path, monkeypatch):
    async with running_server(tmp_path, clock=Clock(), http_rate_limit=1) as served:

        async def fails(*_given, **_named):
            raise StoreUnavailable("told to fail")

        with monkeypatch.context() as patch:
            patch.setattr("polyport.store.accounts.Throttles.add", fails)
            assert [(await served.call("GET", "/partners/info"))[0] for _call in range(3)] == [200] * 3
        assert [(await served.call("GET", "/partners/info"))[0] for _call in range(2)] == [200, 429]
