"""What belongs to a connection, over HTTP: lists that are stale, entity tags of schemas, re-reading that survives a killed server."""

import asyncio
from pathlib import Path

import pytest

from e2e.depot import CREATE, PARTNER, SECRET, SHELVE, open_bay, open_depot
from e2e.killable import running_process
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Clock, Served, answer

pytestmark = pytest.mark.anyio
INFO = f"/partners/trigger-actions/{CREATE}/run/info"


def _labels(shown: dict, name: str) -> list[str]:
    return [option["label"] for variable in shown["variables"] if variable["name"] == name for option in variable["data"]]


async def test_what_has_a_tag_says_so_in_the_description(house: Served):
    paths = (await house.fetch("GET", "/openapi.json")).json["paths"]
    for method, path in (
        ("get", "/partners/trigger-actions/{id}/schema"),
        ("get", "/partners/{partnerId}/credential-fields"),
        ("post", "/partners/trigger-actions/{id}/run/info"),
    ):
        described = paths[path][method]
        assert "304" in described["responses"]
        assert "If-None-Match" in [parameter["name"] for parameter in described["parameters"]]


async def test_a_stale_list_is_shown_at_once_and_says_how_old_it_is(anyio_backend: str, tmp_path: Path):
    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock, login_token_lifetime=10**9) as bay:
        ask = {"credentialData": {"0": bay.connection}}
        first = (await bay.served.call("POST", INFO, ask))[2]["data"]["triggerAction"]
        assert first["dataUpdatedAt"] == int(clock().timestamp())
        depot.answers["GET /owners"] = answer(200, {"data": [{"id": 9, "name": "Linus"}]})
        clock.forward(3_600)
        before = depot.count("GET /owners")
        stale = (await bay.served.call("POST", INFO, ask))[2]["data"]["triggerAction"]
        assert (_labels(stale, "owner"), stale["dataUpdatedAt"]) == (_labels(first, "owner"), first["dataUpdatedAt"])
        await depot.arrived("GET /owners", before + 1)
        now = first
        async with asyncio.timeout(60):
            while now["dataUpdatedAt"] == first["dataUpdatedAt"]:
                now = (await bay.served.call("POST", INFO, ask))[2]["data"]["triggerAction"]
        assert _labels(now, "owner") == ["Linus"]
        assert depot.count("GET /owners") == before + 1


async def test_an_operation_without_lists_names_no_time(anyio_backend: str, tmp_path: Path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as bay:
        path = "/partners/trigger-actions/90000105/run/info"
        _status, headers, found = await bay.served.call("POST", path, {"credentialData": {"0": bay.connection}})
        assert "dataUpdatedAt" not in found["triggerAction"]
        assert headers["etag"].startswith('W/"')


async def test_the_tag_of_a_schema_stays_as_long_as_its_content_over_readings_and_restarts(anyio_backend: str, tmp_path: Path):
    clock = Clock()
    async with open_depot() as depot:
        async with open_bay(tmp_path, depot, clock=clock, login_token_lifetime=10**9) as bay:
            connection, ask = bay.connection, {"credentialData": {"0": bay.connection}}
            schema = f"/partners/trigger-actions/{CREATE}/schema?credentialId={connection}"

            async def tags(served: Served, **headers: str) -> list[tuple[int, str, int]]:
                told = {name.replace("_", "-"): text for name, text in headers.items()}
                got = await served.fetch("GET", schema, headers=told)
                posted = await served.fetch("POST", INFO, ask, headers=told)
                return [(found.status, found.headers["etag"], len(found.content)) for found in (got, posted)]

            (_ok, strong, _size), (_fine, weak, _length) = first = await tags(bay.served)
            assert strong.startswith('"')
            assert weak.startswith('W/"')
            assert await tags(bay.served) == first
            for told in (f"{strong}, {weak}", f"W/{strong}, {weak.removeprefix('W/')}", "*"):
                assert await tags(bay.served, if_none_match=told) == [(304, strong, 0), (304, weak, 0)]
            assert await tags(bay.served, if_none_match='"other"') == first
            clock.forward(3_600)
            await _update(bay.served, connection)
            assert (await bay.served.call("POST", INFO, ask))[2]["triggerAction"]["dataUpdatedAt"] == int(clock().timestamp())
            assert await tags(bay.served, if_none_match=f"{strong}, {weak}") == [(304, strong, 0), (304, weak, 0)]
        async with open_bay(tmp_path, depot, clock=clock, login_token_lifetime=10**9) as bay:
            again = await tags(bay.served)
            assert [tag for _status, tag, _size in again] == [strong, weak]
            depot.answers["GET /owners"] = answer(200, {"data": [{"id": 9, "name": "Linus"}]})
            await _update(bay.served, connection)
            changed = await tags(bay.served, if_none_match=f"{strong}, {weak}")
            assert [status for status, _tag, _size in changed] == [200, 200]
            assert not {tag for _status, tag, _size in changed} & {strong, weak}


async def test_what_was_chosen_and_filled_in_is_part_of_the_tag(anyio_backend: str, tmp_path: Path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as bay:
        tags = set()
        for selected, data in (({}, None), ({"1": 1}, None), ({"1": 2}, None), ({"1": 1}, {"note": "x"})):
            path, at = f"/partners/trigger-actions/{SHELVE}/run/info", {"0": bay.connection, **selected}
            body = {"credentialData": at} | ({"runnerData": data} if data is not None else {})
            found = await bay.served.fetch("POST", path, body)
            assert (await bay.served.fetch("POST", path, body, headers={"If-None-Match": found.headers["etag"]})).status == 304
            tags.add((found.headers["etag"], data is None))
        assert len({tag for tag, plain in tags if plain}) == 3


async def test_a_schema_with_a_list_that_could_not_be_read_is_not_taken_for_the_whole(anyio_backend: str, tmp_path: Path):
    clock = Clock()
    async with open_depot() as depot, open_bay(tmp_path, depot, clock=clock) as bay:
        depot.answers["GET /owners"] = answer(503, {})
        ask = {"credentialData": {"0": bay.connection}}
        short = await bay.served.fetch("POST", INFO, ask)
        assert short.json["triggerAction"]["warnings"]
        depot.answers.clear()
        same = await bay.served.fetch("POST", INFO, ask, headers={"If-None-Match": short.headers["etag"]})
        assert same.status == 304  # the partner is not asked again at once
        clock.forward(6)
        whole = await bay.served.fetch("POST", INFO, ask, headers={"If-None-Match": short.headers["etag"]})
        assert (whole.status, "warnings" in whole.json["triggerAction"]) == (200, False)


async def test_what_a_connection_asks_for_has_a_tag(house: Served):
    first = await house.fetch("GET", f"/partners/{PIPEDRIVE}/credential-fields")
    again = await house.fetch("GET", f"/partners/{PIPEDRIVE}/credential-fields", headers={"If-None-Match": first.headers["etag"]})
    assert (first.headers["etag"][0], again.status, again.content) == ('"', 304, b"")


async def _update(served: Served, connection: int, partner: int = PARTNER) -> list[int]:
    """Ask for all to be read again until it is; what was told."""
    told: list[int] = []
    async with asyncio.timeout(60):
        while not told or told[-1] != 3:
            status, _headers, found = await served.call("POST", f"/credentials/{partner}/{connection}/update-user-data", {})
            assert status == 200, found
            told.append(found["data"]["updateStatus"])
            await asyncio.sleep(0.02)
    return told


async def test_what_was_asked_to_be_read_again_survives_a_killed_server(anyio_backend: str, tmp_path: Path):
    held = asyncio.Event()

    async def slow(_asked: object) -> bytes:
        await held.wait()
        return answer(200, {"data": []})

    async with open_depot() as depot:
        async with running_process(tmp_path, depot) as first:
            token, connection = first.served.token, await first.served.connect(PARTNER, {"key": SECRET})
            depot.answers["GET /owners"] = slow
            path = f"/credentials/{PARTNER}/{connection}/update-user-data"
            assert (await first.served.call("POST", path, {}))[2]["data"]["updateStatus"] == 1
            await depot.arrived("GET /owners")
            assert (await first.served.call("POST", path, {}))[2]["data"]["updateStatus"] == 2
            await first.kill()
        depot.answers.clear()
        async with running_process(tmp_path, depot, token=token) as second:
            await depot.arrived("GET /owners", 2)  # nobody asked again
            await depot.arrived("GET /halls", 1)
            assert set(await _update(second.served, connection)) <= {1, 2, 3}


async def test_a_connection_that_is_invalid_is_not_read_again_and_says_where_to_connect(anyio_backend: str, tmp_path: Path):
    async with open_depot() as depot, open_bay(tmp_path, depot) as bay:
        depot.answers["*"] = answer(401, {})
        assert (await bay.served.call("POST", f"/credentials/{bay.connection}/test"))[2]["data"]["credential"]["status"] == "invalid"
        before = len(depot.wire.asked)
        status, _headers, found = await bay.served.call("POST", f"/credentials/{PARTNER}/{bay.connection}/update-user-data", {})
        assert (status, found["error"]["code"], len(depot.wire.asked)) == (409, "connection_invalid", before)
        assert "/connect?id=" in found["error"]["reconnectUrl"]


async def test_the_simulated_partner_is_read_again(house: Served):
    connection = await house.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    assert (await _update(house, connection, PIPEDRIVE))[0] == 1
