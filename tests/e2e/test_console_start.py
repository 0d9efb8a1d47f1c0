"""The first steps: three presses from nothing to a run that succeeded, and nothing leaves the server."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, Served, running_server

pytestmark = pytest.mark.anyio


async def test_three_presses_lead_from_nothing_to_a_run_that_succeeded(tmp_path: Path):
    async with running_server(tmp_path, allow_networks="") as served:
        owner = Browsing(served=served)
        await owner.sign_in()
        assert (await owner.get("/console")).headers["location"] == "/console/start"
        first = text_of(await owner.get("/console/start"))
        assert "Welcome to Polyport" in first
        assert "curl stands here once" in first, "a call with the id of some other connection would be one at a real partner"
        assert (await owner.post("/console/start/run")).headers["location"] == "/console/start", "there is nothing to run with yet"

        for _press in range(2):
            assert (await owner.post("/console/start")).status == 303
        listed = (await served.call("GET", "/credentials"))[2]["data"]
        assert [(item["title"], item["simulated"], item["status"]) for item in listed] == [("Simulated Pipedrive", True, "active")]

        assert await asked_of(served, owner) == {
            "credentialData": {"0": {"value": listed[0]["credentialId"]}},
            "runnerData": {"name": "Ada Lovelace"},
        }
        once = re.search(r'name="once" value="([0-9a-f]+)"', (await owner.get("/console/start")).content.decode())
        assert once is not None
        for _press in range(2):
            done = await owner.follow(await owner.post("/console/start/run", {"name": "Grace O'Hara", "once": once[1]}))
            assert "It works" in text_of(done)
            assert "The run succeeded: Grace O'Hara is at the simulated Pipedrive now." in text_of(done)
        assert len((await served.call("GET", "/runs"))[2]["data"]) == 1
        assert (await asked_of(served, owner))["runnerData"] == {"name": "Grace O'Hara"}, "what was typed"
        run = re.search(r'href="(/console/runs/run_[^"]+)">Look at the run', done.content.decode())
        assert run is not None
        page = text_of(await owner.get(run[1]))
        assert "Succeeded" in page
        assert "Simulated" in page
        assert "Grace O'Hara" in page
        assert "https://pipedrive.simulated.invalid/api/v2/persons" in page

        assert "It works" in text_of(await owner.get("/console/start"))
        assert (await owner.get("/console")).headers["location"] == "/console/overview"
        assert 'href="/console/start"><strong>First steps' in (await owner.get("/console/docs")).content.decode()

        await owner.post("/console/catalogue/225/practice")
        assert "It works" in text_of(await owner.get("/console/start")), "a second simulated connection takes nothing back"


async def asked_of(served: Served, owner: Browsing) -> dict[str, Any]:
    """The body of the call that the page shows for curl."""
    copied = re.search(r'data-copies="(curl [^"]+)"', (await owner.get("/console/start")).content.decode())
    assert copied is not None
    command = unescape(copied[1])
    assert shlex.split(command.partition("<<")[0])[4] == f"{served.origin}/partners/trigger-actions/2250101/run/sync"
    return dict(json.loads(command.partition("<<'JSON'\n")[2].removesuffix("\nJSON\n")))


async def test_a_viewer_looks_and_presses_nothing(tmp_path: Path):
    async with running_server(tmp_path) as served:
        viewer = await member(served, "viewer", "viewer@start.example")
        owner = Browsing(served=served)
        await owner.sign_in()
        for press in ("", "/console/start", "/console/start/run"):
            if press:
                assert (await owner.post(press)).status == 303
            page = await viewer.get("/console/start")
            text = text_of(page)
            assert ("You are signed in as a viewer" in text) is ("It works" not in text)
            assert "Connect a real partner" not in text
            assert "step-number now" not in page.content.decode() or "It works" in text
            assert b'action="/console/start' not in page.content
        assert (await viewer.post("/console/start")).status == 403


async def test_a_simulated_connection_is_made_through_the_api_too(tmp_path: Path):
    async with running_server(tmp_path, allow_networks="") as served:
        body = {"partnerId": PIPEDRIVE, "title": "Practice", "simulated": True}
        status, _headers, made = await served.call("POST", "/credentials", body)
        assert (status, made["data"]["simulated"]) == (201, True)
        run = {"credentialData": {"0": {"value": made["data"]["credentialId"]}}, "runnerData": {"name": "Ada"}}
        for mode, expected in (("sync", 200), ("async", 202)):
            assert (await served.fetch("POST", f"/partners/trigger-actions/2250101/run/{mode}", run)).status == expected
        status, _headers, refused = await served.call("POST", "/credentials", {"partnerId": PIPEDRIVE, "title": "x"})
        assert (status, refused["error"]["fields"][0]["path"]) == (422, "fields")
        status, _headers, refused = await served.call("POST", "/credentials", {"partnerId": 1, "title": "x", "simulated": True})
        assert status == 422
