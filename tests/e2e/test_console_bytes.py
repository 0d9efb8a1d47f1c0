"""What pages of the console weigh on the wire, and that packing them gives nothing away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from e2e.busy import fill_sums
from e2e.console import PROOF, Browsing
from e2e.metered import METERED, write_metered
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served, running_server
from polyport.server.console.packing import masked, pack, takes_gzip, unmasked

pytestmark = pytest.mark.anyio

MOST = 100_000
PACKED = {"Accept-Encoding": "gzip"}


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with running_server(tmp_path_factory.mktemp("house")) as served:
        await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS, verify=False)
        await fill_sums(served)
        yield served


@pytest.fixture
async def owner(house: Served) -> Browsing:
    browsing = Browsing(served=house)
    await browsing.sign_in()
    return browsing


async def weight(owner: Browsing, path: str, **headers: str) -> int:
    """The bytes of one answer on the wire, its head included."""
    found = await owner.get(path, **(PACKED | headers))
    assert found.status == 200, path
    return int(found.headers["content-length"]) + sum(len(name) + len(text) + 4 for name, text in found.headers.items())


@pytest.mark.parametrize(
    "path",
    [
        "/console/overview",
        "/console/overview?range=day",
        "/console/overview?range=month",
        "/console/catalogue",
        "/console/try",
        "/console/docs",
    ],
)
async def test_a_first_page_with_everything_that_it_loads_takes_less_than_100_kb(owner: Browsing, path: str):
    content = (await owner.get(path)).content.decode()
    loaded = {unescape(found) for found in re.findall(r'(?:src|href)="(/console/(?:static|logos)/[^"]+)"', content)}
    assert len(loaded) >= 3

    total = await weight(owner, path)
    for each in loaded:
        total += await weight(owner, each)

    assert total < MOST


async def test_a_page_is_packed_for_who_takes_that_and_says_that_it_depends_on_it(owner: Browsing):
    packed = await owner.get("/console/overview", **PACKED)
    plain = await owner.get("/console/overview", **{"Accept-Encoding": "identity"})
    refused = await owner.get("/console/overview", **{"Accept-Encoding": "gzip;q=0, br"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["vary"]
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert int(packed.headers["content-length"]) * 3 < int(plain.headers["content-length"])
    assert packed.content.decode().count("</html>") == 1


async def test_a_page_that_shows_a_secret_is_not_packed(owner: Browsing):
    await owner.post("/console/settings/keys", {"title": "CRM", "scope.runs:read": "1"}, **PACKED)
    made = await owner.get("/console/settings/keys", **PACKED)

    assert "ppk_" in made.content.decode()
    assert "content-encoding" not in made.headers
    assert (await owner.get("/console/settings/keys", **PACKED)).headers["content-encoding"] == "gzip"


async def test_the_proof_of_forms_is_another_text_in_each_page_and_every_one_of_them_is_taken(owner: Browsing):
    found = []
    for _time in range(3):
        shown = PROOF.search((await owner.get("/console/you")).content.decode())
        assert shown is not None
        found.append(unescape(shown[1]))

    assert len(set(found)) == 3
    for proof in found:
        assert (await owner.post("/console/start", {}, proof=proof)).status == 303


@pytest.mark.parametrize("told", ["", "a", "=", "é", "A" * 57, "\ud800", "AAAA", "%%%%"])
def test_what_is_no_proof_unmasks_to_none(told: str):
    assert unmasked(told) != "right"
    assert unmasked(masked("right")) == "right"


def test_a_page_has_another_length_each_time():
    assert len({len(pack(b"<html>" * 300)) for _time in range(40)}) > 8


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("gzip;q=0.001", True),
        ("", False),
        ("xgzip", False),
    ],
)
def test_gzip_is_sent_to_who_names_it_and_does_not_refuse_it(accepted: str, *, taken: bool):
    assert takes_gzip(accepted) is taken


async def test_a_partner_without_an_icon_has_the_letter_of_its_name(tmp_path: Path):
    async with running_server(tmp_path, connectors=write_metered(tmp_path)) as served:
        owner = Browsing(served=served)
        await owner.sign_in()
        found = await owner.get(f"/console/logos/{METERED}")
        gone = await owner.get("/console/logos/999999")

    assert (found.status, found.headers["content-type"], gone.status) == (200, "image/svg+xml", 404)
    assert b">M</text>" in found.content
    assert "sandbox" in found.headers["content-security-policy"]
