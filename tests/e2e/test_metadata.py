"""What callers keep with their runs, connections and links comes back as it was given, numbers with a fraction too."""

import pytest

from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served

pytestmark = pytest.mark.anyio

METADATA = {"price": 19.5, "deep": {"list": [1, 0.25, None, "x"]}}


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_run_keeps_its_metadata(server: Served, mode: str):
    connection = await server.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, metadata=METADATA)
    assert (await server.call("GET", f"/credentials/{connection}"))[2]["data"]["metadata"] == METADATA
    listed = (await server.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={PIPEDRIVE}&q=create person"))[2]["data"]
    operation = next(item["triggerActionId"] for item in listed if item["name"] == "create_person")
    body = {"credentialData": {"0": connection}, "runnerData": {"name": "Ada"}, "metadata": METADATA}
    status, _headers, told = await server.call("POST", f"/partners/trigger-actions/{operation}/run/{mode}", body)
    assert status in {200, 202}, told
    assert (await server.call("GET", f"/runs/{told['data']['runId']}"))[2]["data"]["metadata"] == METADATA


async def test_a_link_keeps_its_metadata(server: Served):
    asked = {"partnerId": PIPEDRIVE, "title": "L", "metadata": METADATA}
    status, _headers, made = await server.call("POST", "/credentials/grant-access-sharing", asked)
    assert status == 201, made
    assert (await server.call("GET", f"/credentials/grant-access-sharing/{made['data']['id']}"))[2]["data"]["metadata"] == METADATA
