import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio


async def test_smoke(server: Served):
    cid = await server.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    assert cid
    other = await server.second_account()
    assert other
    for p in ("/partners/info", "/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/credentials", "/nope", "/partners/info/"):
        s, h, j = 0, 0, 0
        r = await server.fetch("GET", p)
        print(r.status, r.headers, r.content[:300])
    assert 0
