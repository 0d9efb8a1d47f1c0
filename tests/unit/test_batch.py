"""Batches where the store does not do as it should, and where others are faster."""

from __future__ import annotations

import pytest

from engines import PUT, Bench, open_bench
from polyport.engine.batch import TRIES, start_batch
from polyport.errors import IdempotencyInProgress, Overloaded

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench(anyio_backend, tmp_path):
    async with open_bench(tmp_path) as found:
        yield found


async def test_a_batch_that_cannot_be_recorded_is_not_accepted(bench: Bench):
    bench.store.failing.add("insert_run")
    with pytest.raises(Overloaded):
        await start_batch(bench.engine, bench.account, [bench.ask(PUT, mode="async")] * 3, None)
    bench.store.failing.clear()
    assert len(await start_batch(bench.engine, bench.account, [bench.ask(PUT, mode="async")] * 3, None)) == 3


async def test_a_batch_whose_keys_are_taken_again_and_again_says_so(bench: Bench):
    await bench.engine.start(bench.ask(PUT, mode="async", idempotency_key="taken"))
    bench.store.blind.add("idempotency_key")
    with pytest.raises(IdempotencyInProgress):
        await start_batch(bench.engine, bench.account, [bench.ask(PUT, mode="async", idempotency_key="taken")], None)
    assert TRIES > 1
