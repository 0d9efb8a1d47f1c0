"""The docs in the console: guides and API reference from this server alone, with its address in them, and in the installed package too."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import Served
from polyport.server.app import ENDPOINTS
from polyport.server.console.guides import filled_in, render, search, slug, sources
from polyport.server.console.reference import fields_of

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
async def viewer(anyio_backend: str, house: Served) -> Browsing:
    return await member(house, "viewer", "reader@team.example")


async def test_the_first_page_leads_to_every_guide_it_names(viewer: Browsing):
    first = (await viewer.get("/console/docs")).content.decode()
    links = re.findall(r'href="(/console/docs/[^"#]+)', first)
    assert len(set(links)) > 40
    for link in sorted(set(links)):
        assert (await viewer.get(link)).status == 200, link


async def test_every_link_of_every_guide_leads_somewhere(house: Served):
    pages = {path: render(path, house.origin, "/console/docs/guide") for path in sources()}
    anchors = {path: set(re.findall(r' id="([^"]+)"', page.html)) | {slug(page.title)} for path, page in pages.items()}
    broken = []
    for path, page in pages.items():
        for target in re.findall(r'href="([^"]*)"', page.html):
            if target.startswith(("http://", "https://", "mailto:")):
                continue
            there, _, anchor = target.partition("#")
            name = there.removeprefix("/console/docs/guide/") if there else path
            if name not in pages or (anchor and anchor not in anchors[name]):
                broken.append((path, target))
    assert broken == []


async def test_examples_have_this_servers_address(house: Served, viewer: Browsing):
    guide = (await viewer.get("/console/docs/guide/quickstart")).content.decode()
    assert house.origin in guide
    assert "127.0.0.1:8080" not in guide
    assert (
        filled_in('curl "$POLYPORT/audit" ${SERVER}/x $SERVERS', "https://here.example")
        == 'curl "https://here.example/audit" https://here.example/x $SERVERS'
    )
    reference = text_of(await viewer.get("/console/docs/api/runs"))
    assert f"'{house.origin}/runs/{{runId}}'" in reference


async def test_markup_in_a_guide_is_text_and_nothing_is_asked_of_another_host():
    for path in sources():
        html = str(render(path, "https://here.example", "/base/console/docs/guide").html)
        assert not re.search(r"<(script|img|iframe|style)|<[^>]*\s(on\w+|style)=", html), path
        assert not re.search(r"<th[^>]*>\s*</th>", html), path  # a head without words says nothing to who hears it


async def test_the_reference_has_every_operation_of_the_api(viewer: Browsing):
    index = text_of(await viewer.get("/console/docs/api"))
    for endpoint in ENDPOINTS:
        assert endpoint.shown_path in index
    keys = text_of(await viewer.get("/console/docs/api/api-keys"))
    assert "Make an API key" in keys
    assert re.search(r"title\s+needed\s+string", keys)
    assert (await viewer.get("/console/docs/api/nothing")).status == 404
    assert (await viewer.get("/console/docs/guide/nothing")).status == 404
    assert (await viewer.get("/console/docs/guide/../../etc/passwd")).status == 404


async def test_every_part_of_the_reference_is_shown(viewer: Browsing):
    index = (await viewer.get("/console/docs/api")).content.decode()
    links = sorted(set(re.findall(r'href="(/console/docs/api/[^"#]+)"', index)))
    assert len(links) > 10
    for link in links:
        shown = await viewer.get(link)
        assert shown.status == 200, link
        assert b"curl" in shown.content


async def test_guides_and_operations_are_found_by_their_words(viewer: Browsing):
    found = text_of(await viewer.get("/console/docs?q=idempotency key"))
    assert "Repeat safely" in found
    none = await viewer.get("/console/docs?q=zzzz%3Cscript%3E")
    assert b"<script>" not in none.content.replace(b'<script src="', b"")
    assert "Nothing has all of these words" in text_of(none)
    assert search("...") == []
    assert search("webhook signature")[0].path.startswith(("how-to", "adr", "concepts"))


@pytest.mark.parametrize("words", ["idempotency", "webhook", "bearer", "errors", "settings"])
def test_what_is_shown_of_a_guide_that_was_found_is_words_and_whole_ones(words: str):
    found = search(words)
    assert len(found) > 5
    for guide in found:
        shown = guide.passage.strip("…")
        assert not any(mark in shown for mark in ("```", "`", "](", "**", "| ", "<!--", "---|")), guide
        _title, _, told = sources()[guide.path].partition("\n")
        text = re.sub(r"<!--.*?-->|\]\([^)]*\)|`", "", told, flags=re.DOTALL)
        assert re.search(rf"(?<![\w-]){re.escape(shown.split()[0])}", text), guide
        assert words in shown.lower() or words not in text.lower(), guide


def test_fields_within_fields_are_told_with_their_paths():
    api = {"components": {"schemas": {"Inner": {"properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}}}}
    schema = {
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
            "maybe": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
            "kind": {"enum": ["a", "b"]},
            "fixed": {"const": True},
            "any": {},
            "things": {"type": "array"},
            "two": {"type": ["string", "null"]},
        }
    }
    told = [(field.path, field.kind, field.needed) for field in fields_of(api, schema)]
    assert told == [
        ("list", "list of anything", False),
        ("list[].n", "integer (from 1)", True),
        ("maybe", "string (at most 5) or null", False),
        ("kind", "one of a, b", False),
        ("fixed", "true", False),
        ("any", "anything", False),
        ("things", "list", False),
        ("two", "string or null", False),
    ]


def test_the_installed_package_has_the_guides(tmp_path: Path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)  # noqa: S603  a program of this environment
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    told = "from polyport.server.console.guides import sources; import polyport; print(polyport.__file__, len(sources()))"
    found = subprocess.run(  # noqa: S603  as above
        [sys.executable, "-c", told],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout.decode()
    assert str(tmp_path) in found
    assert int(found.split()[-1]) == len(sources())
