"""The JSON Schemas for editors: they take every file of every bundled partner, and refuse what the loader refuses."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from polyport.cli.app import app
from polyport.cli.folders import bundled
from polyport.cli.schemas import SCHEMAS, schema_of
from polyport.manifest.source import read_source

VALIDATORS = {name: Draft202012Validator(schema_of(name)) for name in SCHEMAS}
FOLDERS = {"actions": "action", "triggers": "trigger", "lists": "list", "cases": "case"}


def kind_of(name):
    first, _, rest = name.partition("/")
    if not rest:
        return name.removesuffix(".yaml")
    return "connection" if name == "cases/connection.yaml" else FOLDERS[first]


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return float(value) if isinstance(value, Decimal) else value


def faults(kind, text):
    data = plain(read_source("a.yaml", text if isinstance(text, bytes) else text.encode()).data)
    return [error.message for error in VALIDATORS[kind].iter_errors(data)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name):
    Draft202012Validator.check_schema(schema_of(name))
    assert "``" not in json.dumps(schema_of(name))


@pytest.mark.no_cover  # it is the validator of others that is at work, three times as long while coverage is measured
@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in bundled()])
def test_every_file_of_a_bundled_partner_is_taken(folder):
    root = Path(str(folder))
    found = {
        path.relative_to(root).as_posix(): faults(kind_of(path.relative_to(root).as_posix()), path.read_bytes())
        for path in root.rglob("*.yaml")
    }
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("partner", "slug: a"),
        ("partner", "{id: 1, slug: a, title: A, owners: [a], verified: {how: cases, on: '2026-11-24'}, connection: {auth: [{name: a, label: A, scheme: {kind: magic}}]}}"),
        ("action", "{id: 1, name: a, title: A, idempotent: true, read_only: true}"),
        ("action", "{id: 1, name: a, title: A, idempotent: true, fields: [{name: a, type: text, label: A}]}"),
        ("action", "{id: 1, name: 1a, title: A, idempotent: true}"),
        ("action", "{id: 1, name: a, title: A, idempotent: true, call: {path: /x, timeout: 500}}"),
        ("action", "{id: 1, name: a, title: A, idempotent: true, result: {at: 5}}"),
        ("trigger", "{id: 1, name: a, title: A, pager: {kind: pages}}"),
        ("list", "{name: a, title: A, call: {path: /x}, search: far}"),
        ("case", "{result: {}}"),
        ("connection", "{fields: {}}"),
        ("simulator", "{routes: [{route: FETCH /x}]}"),
        ("quality", "ok-case: doen"),
        ("quality", "okcase: done"),
    ],
)  # fmt: skip
def test_what_the_loader_refuses_is_refused(kind, text):
    assert faults(kind, text)


def test_paths_are_taken_as_texts_and_as_lists():
    for at in ("data.id", "[data, id]", "'items[*].id'", "[items, 0]"):
        assert faults("action", f"{{id: 1, name: a, title: A, idempotent: true, result: {{at: {at}}}}}") == []


def test_the_command_writes_them_and_says_how_an_editor_uses_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["connector", "schema", "--out", "made/schemas"])
    assert done.exit_code == 0
    settings = json.loads(done.stdout)["yaml.schemas"]
    assert set(settings) == {f"./made/schemas/{name}.schema.json" for name in SCHEMAS}
    for path in settings:
        assert json.loads((tmp_path / path).read_text("utf-8"))["$schema"].endswith("2020-12/schema")


def test_the_rules_are_offered_with_what_they_ask():
    told = schema_of("quality")["properties"]["pager-case"]
    assert told["description"].startswith("silver: Where there are pages")
    assert {"const": "done"} in told["anyOf"] or any("done" in each.get("enum", ()) for each in told["anyOf"])
