"""The docs in the console: guides and API reference from this server alone, with its address in them, and in the installed package too."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import EMAIL, PASSWORD, Served, running_server
from polyport.server.app import ENDPOINTS
from polyport.server.console.guides import INDEX, filled_in, render, shelves, sources
from polyport.server.console.indexed import Unit, find, sections
from polyport.server.console.reference import fields_of

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HERE = "https://here.example"
# Words of an example that tell where it is run and with what: here is neither the server nor the token to be put in by hand.
LEFT_OVER = re.compile(r"\$\{?(?:SERVER|TOKEN)\b|^api ['\"/]|127\.0\.0\.1:8080/", re.MULTILINE)


class Shown(HTMLParser):
    """A page as it is read: its links, the places in it, its examples, and its words that are no example."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.dead: list[str] = []
        self.ids: list[str] = []
        self.examples: list[str] = []
        self.prose = ""
        self.unheld: list[str] = []
        self._within: list[str] = []
        self._held: list[bool] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "a":
            (self.links if given.get("href") else self.dead).append(given.get("href") or self.get_starttag_text() or "")
        if tag == "pre":
            self.examples.append("")
        if tag in {"pre", "table"} and not (tag == "pre" or "scroll" in self._within):
            self.unheld.append(self.get_starttag_text() or "")
        if tag in {"div", "pre"}:
            self._within.append(classes[0] if tag == "div" and classes else tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"div", "pre"}:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if "pre" in self._within:
            self.examples[-1] += data
        else:
            self.prose += data


@pytest.fixture(scope="module")
async def viewer(anyio_backend: str, house: Served) -> Browsing:
    return await member(house, "viewer", "reader@team.example")


@pytest.fixture(scope="module")
async def pages(viewer: Browsing) -> Mapping[str, Shown]:
    """Every page of the docs, found by following links from the first one."""
    found: dict[str, Shown] = {}
    waiting = ["/console/docs"]
    while waiting:
        path = waiting.pop()
        answer = await viewer.get(path)
        assert answer.status == 200, path
        found[path] = Shown(answer.content.decode())
        to = {urlsplit(urljoin(path, link)).path for link in found[path].links if not urlsplit(link).netloc}
        waiting += [each for each in to if each.startswith("/console/docs") and each not in found and each not in waiting]
    return found


async def test_every_guide_is_found_by_following_links(pages: Mapping[str, Shown]):
    assert {f"/console/docs/guide/{path}" for path in sources() if path != INDEX} == {path for path in pages if "/guide/" in path}
    assert {path.rpartition("/")[2] for path in pages if "/docs/api/" in path} > {"runs", "connections", "events"}


async def test_every_link_leads_to_a_page_and_a_place_in_it(pages: Mapping[str, Shown], viewer: Browsing):
    assert [(path, page.dead) for path, page in pages.items() if page.dead] == []
    others: dict[str, Shown] = {}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            there = urlsplit(urljoin(path, link))
            if there.netloc:
                continue
            shown = pages.get(there.path) or others.get(there.path)
            if shown is None:
                answer = await viewer.get(there.path)
                shown = others[there.path] = Shown(answer.content.decode())
                if answer.status not in {200, 303, 304}:
                    broken.append((path, link, answer.status))
            if there.fragment and there.fragment not in shown.ids:
                broken.append((path, link, 0))
    assert broken == []


async def test_no_place_of_a_page_has_the_name_of_another(pages: Mapping[str, Shown]):
    assert [(path, each) for path, page in pages.items() for each in set(page.ids) if page.ids.count(each) > 1] == []


async def test_every_example_is_whole(pages: Mapping[str, Shown], house: Served):
    examples = [(path, example) for path, page in pages.items() for example in page.examples]
    assert len(examples) > 400
    assert [(path, example) for path, example in examples if LEFT_OVER.search(example)] == []
    # A call that takes the token goes to this server; nothing else takes it.
    calls = [(path, example) for path, example in examples if "POLYPORT_TOKEN" in example]
    assert len({path for path, _example in calls if "/guide/" in path}) > 15
    for path, example in calls:
        for call in re.split(r"\n(?=\w*=?\$?\(?curl\b)|\|\n", example):
            assert house.origin in call or 'POLYPORT_TOKEN"' not in call, (path, call)


async def test_who_reads_examples_is_told_where_their_token_comes_from(viewer: Browsing, house: Served):
    guide = (await viewer.get("/console/docs/guide/how-to/run-an-action")).content.decode()
    assert "make an <a" not in guide
    assert "which an owner makes" in guide
    owner = Browsing(served=house)
    await owner.sign_in()
    assert (
        'make an <a href="/console/settings/keys">API key</a>'
        in (await owner.get("/console/docs/guide/how-to/run-an-action")).content.decode()
    )
    assert "POLYPORT_TOKEN" not in (await owner.get("/console/docs/guide/concepts")).content.decode()


async def test_comments_of_the_sources_are_not_shown(pages: Mapping[str, Shown]):
    assert [path for path, page in pages.items() if "<!--" in page.prose] == []
    assert any("<!-- depot/notes.md -->" in example for example in pages["/console/docs/guide/how-to/first-partner"].examples)


async def test_what_is_wide_scrolls_by_itself(pages: Mapping[str, Shown]):
    assert [(path, page.unheld) for path, page in pages.items() if page.unheld] == []


async def test_examples_have_this_servers_address(house: Served, viewer: Browsing):
    guide = (await viewer.get("/console/docs/guide/quickstart")).content.decode()
    assert house.origin in guide
    assert filled_in('curl "$SERVER/audit" ${SERVER}/x $SERVERS', HERE) == f'curl "{HERE}/audit" {HERE}/x $SERVERS'
    reference = text_of(await viewer.get("/console/docs/api/runs"))
    assert f"'{house.origin}/runs/{{runId}}'" in reference


async def test_a_server_with_a_public_address_tells_that_one(tmp_path: Path):
    async with running_server(tmp_path, public_url=f"{HERE}/polyport") as served:
        browsing = Browsing(served=served)
        await browsing.post("/console/sign-in", {"email": EMAIL, "password": PASSWORD}, proof=None, Origin=HERE)
        for path in ("/console/docs", "/console/docs/guide/quickstart", "/console/docs/api/runs", "/console/docs?q=webhook"):
            answer = await browsing.get(path)
            assert answer.status == 200, path
            html, shown = answer.content.decode(), Shown(answer.content.decode())
            assert served.origin not in html
            assert all(urlsplit(link).netloc or link.startswith(("/polyport/", "#")) for link in shown.links), path
            assert all(f"{HERE}/polyport/" in example for example in shown.examples if "POLYPORT_TOKEN" in example), path


async def test_behind_a_proxy_with_a_path_links_and_examples_have_it():
    base = "/polyport/console/docs/guide"
    guide = render("how-to/api-keys", f"{HERE}/polyport", base)
    assert f"{HERE}/polyport/api-keys" in guide.html
    links = {link for shelf in shelves(f"{HERE}/polyport", base) for link in Shown(shelf.html).links}
    assert links
    assert all(link.startswith(f"{base}/") for link in links)


async def test_markup_in_a_guide_is_text_and_nothing_is_asked_of_another_host():
    for path in sources():
        html = str(render(path, HERE, "/base/console/docs/guide").html)
        assert not re.search(r"<(script|img|iframe|style)|<[^>]*\s(on\w+|style)=", html), path
        assert not re.search(r"<th[^>]*>\s*</th>", html), path  # a head without words says nothing to who hears it


async def test_one_comes_from_a_guide_to_the_next(viewer: Browsing):
    order = [path for shelf in shelves(HERE, "") for path in shelf.paths]
    assert order[:2] == ["quickstart", "concepts"]
    first = (await viewer.get("/console/docs/guide/quickstart")).content.decode()
    assert 'rel="prev"' not in first
    assert re.search(r'rel="next" href="/console/docs/guide/concepts"', first)
    second = (await viewer.get("/console/docs/guide/concepts")).content.decode()
    assert re.search(r'rel="prev" href="/console/docs/guide/quickstart"', second)
    assert 'rel="next"' not in (await viewer.get(f"/console/docs/guide/{order[-1]}")).content.decode()


async def test_the_first_page_is_for_who_uses_the_server(pages: Mapping[str, Shown], viewer: Browsing, house: Served):
    first = text_of(await viewer.get("/console/docs"))
    titles = [shelf.title for shelf in shelves(HERE, "")]
    assert titles == ["Start", "Connect customers", "Run", "React", "Operate a server", "Build partners", "Look up", "How it is built"]
    assert house.origin in first
    places = [first.index(f"{title} ") for title in titles]
    assert places[-1] == max(places)  # what is for who works on Polyport itself comes last
    assert "README" not in first
    assert ".py" not in re.sub(r"Shown by tests", "", "".join(Shown(shelf.html).prose for shelf in shelves(HERE, "")))


async def test_tests_that_show_a_guarantee_are_folded_away(viewer: Browsing):
    html = (await viewer.get("/console/docs/guide/guarantees")).content.decode()
    opened, _, _rest = html.partition('<details class="shown">')
    assert "test_crash.py" not in opened
    assert html.count('<details class="shown"><summary>Shown by tests</summary>') > 10
    without = re.sub(r'<details class="shown">.*?</details>', "", html, flags=re.DOTALL)
    assert "test_" not in without


async def test_the_reference_has_every_operation_of_the_api(viewer: Browsing):
    index = text_of(await viewer.get("/console/docs/api"))
    for endpoint in ENDPOINTS:
        assert endpoint.shown_path in index
    keys = text_of(await viewer.get("/console/docs/api/api-keys"))
    assert "Make an API key" in keys
    assert re.search(r"title\s+needed\s+text", keys)
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
    assert find(sections(), "...") == []


@pytest.mark.parametrize(
    ("words", "guide", "operations"),
    [
        ("pagination", "how-to/lists", {"GET /runs", "GET /credentials"}),
        ("cursor", "how-to/", {"GET /runs", "GET /audit"}),
        ("redirectUrl", "how-to/connect-by-link#bring-the-customer-back", {"POST /credentials/grant-access-sharing"}),
        ("redirect url", "how-to/connect-by-link#bring-the-customer-back", {"POST /credentials/grant-access-sharing"}),
        ("per-page", "how-to/lists", {"GET /runs", "GET /partners/info"}),
        (
            "webhook",
            "how-to/receive-events",
            {"POST /event-endpoints", "GET /events", "POST /events/{eventId}/replay", "GET /account/callback-secret"},
        ),
        ("webhooks", "how-to/receive-events", {"POST /event-endpoints"}),
        ("delete user", "how-to/end-users#delete-a-user", {"DELETE /users/{userId}"}),
        ("api key", "how-to/api-keys", {"POST /api-keys", "DELETE /api-keys/{id}"}),
        ("idempotency keys", "how-to/repeat-safely#give-every-run-a-key", {"POST /runs/batch"}),
        ("rate limit", "how-to/limits", set()),
        ("backup", "how-to/keys-and-backup", set()),
        ("webhook signature", "how-to/receive-events#check-the-signature", set()),
    ],
)
async def test_what_one_looks_for_comes_first_and_leads_to_its_place(
    viewer: Browsing, pages: Mapping[str, Shown], words: str, guide: str, operations: set[str]
):
    found = (await viewer.get(f"/console/docs?q={words}")).content.decode()
    guides = re.findall(r'<h3><a href="/console/docs/guide/([^"]+)"', found)
    assert guides[0].startswith(guide)
    for each in guides:
        path, _, anchor = each.partition("#")
        assert not anchor or anchor in pages[f"/console/docs/guide/{path}"].ids
    assert guides.index(guides[0]) < min([at for at, each in enumerate(guides) if each.startswith(("adr/", "reference/"))], default=99)
    there = {text_of_html(told) for told in re.findall(r"<h3><a [^>]*><code>(.*?)</code>", found)}
    assert operations <= there
    assert "<mark>" in found


def text_of_html(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)


async def test_what_was_looked_for_is_marked_and_escaped():
    unit = Unit(page="p", anchor="", title="<b>Bold</b> words", heading="", text="a <i>bold</i> & bolder <script>")
    (found,) = find([unit], "bold")
    assert found.title == "&lt;b&gt;<mark>Bold</mark>&lt;/b&gt; words"
    assert found.passage == "a &lt;i&gt;<mark>bold</mark>&lt;/i&gt; &amp; <mark>bolder</mark> &lt;script&gt;"
    (found,) = find([unit], "<script")
    assert "<script" not in found.passage


@pytest.mark.parametrize("words", ["idempotency", "webhook", "bearer", "errors", "settings"])
def test_what_is_shown_of_a_guide_that_was_found_is_words_and_whole_ones(words: str):
    found = find(sections(), words)
    assert len(found) > 5
    for each in found:
        shown = text_of_html(str(each.passage)).strip("…")
        example = each.at.startswith("how-to/first-partner")  # it shows a page of Markdown
        assert example or not any(mark in shown for mark in ("```", "](", "**", "<!--")), each
        assert shown == shown.strip()
        assert "<mark>" in each.passage + each.title + each.heading


def test_a_word_is_found_in_the_singular_and_the_plural_and_by_its_beginning():
    units = [
        Unit(page=str(at), anchor="", title="", heading="", text=text)
        for at, text in enumerate(["one retry", "retries", "retrieve", "a webhook", "rewebhook"])
    ]
    assert {found.at for found in find(units, "retries")} == {"0", "1"}
    assert {found.at for found in find(units, "webhooks")} == {"3"}
    assert {found.at for found in find(units, "retr")} == {"0", "1", "2"}


def test_a_guide_with_words_in_different_sections_is_found_after_those_with_all_in_one():
    units = [
        Unit(page="apart", anchor="", title="Apart", heading="Apart", text="one thing"),
        Unit(page="apart", anchor="b", title="Apart", heading="B", text="another matter"),
        Unit(page="together", anchor="", title="Together", heading="Together", text="one matter"),
    ]
    assert [found.at for found in find(units, "one matter")] == ["together", "apart"]
    assert find(units, "one matter missing") == []


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
        ("list[].n", "whole number", True),
        ("maybe", "text, at most 5 characters or null", False),
        ("kind", "one of a, b", False),
        ("fixed", "true", False),
        ("any", "anything", False),
        ("things", "list", False),
        ("two", "text or null", False),
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
