"""The partner that tests talk to leaves nothing behind, whenever it ends: what is left open is told to a test that has nothing to do with it."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from e2e.served import answer, upstream

BURST = 30


async def _burst(steps: int, content: bytes) -> None:
    """Callers that come all at once; the partner ends so many steps of the event loop later."""

    async def handle(_asked: object) -> bytes:
        return answer(200, b"x" * 5_000_000)  # more than a caller that does not read takes

    callers = []
    async with upstream(handle) as partner:
        for _caller in range(BURST):
            callers.append(socket.create_connection(("127.0.0.1", int(partner.origin.rpartition(":")[2]))))
            callers[-1].sendall(content)
        for _step in range(steps):
            await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(lambda: [caller.close() for caller in callers])


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["silent", "asking"])
@pytest.mark.parametrize("steps", range(9))
def test_a_partner_that_ends_leaves_no_connection_open(steps: int, content: bytes):
    gc.collect()  # what others left is theirs
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(_burst(steps, content))
        gc.collect()
    assert [str(warning.message) for warning in told] == []
