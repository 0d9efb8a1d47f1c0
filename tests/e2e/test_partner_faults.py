"""What a partner can do wrong, for an operation that may be repeated and for one that may not: status, code, doubt, record, arrivals."""

from __future__ import annotations

import pytest
from e2e.depot import CREATE, Bay, open_bay, open_depot

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bay(anyio_backend, tmp_path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as found:
        yield found


async def test_smoke(bay: Bay):
    r = await bay.run(CREATE, {"name": "x"})
    print(r.status, r.json)
    print(await bay.attempts(r.json["data"]["runId"]))
    assert r.status == 200
