"""Where calls go is asked of who imports a description, where it is not plain; it is never assumed."""

from __future__ import annotations

from typing import Any

import pytest

from petshop import built, pets
from polyport.importers.questions import Asking


def at(origin: str | None, *urls: str, **wanted: object) -> Any:
    document = pets(servers=[{"url": url} for url in urls])
    return built(document, origin=origin, asks=True, **wanted)


@pytest.mark.parametrize(
    ("origin", "urls", "asked"),
    [
        (None, ["https://api.pets.example/v1"], None),
        ("https://api.pets.example/openapi.yaml", ["https://api.pets.example/v1"], None),
        ("https://api.pets.example/openapi.yaml", ["/v1"], None),
        ("https://API.pets.example/openapi.yaml", [], None),
        (None, ["https://a.example", "https://b.example"], ["https://a.example", "https://b.example"]),
        ("https://docs.example/x.yaml", ["https://evil.example/v1"], ["https://evil.example/v1", "https://docs.example/v1"]),
        (
            "https://api.example/x.yaml",
            ["https://api.example/v1", "https://evil.example"],
            ["https://api.example/v1", "https://evil.example"],
        ),
        ("https://api.example/x.yaml", ["https://{where}.example/v1"], ["https://{where}.example/v1", "https://api.example/v1"]),
    ],
)
def test_where_the_api_stands_is_asked_unless_it_is_plain(origin: str | None, urls: list[str], asked: list[str] | None) -> None:
    if asked is None:
        at(origin, *urls)
        return
    with pytest.raises(Asking) as told:
        at(origin, *urls)
    (question,) = told.value.questions
    assert (question.id, [choice.value for choice in question.choices]) == ("base", asked)
    assert at(origin, *urls, base=asked[-1]).partner["base"] == asked[-1]


def test_a_server_with_parts_that_vary_can_be_chosen() -> None:
    found = at(
        "https://docs.example/x.yaml", "https://{where}.pets.example/v1", "https://pets.example", base="https://{where}.pets.example/v1"
    )
    assert found.partner["base"] == "https://{{connection.where}}.pets.example/v1"
    assert [field["name"] for field in found.partner["connection"]["fields"]] == ["where"]


def test_hosts_that_calls_and_sign_ins_go_to_are_asked_about_where_a_document_was_fetched() -> None:
    document = pets(servers=[{"url": "https://api.example/v1"}])
    document["paths"]["/upload"] = {"servers": [{"url": "https://uploads.example"}], "post": {"responses": {}}}
    flow = {"authorizationUrl": "https://login.example/a", "tokenUrl": "https://login.example/t", "scopes": {}}
    document["components"]["securitySchemes"]["oauth"] = {"type": "oauth2", "flows": {"authorizationCode": flow}}
    origin = "https://api.example/openapi.json"
    with pytest.raises(Asking) as told:
        built(document, origin=origin, asks=True)
    assert [[choice.value for choice in question.choices] for question in told.value.questions] == [["login.example", "uploads.example"]]
    assert "--host: login.example, uploads.example" in str(told.value.as_refusal())

    some = built(document, origin=origin, asks=True, hosts=("login.example",))
    none = built(document, origin=origin, asks=True, hosts=())
    trusted = built(document)
    assert {"create_upload"} == set(trusted.actions) - set(some.actions)
    assert [choice["name"] for choice in some.partner["connection"]["auth"]] == ["key", "oauth"]
    assert [choice["name"] for choice in none.partner["connection"]["auth"]] == ["key"]
    assert {(left.what, left.why) for left in none.left} == {
        ("POST /upload", "It goes to uploads.example, which may not be called."),
        ("oauth", "It goes to login.example, which may not be called."),
    }
