import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from e2e.served import Served, running_server
from polyport import __version__
from polyport.errors import BY_CODE, TABLE
from polyport.server.app import ENDPOINTS
from polyport.server.openapi import words
from polyport.store.base import StoreUnavailable

pytestmark = pytest.mark.anyio


async def description(served: Served) -> dict[str, Any]:
    status, _headers, found = await served.call("GET", "/openapi.json", token=None)
    assert status == 200
    return found


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_every_route_is_described_and_nothing_else(house: Served):
    described = {(method, path) for method, path, _operation in operations(await description(house))}

    assert described == {(endpoint.method, endpoint.shown_path) for endpoint in ENDPOINTS}


async def test_every_route_that_is_described_is_served(house: Served):
    for method, path, _operation in operations(await description(house)):
        found = await house.fetch(method, re.sub(r"\{\w+\}", "999999", path), token=None)
        assert found.status != 405, path
        assert found.status in {200, 401, 404, 413, 422}, path


async def test_the_description_is_whole(house: Served):
    found = await description(house)

    assert re.fullmatch(r"3\.1\.\d", found["openapi"])
    assert found["info"]["version"] == __version__
    assert found["servers"] == [{"url": house.origin}]
    assert set(found["components"]["securitySchemes"]) == {"bearer", "basic"}
    schemas = found["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in references(found)} <= set(schemas)
    names = [operation["operationId"] for _method, _path, operation in operations(found)]
    assert len(names) == len(set(names))


async def test_every_operation_is_described_in_full(house: Served):
    for method, path, operation in operations(await description(house)):
        named = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path)), path
        assert all(parameter["required"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path")
        assert operation["summary"]
        assert len(operation["tags"]) == 1
        assert any(status.startswith("2") for status in operation["responses"]), path
        assert all(response["description"] for response in operation["responses"].values())
        assert method != "GET" or "requestBody" not in operation


async def test_every_operation_parameter_and_field_has_its_words(house: Served):
    told = await description(house)
    named = [(f"{method} {path}", operation) for method, path, operation in operations(told)]
    wordless = [name for name, operation in named if len(operation.get("description", "")) < 20]
    wordless += [
        f"{name} {each['name']}" for name, operation in named for each in operation.get("parameters", ()) if not each["description"]
    ]
    wordless += [
        f"{model}.{name}"
        for model, schema in told["components"]["schemas"].items()
        if model != "Error"  # it has nothing but ``success`` and what is explained within it
        for name, field in schema.get("properties", {}).items()
        if not field.get("description")
    ]
    assert wordless == []


async def test_nothing_is_explained_that_there_is_not(house: Served):
    told = await description(house)
    schemas = told["components"]["schemas"]
    own = {f"{endpoint.method} {endpoint.shown_path}" for endpoint in ENDPOINTS if endpoint.description}
    there = {f"{endpoint.method} {endpoint.shown_path}" for endpoint in ENDPOINTS}
    named = {name for schema in schemas.values() for name in schema.get("properties", {})}
    full = {f"{model}.{name}" for model, schema in schemas.items() for name in schema.get("properties", {})}
    parameters = {
        (f"{endpoint.method} {endpoint.shown_path}", name)
        for endpoint in ENDPOINTS
        for name in re.findall(r"\{(\w+)\}", endpoint.shown_path)
    }
    assert set(words()["operations"]) - there == set()
    assert own & set(words()["operations"]) == set(), "it says that itself"
    assert set(words()["fields"]) - named - full == set()
    assert {each for each in words()["parameters"] if " " in each} - {f"{name} {each}" for name, each in parameters} == set()
    assert {each for each in words()["parameters"] if " " not in each} - {each for _name, each in parameters} == set()


def test_models_of_the_api_have_names_of_their_own():
    models = {
        model
        for endpoint in ENDPOINTS
        for model in (endpoint.body, endpoint.answer, *(model for _status, model in endpoint.also))
        if model is not None
    }
    names = [model.__name__ for model in models]
    assert [name for name in set(names) if names.count(name) > 1] == []


async def test_every_error_code_is_in_the_description_and_under_its_status(house: Served):
    found = await description(house)
    codes = found["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]
    assert set(codes) == set(BY_CODE)

    for _method, path, operation in operations(found):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                for code in re.findall(r"`(\w+)`:", response["description"]):
                    assert TABLE[BY_CODE[code]].status == int(status), path


async def test_what_needs_no_token_says_so(house: Served):
    for method, path, operation in operations(await description(house)):
        endpoint = next(endpoint for endpoint in ENDPOINTS if (endpoint.method, endpoint.shown_path) == (method, path))
        assert (operation.get("security") == []) is (endpoint.scope is None)
        assert operation.get("x-scope", "") == (endpoint.scope or "")


async def test_bodies_take_no_unknown_keys_and_hide_passwords(house: Served):
    schemas = (await description(house))["components"]["schemas"]
    bodies = {name: schema for name, schema in schemas.items() if name.endswith("Body")}

    assert len(bodies) >= 8
    assert all(schema["additionalProperties"] is False for schema in bodies.values())
    assert schemas["SignInBody"]["properties"]["password"]["writeOnly"] is True
    assert set(schemas["SignInBody"]["required"]) == {"email", "password"}
    assert "partnerId" in schemas["CreateBody"]["properties"]


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]


async def test_the_page_has_no_script_and_needs_no_other_host(house: Served):
    found = await house.fetch("GET", "/docs", token=None)
    page = Tags()
    page.feed(found.content.decode())

    assert found.headers["content-type"] == "text/html; charset=utf-8"
    assert "script" not in page.names
    assert not page.names & {"iframe", "object", "embed", "form", "base", "img"}
    assert not [name for name, _value in page.attributes if name.startswith("on") or name == "style"]
    assert all(value.startswith(("/", "#")) and not value.startswith("//") for name, value in page.attributes if name in {"href", "src"})
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert found.headers["x-content-type-options"] == "nosniff"


async def test_the_page_shows_every_route_and_its_links_lead_somewhere(house: Served):
    found = await house.fetch("GET", "/docs", token=None)
    page = Tags()
    page.feed(found.content.decode())
    anchors = [value.removeprefix("#") for name, value in page.attributes if name == "href" and value.startswith("#")]

    assert set(anchors) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert all(endpoint.shown_path in found.content.decode() for endpoint in ENDPOINTS)
    for path in {value for name, value in page.attributes if name == "href" and value.startswith("/")}:
        assert (await house.fetch("GET", path, token=None)).status == 200


async def test_a_style_sheet_is_served_as_one(house: Served):
    found = await house.fetch("GET", "/static/docs.css", token=None)

    assert (found.status, found.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert found.headers["x-content-type-options"] == "nosniff"
    assert b"http" not in found.content
    assert b"@import" not in found.content


@pytest.mark.parametrize("name", ["app.py", "..%2fapp.py", "%2e%2e/app.py", "docs.css%00", "DOCS.CSS", "docs.css/../../app.py"])
async def test_nothing_else_is_served_from_there(house: Served, name: str):
    assert (await house.fetch("GET", f"/static/{name}", token=None)).status in {200, 404}
    assert b"import" not in (await house.fetch("GET", f"/static/{name}", token=None)).content


async def test_the_process_and_its_store_tell_how_they_are(house: Served):
    health = await house.call("GET", "/healthz", token=None)
    ready = await house.call("GET", "/readyz", token=None)

    assert (health[0], health[2]["data"]) == (200, {"status": "ok", "version": __version__})
    assert ready[0] == 200
    assert ready[2]["data"]["checks"]["store"] == "ok"
    assert ready[2]["data"]["checks"]["partners"] >= 5


async def test_a_partner_that_is_left_out_is_told(tmp_path: Path):
    folder = tmp_path / "partners" / "broken"
    folder.mkdir(parents=True)
    (folder / "partner.yaml").write_text("id: nonsense\n", "utf-8")
    async with running_server(tmp_path, connectors=(tmp_path / "partners",)) as served:
        _status, _headers, found = await served.call("GET", "/readyz", token=None)
        partners = await served.call("GET", "/partners/info")

    assert any("broken" in line for line in found["data"]["checks"]["leftOut"])
    assert partners[2]["meta"]["totalItemsCount"] >= 5


async def test_metrics_count_requests_by_route_and_never_by_what_was_asked(house: Served):
    await house.fetch("GET", "/partners/225?secret=hunter2")
    await house.fetch("GET", "/partners/424242")
    found = await house.fetch("GET", "/metrics", token=None)
    text = found.content.decode()

    assert found.headers["content-type"].startswith("text/plain")
    assert f'polyport_info{{version="{__version__}"}} 1.0' in text
    assert re.search(r'polyport_http_requests_total\{method="GET",route="/partners/\{partnerId\}",status="200"\} [1-9]', text)
    assert re.search(r'polyport_http_requests_total\{method="GET",route="/partners/\{partnerId\}",status="404"\} [1-9]', text)
    assert "hunter2" not in text
    assert "424242" not in text


async def test_every_metric_is_explained_to_operators_and_nothing_is_explained_that_is_none(house: Served):
    told = (await house.fetch("GET", "/metrics", token=None)).content.decode()
    names = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "run-a-server.md").read_text("utf-8")
    explained = set(re.findall(r"`(polyport_\w+)`", page))
    assert {name for name in names if not name.endswith("_created")} == explained


async def test_metrics_leave_out_what_the_store_cannot_tell(house: Served, monkeypatch: pytest.MonkeyPatch):
    async def broken(*_asked: Any) -> None:  # a store that fails for this one statement alone
        raise StoreUnavailable("told to fail")

    monkeypatch.setattr(house.runtime.repo.database, "read", broken)
    told = (await house.fetch("GET", "/metrics", token=None)).content.decode()
    assert "polyport_http_requests_total" in told
    assert "polyport_events" not in told
    assert "polyport_runs" not in told
