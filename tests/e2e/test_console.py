"""The console's door: sessions, roles, forms of other sites, and what every page says of itself."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import EMAIL, PASSWORD, Clock, Served, running_server
from polyport.console_users import ROLE_SCOPES
from polyport.passwords import digest
from polyport.server.console.pages import SCREENS
from polyport.server.console.screen import Screen

pytestmark = pytest.mark.anyio

HTMX = "491955cd1810747d7d7b9ccb936400afb760e06d25d53e4572b64b6563b2784e"  # dist/htmx.min.js of htmx.org 2.0.3


@pytest.fixture(scope="module")
async def people(anyio_backend: str, house: Served) -> dict[str, Browsing]:
    """One person of each role."""
    return {role: await member(house, role, f"{role}@team.example") for role in ROLE_SCOPES}


@pytest.fixture
def owner(house: Served, people: dict[str, Browsing]) -> Browsing:
    """A browser in which an owner is signed in; signing in again for each test would be limited."""
    return Browsing(served=house, cookie=people["owner"].cookie)


def concrete(screen: Screen) -> str:
    return re.sub(r"\{[^}]+\}", "999999", screen.endpoint.path)


async def test_a_page_without_a_session_leads_to_the_sign_in_and_back(house: Served):
    browsing = Browsing(served=house)
    found = await browsing.get("/console/catalogue?q=crm")

    assert (found.status, found.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fcatalogue%3Fq%3Dcrm")
    page = await browsing.get(found.headers["location"])
    assert 'name="next" value="/console/catalogue?q=crm"' in page.content.decode()
    form = {"email": EMAIL, "password": PASSWORD, "next": "/console/catalogue?q=crm"}
    assert (await browsing.post("/console/sign-in", form, proof=None)).headers["location"] == "/console/catalogue?q=crm"


async def test_a_browser_that_is_given_the_address_alone_is_led_to_the_console(house: Served):
    found = await house.fetch("GET", "/", token=None, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (found.status, found.headers.get("location")) == (303, "/console")
    other = await house.fetch("GET", "/", token=None, headers={"Accept": "*/*"})
    assert (other.status, other.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example/console", "/console/../runs", "/\\evil.example", "/consolex", "/console?next=//x\n"],
)
async def test_nobody_is_led_elsewhere_after_signing_in(house: Served, following: str):
    found = await Browsing(served=house).post("/console/sign-in", {"email": EMAIL, "password": PASSWORD, "next": following}, proof=None)

    assert found.status == 303
    assert re.fullmatch(r"/console(/[a-z.]+)*/?(/runs)?", found.headers["location"])
    assert not found.headers["location"].startswith("//")


async def test_the_cookie_is_kept_from_scripts_and_other_sites(house: Served, tmp_path: Path):
    found = await Browsing(served=house).sign_in()
    told = found.headers["set-cookie"].split("; ")

    assert {"HttpOnly", "SameSite=Lax", "Path=/console"} <= set(told)
    assert "Secure" not in told
    async with running_server(tmp_path, public_url="https://polyport.example/base") as served:
        browsing = Browsing(served=served)
        secure = await browsing.post("/console/sign-in", {"email": EMAIL, "password": PASSWORD}, proof=None)
        assert {"Secure", "Path=/base/console"} <= set(secure.headers["set-cookie"].split("; "))
        assert secure.headers["location"] == "/base/console"


async def test_only_the_hash_of_a_session_is_in_the_data_folder(house: Served, owner: Browsing):
    secret = owner.cookie.partition("=")[2].encode()
    data = b"".join(path.read_bytes() for path in house.runtime.settings.data.rglob("*") if path.is_file())

    assert secret not in data
    assert digest(secret.decode()) in data


async def test_signing_in_gives_a_new_session_and_ends_the_one_before(house: Served):
    browsing = Browsing(served=house)
    await browsing.sign_in()
    first = browsing.cookie
    await browsing.sign_in()

    assert browsing.cookie != first
    assert (await Browsing(served=house, cookie=first).get("/console/you")).status == 303
    assert (await browsing.get("/console/you")).status == 200


async def test_a_session_that_somebody_else_chose_is_not_taken_up(house: Served):
    chosen = "polyport_console=ppc_" + "a" * 43
    browsing = Browsing(served=house, cookie=chosen)
    await browsing.sign_in()

    assert browsing.cookie != chosen
    assert (await Browsing(served=house, cookie=chosen).get("/console/you")).status == 303


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong"), ("nobody@example.com", PASSWORD), ("", ""), ("x" * 9_000, "y" * 9_000)])
async def test_a_wrong_sign_in_says_neither_what_was_wrong_nor_the_password(house: Served, email: str, password: str):
    found = await Browsing(served=house).sign_in(email, password)

    assert found.status == 401
    assert "The e-mail address or the password is wrong." in text_of(found)
    assert not password or f'value="{password}"' not in found.content.decode()
    assert "set-cookie" not in found.headers


async def test_tries_are_limited_with_those_at_the_api(tmp_path: Path):
    async with running_server(tmp_path, login_attempts=3) as served:
        browsing = Browsing(served=served)
        found = [(await browsing.sign_in(password="wrong")).status for _try in range(4)]
        right = await browsing.sign_in()
        api = await served.fetch("POST", "/user/auth", {"email": EMAIL, "password": PASSWORD}, token=None)

    assert found == [401, 401, 401, 429]
    assert (right.status, api.status) == (429, 429)
    assert "Too many tries. Wait 15 minutes" in text_of(right)


async def test_a_session_ends_when_it_is_not_used_and_in_any_case_in_the_end(tmp_path: Path):
    clock = Clock()
    async with running_server(tmp_path, clock=clock, console_idle=3600, console_lifetime=9000) as served:
        browsing = Browsing(served=served)
        statuses = []
        await browsing.sign_in()
        for seconds in (3000, 3000, 2000, 1001):
            clock.forward(seconds)
            statuses.append((await browsing.get("/console/you")).status)
        await browsing.sign_in()
        clock.forward(3601)
        statuses.append((await browsing.get("/console/you")).status)

    assert statuses == [200, 200, 200, 303, 303]


async def test_signing_out_ends_the_session_here_and_everywhere(house: Served):
    first, second = Browsing(served=house), Browsing(served=house)
    await first.sign_in()
    await second.sign_in()
    token = (await house.sign_in())["authToken"]
    kept = first.cookie
    assert (await first.post("/console/sign-out")).status == 303
    assert (await Browsing(served=house, cookie=kept).get("/console/you")).status == 303
    assert (await second.get("/console/you")).status == 200

    await second.post("/console/sign-out-everywhere")
    assert (await second.get("/console/you")).status == 303
    assert (await house.fetch("GET", "/partners/info", token=token)).status == 401
    house.token = str((await house.sign_in())["authToken"])


async def test_a_new_password_ends_every_session(house: Served):
    ada = await member(house, "developer", "ada@team.example")
    other = Browsing(served=house)
    assert (await other.sign_in("ada@team.example")).status == 303
    wrong = await ada.post("/console/you/password", {"present": "wrong", "new": "a longer password", "again": "a longer password"})
    short = await ada.post("/console/you/password", {"present": PASSWORD, "new": "short", "again": "short"})
    other_one = await ada.post("/console/you/password", {"present": PASSWORD, "new": "a longer password", "again": "another"})
    assert [found.status for found in (wrong, short, other_one)] == [422, 422, 422]

    done = await ada.post("/console/you/password", {"present": PASSWORD, "new": "a longer password", "again": "a longer password"})
    assert (done.status, done.headers["location"]) == (303, "/console/sign-in?out=password")
    assert "Your password is changed. Sign in with it." in text_of(await other.get("/console/sign-in?out=password"))
    ended = await other.get("/console/you")
    assert (ended.status, ended.headers["location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fyou&out=ended")
    assert "Your sign-in has ended" in text_of(await other.follow(ended))
    assert (await other.sign_in("ada@team.example", "a longer password")).status == 303


@pytest.mark.parametrize("screen", [found for found in SCREENS if found.scope is not None], ids=lambda found: found.endpoint.shown_path)
async def test_every_page_is_for_the_roles_that_its_scope_says_and_for_nobody_without_a_session(
    house: Served, people: dict[str, Browsing], screen: Screen
):
    method, path = screen.endpoint.method, concrete(screen)
    nobody = Browsing(served=house)
    asked = await (nobody.get(path) if method == "GET" else nobody.post(path, proof=None))
    if method == "GET" or path.startswith("/console/sign-out"):
        assert asked.status == 303
        assert asked.headers["location"].startswith("/console/sign-in")
    else:
        assert asked.status == 401
        assert "nothing was done" in text_of(asked)
    assert screen.scope is not None
    for role, browsing in people.items():
        if path.startswith(("/console/sign-out", "/console/you/")):
            continue  # they end what the others go on with; looked at above
        # What is no form carries its proof in a header.
        status = (
            await browsing.status(path)
            if method == "GET"
            else (await browsing.post(path, **{"X-CSRF-Token": await browsing.proof()})).status
        )
        allowed = not screen.scope or screen.scope in ROLE_SCOPES[role] or "admin" in ROLE_SCOPES[role]
        assert (status == 403) is not allowed, (role, status)
        assert status < 500


@pytest.mark.parametrize(
    "screen", [found for found in SCREENS if found.endpoint.method != "GET"], ids=lambda found: found.endpoint.shown_path
)
async def test_no_form_of_another_site_or_of_another_session_is_taken(people: dict[str, Browsing], screen: Screen):
    browsing, path = people["owner"], concrete(screen)
    before = browsing.cookie
    proof = await browsing.proof()
    foreign = await people["viewer"].proof()
    tries = [
        await browsing.post(path, proof=proof, Origin="https://evil.example"),
        await browsing.post(path, proof=proof, Origin="null"),
        await browsing.post(path, proof=proof, Origin=""),
        await browsing.post(path, proof=proof, **{"Sec-Fetch-Site": "cross-site"}),
        await browsing.post(path, proof=proof, **{"Sec-Fetch-Site": "same-site"}),
    ]
    if screen.scope is not None:
        tries += [await browsing.post(path, proof=None), await browsing.post(path, proof=foreign), await browsing.post(path, proof="é")]
    browsing.cookie = before

    assert [found.status for found in tries] == [403] * len(tries)
    assert (await browsing.get("/console/you")).status == 200


async def test_what_an_owner_changes_of_a_role_counts_at_once(house: Served):
    bob = await member(house, "developer", "bob@team.example")
    users = (await house.call("GET", "/console-users"))[2]["data"]
    user = next(each["id"] for each in users if each["email"] == "bob@team.example")
    assert (await bob.get("/console/you")).status == 200

    assert (await house.fetch("PATCH", f"/console-users/{user}", {"role": "viewer"})).status == 200
    assert (await bob.get("/console/you")).status == 303
    await bob.sign_in("bob@team.example")
    assert "Viewer" in text_of(await bob.get("/console/you"))
    assert (await house.fetch("DELETE", f"/console-users/{user}")).status == 200
    assert (await bob.get("/console/you")).status == 303


@pytest.mark.parametrize(
    "path", ["/console/sign-in", "/console/catalogue", "/console/catalogue/225", "/console/you", "/console/catalogue/1x"]
)
async def test_every_page_says_that_nothing_comes_from_elsewhere_and_nothing_is_inline(owner: Browsing, path: str):
    if path == "/console/sign-in":
        owner = Browsing(served=owner.served)
    found = await owner.get(path)
    policy = found.headers["content-security-policy"]
    content = found.content.decode()

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert found.headers["x-frame-options"] == "DENY"
    assert found.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:|\shx-on", content)
    away = r'<a href="https://[^"]+" rel="noopener noreferrer"'  # one may go elsewhere; nothing comes from there
    own = re.sub(away, "<a", content)
    assert {url.split("/")[1] for url in re.findall(r'(?:src|href|action)="(?!data:|#)([^"]+)"', own)} == {"console"}


async def test_files_are_sent_packed_to_who_takes_that_and_kept_as_long_as_they_stay(owner: Browsing):
    page = (await owner.get("/console/catalogue")).content.decode()
    for path in re.findall(r'"(/console/static/[^"]+)"', page):
        packed, plain = await owner.get(path, **{"Accept-Encoding": "gzip"}), await owner.get(path, **{"Accept-Encoding": "identity"})
        assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
        assert (packed.content, "immutable" in packed.headers["cache-control"]) == (plain.content, True)
    assert "immutable" not in (await owner.get("/console/static/console.css?v=older")).headers["cache-control"]


async def test_htmx_is_the_file_of_its_makers(owner: Browsing):
    served = await owner.get("/console/static/console.js")

    theirs = files("js_lib_htmx").joinpath("static/htmx/htmx.min.js").read_bytes()
    assert hashlib.sha256(theirs).hexdigest() == HTMX
    assert served.content.startswith(theirs + b"\n//")
    assert (await owner.get("/console/static/x")).status == 404


async def test_a_page_that_there_is_not_says_so_as_a_page_and_a_part_of_one_as_a_notice(owner: Browsing):
    page = await owner.get("/console/catalogue/999999")
    part = await owner.get("/console/catalogue/999999", **{"HX-Request": "true"})

    assert (page.status, part.status) == (404, 404)
    assert "Not found" in text_of(page)
    assert (part.headers["hx-retarget"], "<html" in part.content.decode()) == ("#notice", False)


async def test_a_part_of_a_page_without_a_session_sends_the_whole_page_to_the_sign_in(house: Served):
    found = await Browsing(served=house).get("/console/catalogue", **{"HX-Request": "true"})

    assert (found.status, found.headers["hx-redirect"]) == (200, "/console/sign-in")
    around = {"HX-Request": "true", "HX-Current-URL": house.origin + "/console/runs?status=failed"}
    led = await Browsing(served=house).get("/console/runs/stream", **around)
    assert led.headers["hx-redirect"] == "/console/sign-in?next=%2Fconsole%2Fruns%3Fstatus%3Dfailed"
    told = await Browsing(served=house).post("/console/try/2250101", proof=None, **{"HX-Request": "true"})
    assert (told.status, told.headers["hx-retarget"]) == (401, "#notice")
    assert "What you typed is still here" in text_of(told)


async def test_a_page_asks_who_is_signed_in_and_what_its_forms_carry(house: Served, owner: Browsing):
    first, second = (await owner.get("/console/you/proof"), await owner.get("/console/you/proof"))
    assert first.json["member"] == "owner@team.example"
    assert first.json["proof"] != second.json["proof"]
    assert first.headers["cache-control"] == "no-store"
    found = await owner.post("/console/you/look", {"look": "system", "back": "/you"}, proof=first.json["proof"])
    assert found.status == 303


async def test_without_the_console_there_is_no_console(tmp_path: Path):
    async with running_server(tmp_path, console_enabled=False) as served:
        assert (await served.fetch("GET", "/console", token=None)).status == 404
        assert (await served.fetch("GET", "/console/sign-in", token=None)).status == 404


async def test_a_search_finds_partners_and_says_when_there_are_none(owner: Browsing):
    assert "Pipedrive" in text_of(await owner.get("/console/catalogue?q=pipedriv"))
    none = await owner.get("/console/catalogue?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert "No partner fits" in text_of(none)
    assert "<script>alert" not in none.content.decode()


@pytest.mark.parametrize("query", ["cursor=x", "cursor=%00", "q=pipe&cursor=x"])
async def test_a_query_that_makes_no_sense_is_a_page_that_says_so(owner: Browsing, query: str):
    found = await owner.get(f"/console/catalogue?{query}")

    assert found.status == 422
    assert "That did not work" in text_of(found)


async def test_a_partner_says_how_good_it_is_what_is_missing_and_how_to_get_credentials(house: Served, owner: Browsing):
    page = await owner.get("/console/catalogue/225")
    text = text_of(page)
    for told in ("Silver", "missing.", "What is missing", "Sample output", "How to get the credentials"):
        assert told in text, told
    found = (await house.call("GET", "/partners/225/evidence"))[2]["data"]
    assert found["tier"] == "silver"
    for rule in found["rules"]:  # what a rule asks for stands in the docs
        if rule["status"] == "todo":
            address = f"/console/docs/guide/reference/quality/{rule['name']}"
            assert f'href="{address}"'.encode() in page.content
            assert (await owner.get(address)).status == 200
    assert {rule["status"] for rule in found["rules"]} <= {"done", "todo", "exempt"}
    assert (await house.fetch("GET", "/partners/999999/evidence")).status == 404


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        ("authType=sigv4", "Amazon S3", "Pipedrive"),
        ("kind=tool", "Polyport tools", "Pipedrive"),
        ("verified=live", "No partner fits", "Pipedrive"),
        ("q=crm&authType=oauth2&category=crm", "Pipedrive", "Amazon S3"),
    ],
)
async def test_partners_are_narrowed_by_what_they_have(owner: Browsing, query: str, there: str, not_there: str):
    text = text_of(await owner.get(f"/console/catalogue?{query}"))

    assert there in text
    assert not_there not in text


@pytest.mark.parametrize(
    ("look", "kept", "shown"),
    [
        ("dark", True, 'data-look="dark"'),
        ("light", True, 'data-look="light"'),
        ("system", False, '<html lang="en">'),
        ("x\r\n", False, '<html lang="en">'),
    ],
)
async def test_light_or_dark_is_kept_in_a_cookie_of_the_browser_and_leads_back(owner: Browsing, look: str, *, kept: bool, shown: str):
    session = owner.cookie
    found = await owner.post("/console/you/look", {"look": look, "back": "/catalogue?q=crm"})
    told = found.headers["set-cookie"]
    owner.cookie = f"{session}; {told.partition(';')[0]}"

    assert (found.status, found.headers["location"]) == (303, "/console/catalogue?q=crm")
    assert {"HttpOnly", "SameSite=Lax", "Path=/console"} <= set(told.split("; "))
    assert ("Max-Age=0" not in told) is kept
    assert shown in (await owner.get("/console/catalogue")).content.decode()


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/../runs?\r\nX: y"])
async def test_a_change_of_colours_leads_nowhere_else(owner: Browsing, back: str):
    location = (await owner.post("/console/you/look", {"look": "dark", "back": back})).headers["location"]

    assert location.startswith("/console/")


async def test_a_cookie_of_colours_that_makes_no_sense_is_none(owner: Browsing):
    found = await owner.get("/console/you", Cookie=f'{owner.cookie}; polyport_look="><script>')
    assert '<html lang="en">' in found.content.decode()


async def test_an_address_of_the_console_that_there_is_not_is_a_page_that_says_so(owner: Browsing):
    for path in ("/console/nothing", "/console/runs/a/b/c", "/console/settings/keys/none/at/all"):
        found = await owner.get(path)
        assert (found.status, "Not found" in text_of(found)) == (404, True)
