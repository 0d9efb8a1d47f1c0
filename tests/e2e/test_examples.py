"""The examples of the API description are what a server is called with and answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from e2e.examples import FILE, collect
from e2e.served import Served
from polyport.server.app import ENDPOINTS

pytestmark = pytest.mark.anyio

WRITTEN: Final = json.loads(FILE.read_text("utf-8"))
# Keyed by what there happens to be.
BY_CHANCE: Final = frozenset({"totals", "standing", "connections", "runs", "counts", "changes"})
# Operations with a body whose example would need what a server does not have, or say nothing.
WITHOUT: Final = frozenset(
    {"POST /runs/{runId}/case", "POST /partners/imports/{importId}/answer", "POST /partners/{partnerId}/versions/{number}/publish"}
)


def differences(one: Any, other: Any, place: str) -> Iterator[str]:
    """Where two answers are not alike: in the names that they have, or in the kinds of their values."""
    if isinstance(one, dict) and isinstance(other, dict):
        if place.rpartition(".")[2] not in BY_CHANCE:
            yield from (f"{place}.{name}" for name in one.keys() ^ other.keys())
        for name in one.keys() & other.keys():
            yield from differences(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list):
        if one and other:
            yield from differences(one[0], other[0], f"{place}[]")
    elif one is not None and other is not None and type(one) is not type(other):
        yield place


async def test_a_server_answers_as_the_examples_say(server: Served):
    now = await collect(server)
    assert now.keys() == WRITTEN.keys(), "run: make docs"
    found = [each for name in now for each in differences(now[name], WRITTEN[name], name)]
    assert found == [], "run: make docs"


async def test_examples_fit_their_schemas(house: Served):
    _status, _headers, told = await house.call("GET", "/openapi.json", token=None)
    seen = 0
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            contents = [
                operation.get("requestBody", {}),
                *(each for status, each in operation["responses"].items() if status.startswith("2")),
            ]
            for content in (each.get("content", {}).get("application/json", {}) for each in contents):
                if "example" in content:
                    seen += 1
                    schema = content["schema"] | {"components": told["components"]}
                    faults = [fault.message for fault in Draft202012Validator(schema).iter_errors(content["example"])]
                    assert faults == [], (method, path)
    assert seen > 90


def test_every_body_that_says_something_has_an_example():
    missing = {
        f"{endpoint.method} {endpoint.shown_path}"
        for endpoint in ENDPOINTS
        if endpoint.body is not None
        and endpoint.body.model_fields
        and "body" not in WRITTEN.get(f"{endpoint.method} {endpoint.shown_path}", {})
    }
    assert missing - WITHOUT == set()


def test_no_example_holds_a_secret_or_an_address_of_a_test():
    text = FILE.read_text("utf-8")
    assert "127.0.0.1:" not in text
    assert not any(
        f"{kind}_{letter}" in text for kind in ("pps", "ppr", "ppl", "ppu", "whsec") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"
    )
