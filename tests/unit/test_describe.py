"""The field schema of an operation for one connection: what appears once choices are made."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engines import Bench, listed, open_bench
from polyport.engine.describe import describe, options, resolve
from polyport.engine.schema import custom_name
from polyport.net.message import Reply, Request
from samples import action, field, list_spec, partner

pytestmark = pytest.mark.anyio

SIZE, COLOR = custom_name("c1"), custom_name("c2")
COLUMNS = {"key": "id", "label": "name", "options": "choices"}
SHEETS = partner(
    action(
        id=1,
        name="add_rows",
        selectors=[field("table", list="tables", required=True)],
        fields=[
            field("mode", options=[{"key": "add", "label": "Add"}, {"key": "replace", "label": "Replace"}]),
            field("match", when={"at": "mode", "equals": "replace"}),
        ],
        sections=[{"name": "rows", "label": "Rows", "customFields": {"list": "columns"}}],
        call={"method": "POST", "path": "/tables/{{table}}/rows", "body": {"rows": "{{rows}}"}},
    ),
    lists={
        "tables": list_spec("tables"),
        "columns": list_spec("columns", call={"path": "/tables/{{table}}/columns"}, dependsOn=["table"], customFields=COLUMNS),
    },
    connection={
        "auth": [
            {
                "name": "key",
                "label": "Key",
                "fields": [field("key", secret=True)],
                "scheme": {"kind": "bearer", "token": "{{connection.key}}"},
            }
        ]
    },
)


def answer(request: Request) -> Reply:
    if request.url.endswith("/tables/t1/columns"):
        return listed(
            {"id": "c1", "name": "Size"},
            {"id": "c2", "name": "Color", "choices": [{"id": "r", "label": "Red"}, {"id": "b", "label": "Blue"}]},
        )
    return listed({"id": "t1", "name": "Things"})


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path, served=SHEETS) as opened:
        opened.line.answer = answer
        yield opened


async def shown(bench: Bench, selected: dict[str, Any], data: Any = None) -> dict[str, Any]:
    return describe(await resolve(bench.desk, bench.account, 1, {"0": bench.connection, **selected}, data))


def names(variables: list[dict[str, Any]]) -> list[str]:
    return [variable["name"] for variable in variables]


async def test_the_columns_of_a_table_appear_once_it_is_chosen(bench: Bench) -> None:
    before = await shown(bench, {})
    assert names(before["rowSections"][0]["variables"]) == []
    for chosen in ("t1", "Things"):
        after = await shown(bench, {"1": {"value": chosen}})
        assert names(after["rowSections"][0]["variables"]) == [SIZE, COLOR]
        assert after["credentialData"][1]["value"] == chosen


async def test_a_variant_disappears_once_the_choice_rules_it_out(bench: Bench) -> None:
    assert names((await shown(bench, {}))["variables"]) == ["mode", "match"]
    assert names((await shown(bench, {}, {"mode": "Add"}))["variables"]) == ["mode"]
    replaced = await shown(bench, {}, {"mode": "replace"})
    assert replaced["variables"][1]["showWhen"] == {"name": "mode", "in": ["replace"]}


async def test_the_choices_of_a_column_are_searched_like_others(bench: Bench) -> None:
    for name in (COLOR, f"rows.{COLOR}"):
        found = await options(
            bench.desk, bench.account, 1, field=name, query="bl", credential_data={"0": bench.connection, "1": "t1"}, runner_data=None
        )
        assert found == [{"key": "b", "label": "Blue"}]
