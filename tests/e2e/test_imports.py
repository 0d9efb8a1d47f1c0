"""API descriptions imported into a running server: fetched or uploaded, asked about, versioned, published, removed."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from e2e.console import Browsing, text_of
from e2e.served import Asked, Served, answer, import_finished, import_settled, running_server, upstream
from petshop import pets

pytestmark = pytest.mark.anyio


@dataclass(slots=True)
class Shop:
    """The API and the place of its description: what it serves by path, and what it was asked."""

    origin: str = ""
    files: dict[str, bytes | tuple[int, dict[str, str]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)

    async def handle(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        if asked.target in self.held:
            await self.held[asked.target].wait()
        found = self.files.get(asked.target.partition("?")[0])
        if isinstance(found, tuple):
            return answer(found[0], b"", found[1])
        if found is not None:
            return answer(200, found, {"Content-Type": "application/yaml"})
        return answer(404)

    def describe(self, path: str = "/openapi.yaml", **changes: Any) -> str:
        """Put the description of the pet shop somewhere; its address."""
        document = pets(servers=[{"url": f"{self.origin}/v1"}]) | changes
        self.files[path] = yaml.safe_dump(document).encode()
        return self.origin + path


@pytest.fixture(scope="module")
async def shop(anyio_backend: str) -> AsyncIterator[Shop]:
    shop = Shop()
    async with upstream(shop.handle) as found:
        shop.origin = found.origin
        yield shop


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with running_server(tmp_path_factory.mktemp("imports"), imports_document_limit=1_000_000, imports_versions=3) as served:
        yield served


async def test_a_description_is_fetched_and_becomes_a_partner_of_the_account(house: Served, shop: Shop):
    found = await import_finished(house, "pets", url=shop.describe())

    assert (found["status"], found["version"], found["published"], found["whole"], found["reason"]) == ("done", 1, True, True, None)
    assert found["source"] == f"{shop.origin}/openapi.yaml"
    assert found["progress"] == {"step": "end", "done": 3, "total": 3}
    _status, _headers, own = await house.call("GET", "/partners/own")
    assert [(one["slug"], one["state"], one["version"], one["title"]) for one in own["data"]] == [("pets", "live", 1, "Pets")]
    _status, _headers, versions = await house.call("GET", f"/partners/{found['partnerId']}/versions")
    (version,) = versions["data"]
    assert (version["state"], version["counts"]["actions"], version["apiVersion"], version["breaks"]) == ("live", 3, "1.2", 0)
    assert version["madeBy"].startswith("user/")
    _status, _headers, report = await house.call("GET", found["reportUrl"].removeprefix(house.origin))
    assert report["data"]["report"]["leftOut"] == []
    assert "operations" not in report["data"]["report"]
    assert report["data"]["text"][0] == "Pets 1.2: 3 operations described, 3 actions, 1 trigger, 1 list."


def with_schemas(**schemas: Any) -> dict[str, Any]:
    """The pet shop with other schemas."""
    document = pets(servers=[{"url": "https://pets.example/v1"}])
    document["components"] = document["components"] | {"schemas": schemas}
    return document


async def test_an_import_tells_step_by_step_how_far_it_is_to_programs_and_people(house: Served, shop: Shop):
    owner = Browsing(served=house)
    assert (await owner.sign_in()).status == 303
    document = pets(servers=[{"url": f"{shop.origin}/v1"}])
    document["paths"]["/pets"]["post"]["requestBody"]["content"]["application/json"]["schema"] = {"$ref": "late.yaml#/Pet"}
    shop.files |= {
        "/steps/api.yaml": yaml.safe_dump(document).encode(),
        "/steps/late.yaml": b"Pet: {type: object, properties: {name: {type: string}}}",
    }
    shop.held |= {path: asyncio.Event() for path in shop.files if path.startswith("/steps/")}
    made = (await house.call("POST", "/partners/import", {"slug": "steps", "url": f"{shop.origin}/steps/api.yaml"}))[2]["data"]

    async def seen(step: str, done: int, total: int) -> str:
        """The console's page once the API says that the import is so far."""
        async with asyncio.timeout(60):
            while True:
                told = (await house.fetch("GET", f"/partners/imports/{made['importId']}")).json["data"]["progress"]
                if told == {"step": step, "done": done, "total": total}:
                    return text_of(await owner.get(f"/console/settings/partners/imports/{made['importId']}"))
                await asyncio.sleep(0.05)

    assert "Fetching the description" in await seen("fetch", 0, 0)
    shop.held["/steps/api.yaml"].set()
    assert "Reading operations: 1 of 3" in await seen("read", 1, 3)
    shop.held["/steps/late.yaml"].set()
    assert (await import_settled(house, made["importId"]))["progress"] == {"step": "end", "done": 3, "total": 3}


async def test_a_description_is_uploaded_with_its_files_and_an_overlay_and_the_same_again_is_no_new_version(house: Served):
    document = with_schemas(Pet={"$ref": "models/pet.yaml#/Pet"})
    given = {
        "document": json.dumps(document),
        "overlay": {"overlay": "1.0.0", "x-polyport": {"operations": {"DELETE /pets/{pet_id}": {"skip": True}}}},
        "files": {"models/pet.yaml": "Pet: {type: object, properties: {name: {type: string}}}"},
    }
    found = await import_finished(house, "uploaded", **given)

    assert (found["status"], found["whole"], found["source"]) == ("done", True, "")
    _status, _headers, version = await house.call("GET", f"/partners/{found['partnerId']}/versions/1")
    assert version["data"]["counts"]["actions"] == 2
    again = await import_finished(house, "uploaded", **given)
    assert (again["status"], again["unchanged"], again["version"], again["partnerId"]) == ("done", True, 1, found["partnerId"])


async def test_where_the_api_is_is_asked_where_a_description_names_another_host_than_its_own(house: Served, shop: Shop):
    url = shop.describe("/elsewhere.yaml", servers=[{"url": "https://evil.example/v1", "description": "<b>Production</b>"}])
    found = await import_finished(house, "elsewhere", url=url)

    host = shop.origin.removeprefix("http://")
    assert (found["status"], found["progress"]["step"], found["partnerId"], found["version"]) == ("needs_answer", "answer", None, None)
    (question,) = found["questions"]
    assert question["id"] == "base"
    assert question["text"] == f"The description was fetched from {host} and says that the API is at evil.example. Where is it?"
    assert question["choices"] == [
        {"value": "https://evil.example/v1", "label": "Production"},
        {"value": f"{shop.origin}/v1", "label": "Where the description was fetched from"},
    ]
    _status, _headers, own = await house.call("GET", "/partners/own")
    assert "elsewhere" not in [partner["slug"] for partner in own["data"]]

    shop.files["/elsewhere.yaml"] = b"changed meanwhile: what was read is what is answered about"
    status, _headers, told = await house.call(
        "POST", f"/partners/imports/{found['importId']}/answer", {"answers": {"base": f"{shop.origin}/v1"}}
    )
    assert (status, told["data"]["status"]) == (202, "queued")
    done = await import_settled(house, found["importId"])
    assert (done["status"], done["version"]) == ("done", 1)
    _status, _headers, report = await house.call("GET", f"/partners/{done['partnerId']}/versions/1/report")
    assert report["data"]["report"]["hosts"] == [host]

    shop.describe("/elsewhere.yaml", servers=[{"url": "https://evil.example/v1"}], info={"title": "Pets", "version": "2"})
    later = await import_finished(house, "elsewhere", url=url)  # the same question was answered: it is not asked again
    assert (later["status"], later["version"]) == ("done", 2)
    shop.describe("/elsewhere.yaml", servers=[{"url": "https://worse.example/v1"}])
    asked = await import_finished(house, "elsewhere", url=url)
    assert asked["status"] == "needs_answer"
    assert (await house.fetch("DELETE", f"/partners/imports/{asked['importId']}")).json["data"]["status"] == "cancelled"


async def test_several_servers_and_other_hosts_are_asked_about_together(house: Served, shop: Shop):
    document = pets(servers=[{"url": f"{shop.origin}/v1"}, {"url": f"{shop.origin}/test"}])
    document["paths"]["/upload"] = {"servers": [{"url": "https://uploads.example"}], "post": {"responses": {}}}
    shop.files["/several.yaml"] = yaml.safe_dump(document).encode()
    found = await import_finished(house, "several", url=f"{shop.origin}/several.yaml")
    path = f"/partners/imports/{found['importId']}/answer"

    assert [question["id"] for question in found["questions"]] == ["base", "hosts"]
    wrong = [
        ({}, {"answers.base", "answers.hosts"}),
        ({"base": "ftp://x", "hosts": ["evil.example"]}, {"answers.base", "answers.hosts[0]"}),
        ({"base": "https://u:p@x/", "hosts": [], "more": 1}, {"answers.more"}),
        ({"base": f"{shop.origin}/test?x=1", "hosts": []}, {"answers.base"}),
    ]
    for given, faults in wrong:
        status, _headers, told = await house.call("POST", path, {"answers": given})
        assert (status, {fault["path"] for fault in told["error"]["fields"]}) == (422, faults)
    assert (await house.fetch("POST", path, {"answers": {"base": f"{shop.origin}/test", "hosts": []}})).status == 202
    done = await import_settled(house, found["importId"])
    assert (done["status"], done["whole"]) == ("done", False)
    _status, _headers, report = await house.call("GET", f"/partners/{done['partnerId']}/versions/1/report")
    assert "POST /upload at #/paths/~1upload/post: It goes to uploads.example, which may not be called." in "\n".join(
        report["data"]["text"]
    )
    again = await house.fetch("POST", path, {"answers": {"base": f"{shop.origin}/test", "hosts": []}})
    assert (again.status, again.json["error"]["message"]) == (409, "This import asks nothing: it is done.")


def bomb() -> str:
    lines = ['a0: &a0 ["x", "x"]'] + [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 12)]
    return "\n".join([*lines, "openapi: 3.0.0", "paths: {}"])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (bomb(), "describes no operations"),
        ("{" * 100_000, "nests too deep"),
        ({"openapi": "3.0.0", "paths": {"/x": {"get": {"$ref": "file:///etc/passwd"}}}}, "leads out of the document's folder"),
    ],
)
async def test_a_hostile_description_is_refused_with_a_reason(house: Served, document: Any, words: str):
    found = await import_finished(house, "hostile", document=document)

    assert (found["status"], found["partnerId"]) == ("refused", None)
    assert re.search(words, found["reason"]), found["reason"]


async def test_what_cannot_be_fetched_is_refused_with_a_reason(house: Served, shop: Shop):
    shop.files["/large.yaml"] = b"x" * 1_000_001
    shop.files["/away"] = (302, {"Location": "http://169.254.169.254/latest/meta-data"})
    shop.files["/loop"] = (302, {"Location": "/loop"})
    for path, words in (
        ("/none.yaml?key=secret", "none.yaml answers with status 404"),
        ("/large.yaml", "larger|more than"),
        ("/away", "169.254.169.254"),
        ("/loop", "redirects more than"),
    ):
        found = await import_finished(house, "unreachable", url=shop.origin + path)
        assert found["status"] == "refused", found
        assert re.search(words, found["reason"]), found["reason"]
        assert "secret" not in json.dumps(found)


async def test_files_beside_a_fetched_description_come_from_its_own_folder_and_host_alone(house: Served, shop: Shop):
    shop.files["/docs/pet.yaml"] = b"Pet: {type: object, properties: {name: {type: string}}}"
    shop.files["/secret.yaml"] = b"Pet: {type: object, properties: {secret: {type: string}}}"
    schemas = {
        "Pet": {"$ref": "pet.yaml#/Pet"},
        "Up": {"$ref": "../secret.yaml#/Pet"},
        "Meta": {"$ref": "http://169.254.169.254/x.yaml#/y"},
    }
    document = with_schemas(**schemas) | {"servers": [{"url": f"{shop.origin}/v1"}]}
    for name in ("Up", "Meta"):
        document["paths"][f"/{name}"] = {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}},
                "responses": {},
            }
        }
    shop.files["/docs/api.yaml"] = yaml.safe_dump(document).encode()
    shop.asked.clear()
    found = await import_finished(house, "beside", url=f"{shop.origin}/docs/api.yaml")

    assert (found["status"], found["whole"]) == ("done", False)
    assert {asked.target for asked in shop.asked} == {"/docs/api.yaml", "/docs/pet.yaml"}


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {"slug": "required", "url": "required"}),
        ({"slug": "Pets", "url": "https://x/"}, {"slug": "string_pattern_mismatch"}),
        ({"slug": "a/../b", "document": ""}, {"slug": "string_pattern_mismatch"}),
        ({"slug": "pets", "url": "https://x/", "document": ""}, {"document": "required"}),
        ({"slug": "pets", "url": "file:///etc/passwd"}, {"url": "wrong_format"}),
        ({"slug": "pets", "url": "https://user:password@x/"}, {"url": "wrong_format"}),
        ({"slug": "pets", "document": "", "files": {"../x": ""}}, {"files.../x": "wrong_format"}),
        ({"slug": "pets", "document": "", "files": {"/etc/x": ""}}, {"files./etc/x": "wrong_format"}),
        ({"slug": "pets", "url": "https://x/", "files": {"x": ""}}, {"files": "not_allowed"}),
        ({"slug": "pets", "document": "", "baseUrl": "https://{x}.example"}, {"baseUrl": "wrong_format"}),
        ({"slug": "pets", "document": "", "accept": "all", "more": 1}, {"accept": "literal_error", "more": "unknown_field"}),
        ({"slug": "hubspot", "document": ""}, {"slug": "taken"}),
    ],
)
async def test_every_fault_of_an_import_is_told(house: Served, body: dict[str, Any], faults: dict[str, str]):
    status, _headers, told = await house.call("POST", "/partners/import", body)

    found = {fault["path"]: fault["code"] for fault in told["error"]["fields"]}
    assert status == 422
    assert found.items() <= faults.items()
    assert found


async def test_limits_of_an_import_are_told(house: Served):
    large = await house.fetch("POST", "/partners/import", {"slug": "large", "document": "x" * 1_000_001})
    private = await house.fetch("POST", "/partners/import", {"slug": "private", "url": "http://169.254.169.254/latest"})

    assert (large.status, large.json["error"]["code"]) == (413, "payload_too_large")
    assert (private.status, private.json["error"]["code"]) == (403, "blocked_address")


async def test_one_import_of_a_slug_is_under_way_and_can_be_cancelled(house: Served, shop: Shop):
    found = await import_finished(house, "twice", url=shop.describe("/twice.yaml", servers=[{"url": "https://a.example"}]))
    second = await house.fetch("POST", "/partners/import", {"slug": "twice", "document": pets()})
    assert (second.status, second.json["error"]["message"]) == (
        409,
        'An import of "twice" is under way: wait for it, answer it, or cancel it.',
    )
    cancelled = await house.fetch("DELETE", f"/partners/imports/{found['importId']}")
    again = await house.fetch("DELETE", f"/partners/imports/{found['importId']}")
    assert (cancelled.status, again.status, again.json["error"]["message"]) == (200, 409, "This import has ended: it is cancelled.")
    _status, _headers, listed = await house.call("GET", "/partners/imports?filter[slug]=twice&filter[status]=cancelled")
    assert [one["importId"] for one in listed["data"]] == [found["importId"]]
    assert (await house.fetch("GET", "/partners/imports?filter[status]=gone")).status == 422


async def test_an_overlay_cannot_make_a_partner_another_partner(house: Served):
    for ours in ({"partner": {"id": 225}}, {"operations": {"create_pet": {"id": 10025156}}}):
        found = await import_finished(house, "thief", document=pets(), overlay={"overlay": "1.0.0", "x-polyport": ours})
        assert (found["status"], found["reason"]) == ("refused", "An overlay cannot change the ids and the slug of a partner of your own.")


def without_tags() -> dict[str, Any]:
    document = pets()
    del document["components"]["schemas"]["Pet"]["properties"]["tags"]
    return document


async def test_a_version_that_breaks_its_users_stays_a_draft_until_it_is_asked_for(house: Served):
    first = await import_finished(house, "drift", document=pets())
    second = await import_finished(house, "drift", document=without_tags())
    path = f"/partners/{first['partnerId']}/versions"

    assert (second["status"], second["version"], second["published"]) == ("done", 2, False)
    assert second["changes"]["breaks"] > 0
    assert "it is a draft" in second["reason"]
    _status, _headers, changes = await house.call("GET", f"{path}/2/changes")
    assert {"kind": "breaks", "operation": "POST /pets", "what": 'the input "tags" is gone'} in changes["data"]
    refused = await house.fetch("POST", f"{path}/2/publish", {})
    assert refused.status == 409
    assert 'POST /pets: the input "tags" is gone' in refused.json["error"]["message"]
    status, _headers, told = await house.call("POST", f"{path}/2/publish", {"accept": "breaking"})
    assert (status, told["data"]["version"]) == (200, 2)
    _status, _headers, listed = await house.call("GET", path)
    assert [(one["version"], one["state"]) for one in listed["data"]] == [(2, "live"), (1, "superseded")]

    back = await house.fetch("POST", f"{path}/1/publish")
    assert (back.status, back.json["data"]["version"]) == (200, 1)
    at_once = await import_finished(
        house, "drift", document=without_tags() | {"info": {"title": "Pets", "version": "9"}}, accept="breaking"
    )
    assert (at_once["version"], at_once["published"]) == (3, True)


async def test_an_address_that_changes_breaks_users_too(house: Served):
    await import_finished(house, "moved", document=pets())
    second = await import_finished(house, "moved", document=pets(servers=[{"url": "https://elsewhere.example"}]))

    assert second["published"] is False
    _status, _headers, changes = await house.call("GET", f"/partners/{second['partnerId']}/versions/2/changes")
    assert "calls go to https://elsewhere.example, they went to" in changes["data"][0]["what"]


async def test_of_many_versions_the_oldest_go_and_never_the_one_that_serves(house: Served):
    first = await import_finished(house, "many", document=pets())
    for number in range(2, 6):
        made = await import_finished(house, "many", document=pets(info={"title": "Pets", "version": str(number)}), publish=False)
        assert (made["version"], made["published"], made["reason"]) == (number, False, None)
    _status, _headers, listed = await house.call("GET", f"/partners/{first['partnerId']}/versions")

    assert [(one["version"], one["state"]) for one in listed["data"]] == [(5, "draft"), (4, "draft"), (1, "live")]


async def test_a_partner_is_deprecated_with_a_sentence_and_a_day(house: Served):
    found = await import_finished(house, "old", document=pets())
    path = f"/partners/{found['partnerId']}/deprecation"

    assert (await house.fetch("PUT", path, {"message": "", "on": "soon"})).status == 422
    status, _headers, told = await house.call("PUT", path, {"message": "Use Pets 2.", "on": "2027-01-01"})
    assert (status, told["data"]["state"]) == (200, "deprecated")
    assert told["data"]["deprecation"] == {"message": "Use Pets 2.", "on": "2027-01-01"}
    _status, _headers, told = await house.call("DELETE", path)
    assert (told["data"]["state"], told["data"]["deprecation"]) == ("live", None)


async def test_a_removed_partner_is_gone_and_comes_back_under_its_id(house: Served):
    found = await import_finished(house, "gone", document=pets())
    path = f"/partners/{found['partnerId']}"

    assert (await house.fetch("DELETE", path)).status == 200
    for method, tail in (("DELETE", ""), ("GET", "/versions"), ("GET", "/versions/1/report"), ("PUT", "/deprecation")):
        assert (await house.fetch(method, path + tail)).json["error"]["message"] == "There is no partner with this id."
    back = await import_finished(house, "gone", document=pets())
    assert (back["partnerId"], back["version"], back["published"]) == (found["partnerId"], 2, True)


async def test_two_accounts_may_use_the_same_slug(house: Served):
    other = await house.second_account()
    mine = await import_finished(house, "shared", document=pets())
    theirs = await import_finished(house, "shared", document=pets(), token=other)

    assert mine["partnerId"] != theirs["partnerId"]
    assert (theirs["status"], theirs["version"]) == ("done", 1)
    _status, _headers, listed = await house.call("GET", "/partners/own", token=other)
    assert [partner["partnerId"] for partner in listed["data"]] == [theirs["partnerId"]]


@dataclass(slots=True)
class Pets:
    """A pet shop that was imported: how to call it."""

    served: Served
    shop: Shop
    partner_id: int
    operations: dict[str, int]
    connection: int

    async def run(self, operation: str, /, mode: str = "sync", **runner: Any) -> tuple[int, Any]:
        body = {"credentialData": {"0": {"value": self.connection}}, "runnerData": runner}
        status, _headers, told = await self.served.call("POST", f"/partners/trigger-actions/{self.operations[operation]}/run/{mode}", body)
        return status, told

    async def waiting(self, operation: str, /, **runner: Any) -> str:
        """A run that is accepted now and starts when its time has come; its id."""
        body = {"credentialData": {"0": {"value": self.connection}}, "runnerData": runner, "notBefore": int(time.time()) + 86_400 * 300}
        status, _headers, told = await self.served.call("POST", f"/partners/trigger-actions/{self.operations[operation]}/run/async", body)
        assert status == 202, told
        return str(told["data"]["runId"])


async def operations_of(served: Served, partner_id: int, *, token: str | None = "") -> dict[str, int]:
    _status, _headers, listed = await served.call(
        "GET", f"/partners/trigger-actions/info?per-page=100&filter[partnerId]={partner_id}", token=token
    )
    return {item["name"]: item["triggerActionId"] for item in listed["data"]}


async def opened(served: Served, shop: Shop, slug: str, **body: Any) -> Pets:
    """A pet shop of the account's own, with a connection; its API is the shop."""
    document = pets(servers=[{"url": f"{shop.origin}/v1"}])
    found = await import_finished(served, slug, document=document, **body)
    assert found["published"], found
    partner_id = found["partnerId"]
    connection = await served.connect(partner_id, {"key": "secret key"})
    return Pets(served, shop, partner_id, await operations_of(served, partner_id), connection)


async def test_an_imported_partner_is_run_like_any_other(house: Served, shop: Shop):
    mine = await opened(house, shop, "run")
    shop.files["/v1/pets"] = b'{"id": 7, "name": "Rex", "kind": "dog"}'
    shop.asked.clear()
    status, told = await mine.run("create_pet", name="Rex", kind="dog")

    assert (status, told["data"]["result"]["name"]) == (200, "Rex")
    (asked,) = shop.asked
    assert (asked.method, asked.target, asked.headers["x-key"]) == ("POST", "/v1/pets", "secret key")
    _status, _headers, run = await house.call("GET", f"/runs/{told['data']['runId']}")
    assert run["data"]["partnerVersion"] == 1
    wrong, told = await mine.run("create_pet", name="R", kind="bird")
    assert (wrong, {fault["path"] for fault in told["error"]["fields"]}) == (422, {"runnerData.name", "runnerData.kind"})
    _status, _headers, item = await house.call("GET", f"/partners/{mine.partner_id}")
    assert (item["data"]["slug"], item["data"]["verified"]["how"], item["data"]["deprecated"]) == ("run", "imported", False)
    assert item["data"]["logo"]["original"].startswith("data:image/svg+xml;base64,")
    assert mine.partner_id > 2_000_000_000
    assert all(number >= 2**50 for number in mine.operations.values())


async def test_another_account_finds_nothing_of_a_partner_that_is_not_its_own(house: Served, shop: Shop):
    mine = await opened(house, shop, "mine-alone")
    other = await house.second_account()
    operation, never = mine.operations["create_pet"], 2**50 + 1
    body = {"credentialData": {"0": {"value": mine.connection}}, "runnerData": {}}
    calls: list[tuple[str, str, str, Any]] = [
        ("GET", "/partners/{}", "partner", None),
        ("GET", "/partners/{}/credential-fields", "partner", None),
        ("GET", "/partners/{}/logo.svg", "partner", None),
        ("GET", "/oauth-apps/{}", "partner", None),
        ("GET", "/partners/trigger-actions/{}", "operation", None),
        ("GET", "/partners/trigger-actions/{}/schema", "operation", None),
        ("POST", "/partners/trigger-actions/{}/run/info", "operation", body),
        ("POST", "/partners/trigger-actions/{}/run/sync", "operation", body),
        ("POST", "/partners/trigger-actions/{}/run/async", "operation", body),
    ]
    for method, path, kind, sent in calls:
        foreign = await house.fetch(method, path.format(mine.partner_id if kind == "partner" else operation), sent, token=other)
        unknown = await house.fetch(method, path.format(2_100_000_000 if kind == "partner" else never), sent, token=other)
        assert (foreign.status, unknown.status) == (404, 404), path
        assert foreign.json["error"] | {"requestId": ""} == unknown.json["error"] | {"requestId": ""}, path
    for path, more in (("/credentials", {"fields": {"key": "k"}}), ("/credentials/grant-access-sharing", {})):
        foreign, unknown = [
            await house.fetch("POST", path, {"partnerId": number, "title": "x", **more}, token=other)
            for number in (mine.partner_id, 2_100_000_000)
        ]
        assert foreign.status == unknown.status >= 400
        assert foreign.json["error"] | {"requestId": ""} == unknown.json["error"] | {"requestId": ""}
    for path in ("/partners/info?filter[slug]=mine-alone", f"/partners/trigger-actions/info?filter[partnerId]={mine.partner_id}"):
        assert (await house.fetch("GET", path, token=other)).json["data"] == []
        assert (await house.fetch("GET", path)).json["data"] != []


async def test_a_run_goes_on_with_the_version_that_it_was_accepted_with(house: Served, shop: Shop):
    mine = await opened(house, shop, "pinned")
    run_id = await mine.waiting("create_pet", name="Rex", kind="dog", tags=["good"])
    document = without_tags() | {"servers": [{"url": f"{shop.origin}/v2"}]}
    del document["paths"]["/pets/{pet_id}"]
    second = await import_finished(house, "pinned", document=document, accept="breaking")
    assert (second["version"], second["published"]) == (2, True)
    now = await operations_of(house, mine.partner_id)
    assert now["create_pet"] == mine.operations["create_pet"]

    status, told = await mine.run("delete_pet", pet_id=7)
    assert (status, told["error"]["message"]) == (
        404,
        '"delete_pet" was in version 1 of "pinned" and is not in version 2, which serves now.',
    )
    status, told = await mine.run("create_pet", name="Rex", kind="dog", tags=["good"])
    assert (status, told["error"]["fields"][0]["path"]) == (422, "runnerData.tags")
    shop.files["/v2/pets"] = shop.files["/v1/pets"] = b'{"name": "Rex"}'
    shop.asked.clear()
    status, told = await mine.run("create_pet", name="Rex", kind="dog")
    assert (status, [asked.target for asked in shop.asked]) == (200, ["/v2/pets"])
    _status, _headers, run = await house.call("GET", f"/runs/{told['data']['runId']}")
    assert run["data"]["partnerVersion"] == 2

    shop.asked.clear()
    run = await house.runtime.repo.runs.get(1, run_id)
    assert run is not None
    assert run.partner_version == 1
    (claimed,) = await house.runtime.queue.claim(house.runtime.owner, 1, run.due_at, lambda _lane: True)
    done = await house.services.engine.run_once(claimed)
    assert (done.run.status, done.run.partner_version) == ("succeeded", 1)
    assert [asked.target for asked in shop.asked] == ["/v1/pets"]
    assert json.loads(shop.asked[0].body)["tags"] == ["good"]


async def test_a_connection_whose_way_of_authorisation_is_gone_says_so(house: Served, shop: Shop):
    mine = await opened(house, shop, "other-auth")
    document = pets(servers=[{"url": f"{shop.origin}/v1"}], security=[{"user": []}])
    document["components"]["securitySchemes"] = {"user": {"type": "http", "scheme": "basic"}}
    second = await import_finished(house, "other-auth", document=document, accept="breaking")
    assert second["changes"]["breaks"] >= 1
    status, told = await mine.run("create_pet", name="Rex", kind="dog")

    assert (status, told["error"]["code"]) == (409, "connection_invalid")
    assert "has no more the way of authorisation" in told["error"]["message"]
    assert "reconnectUrl" in told["error"]


async def test_a_deprecated_partner_is_marked_with_all_its_operations(house: Served, shop: Shop):
    mine = await opened(house, shop, "marked")
    path = f"/partners/{mine.partner_id}"
    assert (await house.fetch("PUT", f"{path}/deprecation", {"message": 'Use "Pets 2": 😀\n<b>now</b>', "on": "2027-01-01"})).status == 200

    _status, _headers, item = await house.call("GET", path)
    assert (item["data"]["deprecated"], item["data"]["deprecation"]) == (
        True,
        {"message": 'Use "Pets 2": 😀 <b>now</b>', "on": "2027-01-01"},
    )
    _status, _headers, listed = await house.call("GET", f"/partners/trigger-actions/info?filter[partnerId]={mine.partner_id}")
    assert {one["deprecated"] for one in listed["data"]} == {True}
    shop.files["/v1/pets"] = b'{"name": "Rex"}'
    status, _told = await mine.run("create_pet", name="Rex", kind="dog")
    assert status == 200
    assert (await house.fetch("DELETE", f"{path}/deprecation")).status == 200
    assert (await house.fetch("GET", path)).json["data"]["deprecated"] is False


async def test_a_partner_is_removed_only_when_nothing_uses_it(house: Served, shop: Shop):
    mine = await opened(house, shop, "used")
    path = f"/partners/{mine.partner_id}"
    link = await house.fetch("POST", "/credentials/grant-access-sharing", {"partnerId": mine.partner_id, "title": "L"})
    run_id = await mine.waiting("create_pet", name="Rex", kind="dog")

    url = link.json["data"]["url"].removeprefix(house.origin)
    assert 'src="data:image/svg+xml;base64,' in (await house.fetch("GET", url, token=None)).content.decode()
    refused = await house.fetch("DELETE", path)
    assert (refused.status, refused.json["error"]["message"]) == (
        409,
        "Pets is in use: 1 connection, 1 open link, 1 run that has not ended. Delete these, or deprecate the partner and wait.",
    )
    assert (await house.fetch("DELETE", f"/credentials/grant-access-sharing/{link.json['data']['id']}")).status == 200
    assert (await house.fetch("POST", f"/runs/{run_id}/cancel")).status == 200
    assert (await house.fetch("DELETE", f"/credentials/{mine.connection}")).status == 200
    assert (await house.fetch("DELETE", path)).status == 200
    assert (await house.fetch("GET", path)).status == 404
    assert (await house.fetch("GET", f"/runs/{run_id}")).status == 200
