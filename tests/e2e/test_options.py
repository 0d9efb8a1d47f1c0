"""The schema of an operation for a connection, and single lists of it, searched."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.depot import CREATE, HOOK, SHELVE, Bay, open_bay, open_depot
from e2e.served import answer

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def shared(anyio_backend, tmp_path_factory):
    async with open_depot() as depot, open_bay(tmp_path_factory.mktemp("bay"), depot) as found:
        yield found


@pytest.fixture
async def bay(shared):
    return await shared.afresh()


async def _options(bay: Bay, operation: int, field: str, query: str | None = None, **more: Any) -> Any:
    given = {"0": {"value": bay.connection}, **more.pop("selectors", {})}
    body = {"credentialData": given, "field": field, **({"query": query} if query is not None else {}), **more}
    return await bay.served.fetch("POST", f"/partners/trigger-actions/{operation}/options", body)


async def _labels(bay: Bay, operation: int, field: str, query: str | None = None, **more: Any) -> list[str]:
    told = await _options(bay, operation, field, query, **more)
    assert told.status == 200, told.json
    return [choice["label"] for choice in told.json["data"]]


async def _faults(bay: Bay, *args: Any, **more: Any) -> list[tuple[str, str]]:
    told = await _options(bay, *args, **more)
    assert told.status == 422, told.json
    return [(fault["path"], fault["code"]) for fault in told.json["error"]["fields"]]


async def test_a_list_is_searched_by_what_its_labels_hold_or_nearly_hold(bay: Bay):
    assert await _labels(bay, CREATE, "owner") == ["Ada", "Grace", "Twin", "Twin"]
    assert await _labels(bay, CREATE, "owner", "GRA") == ["Grace"]
    assert await _labels(bay, CREATE, "owner", "Garce") == ["Grace"]
    assert await _labels(bay, CREATE, "owner", "zzzz") == []
    assert await _labels(bay, CREATE, "owner", "  ") == ["Ada", "Grace", "Twin", "Twin"]
    assert await _labels(bay, CREATE, "owner", "2") == ["Grace"]
    assert bay.depot.count("GET /owners") == 1


async def test_fixed_choices_are_searched_alike(bay: Bay):
    assert await _labels(bay, CREATE, "colour", "red") == ["Red"]
    assert await _labels(bay, CREATE, "rows.kind", "sm") == ["Small"]
    assert await _labels(bay, CREATE, "kind") == ["Big", "Small"]


async def test_a_list_that_the_partner_searches_is_asked_there(bay: Bay):
    assert await _labels(bay, CREATE, "maker", "ac") == ["Acme works", "Acne creams"]
    assert [asked.target for asked in bay.depot.of("GET /makers")] == ["/v1/makers?q=ac"]
    assert await _faults(bay, CREATE, "maker", "a") == [("query", "too_short")]
    assert await _faults(bay, CREATE, "maker") == [("query", "too_short")]


async def test_a_dependent_list_needs_the_field_it_depends_on_by_key_or_by_label(bay: Bay):
    assert await _faults(bay, CREATE, "town") == [("runnerData.country", "required")]
    assert await _faults(bay, CREATE, "town", runnerData={"country": "Atlantis"}) == [("runnerData.country", "required")]
    assert await _labels(bay, CREATE, "town", runnerData={"country": "fr"}) == ["Paris"]
    assert await _labels(bay, CREATE, "town", runnerData={"country": "France"}) == ["Paris"]
    assert {asked.target for asked in bay.depot.of("GET /towns")} == {"/v1/towns?country=fr"}


async def test_selectors_have_lists_by_position_or_name_that_depend_on_the_earlier_ones(bay: Bay):
    assert await _labels(bay, SHELVE, "1") == ["North", "South"]
    assert await _labels(bay, SHELVE, "hall", "sou") == ["South"]
    assert await _faults(bay, SHELVE, "2") == [("runnerData.hall", "required")]
    assert await _labels(bay, SHELVE, "shelf", selectors={"1": {"value": 1}}) == ["Upper", "Lower"]
    assert await _labels(bay, SHELVE, "shelf", selectors={"1": {"value": "North"}}) == ["Upper", "Lower"]


async def test_a_run_with_selectors_takes_keys_and_labels(bay: Bay):
    for given in ({"1": {"value": 1}, "2": {"value": "a"}}, {"1": "North", "2": {"value": "Upper"}}):
        body = {"credentialData": {"0": bay.connection, **given}, "runnerData": {"note": "x"}}
        told = await bay.served.fetch("POST", f"/partners/trigger-actions/{SHELVE}/run/sync", body)
        assert told.status == 200, told.json
    assert [asked.body for asked in bay.depot.of("POST /halls/1/notes")] == [b'{"shelf":"a","note":"x"}'] * 2


async def test_a_label_that_is_new_at_the_partner_is_found_by_a_fresh_look(bay: Bay):
    given = {"0": bay.connection, "1": {"value": "North"}}
    body = {"credentialData": given, "runnerData": {"note": "x"}}
    assert (await bay.served.fetch("POST", f"/partners/trigger-actions/{SHELVE}/run/sync", body)).status == 200
    bay.depot.answers["GET /halls"] = answer(200, {"data": [{"id": 9, "name": "East"}]})
    given["1"] = {"value": "East"}
    told = await bay.served.fetch("POST", f"/partners/trigger-actions/{SHELVE}/run/sync", body)
    assert told.status in {200, 422}  # a list of the last seconds counts as fresh
    assert bay.depot.count("GET /halls") <= 2


async def test_a_field_that_is_none_or_has_no_list_is_told(bay: Bay):
    assert await _faults(bay, CREATE, "nothing") == [("field", "unknown_field")]
    assert await _faults(bay, CREATE, "name") == [("field", "no_list")]
    assert await _faults(bay, CREATE, "") == [("field", "string_too_short")]
    assert await _faults(bay, CREATE, "owner", page=0) == [("page", "greater_than_equal")]


async def test_long_lists_come_in_pages(bay: Bay):
    bay.depot.answers["GET /owners"] = answer(200, {"data": [{"id": number, "name": f"Owner {number:03}"} for number in range(250)]})
    told = await _options(bay, CREATE, "owner", page=3)
    assert told.json["meta"] == {"page": 3, "totalPages": 3, "totalItemsCount": 250}
    assert [choice["key"] for choice in told.json["data"]] == list(range(200, 250))
    assert (await _options(bay, CREATE, "owner", page=4)).json["data"] == []


async def test_a_list_that_cannot_be_read_is_the_partners_fault(bay: Bay):
    bay.depot.answers["GET /owners"] = answer(500)
    told = await _options(bay, CREATE, "owner")
    assert (told.status, told.json["error"]["code"]) == (502, "partner_unavailable")


async def _info(bay: Bay, operation: int, **body: Any) -> Any:
    given = {"credentialData": {"0": {"value": bay.connection}}, **body}
    return await bay.served.fetch("POST", f"/partners/trigger-actions/{operation}/run/info", given)


async def test_a_schema_holds_its_lists_and_names_those_that_cannot_be_read(bay: Bay):
    bay.depot.answers["GET /owners"] = answer(500)
    told = await _info(bay, CREATE, runnerData={"country": "Italy", "name": 5})
    shown = told.json["data"]["triggerAction"]
    fields = {variable["name"]: variable for variable in shown["variables"]}
    assert told.status == 200
    assert fields["colour"]["data"][0] == {"key": "r", "label": "Red"}
    assert fields["country"]["data"][1] == {"key": "it", "label": "Italy"}
    assert fields["town"]["data"] == [{"key": "par", "label": "Paris"}]
    assert "data" not in fields["owner"]
    assert (fields["maker"]["search"], "data" in fields["maker"]) == (True, False)
    assert [(warning["list"], warning["code"]) for warning in shown["warnings"]] == [("owners", "partner_unavailable")]
    assert fields["thing_id"]["isEditable"] is False
    assert [section["name"] for section in shown["rowSections"][0]["rowSections"]] == ["parts"]


async def test_selectors_are_listed_with_their_values_and_lists(bay: Bay):
    shown = (await _info(bay, SHELVE)).json["data"]["triggerAction"]["credentialData"]
    assert [(entry["position"], entry.get("value")) for entry in shown] == [("0", bay.connection), ("1", None), ("2", None)]
    assert shown[1]["data"] == [{"key": 1, "label": "North"}, {"key": 2, "label": "South"}]
    assert "data" not in shown[2]
    chosen = {"credentialData": {"0": bay.connection, "1": {"value": 1}}}
    shown = (await _info(bay, SHELVE, **chosen)).json["data"]["triggerAction"]["credentialData"]
    assert (shown[1]["value"], shown[2]["data"][0]) == (1, {"key": "a", "label": "Upper"})


async def test_a_connection_that_is_refused_while_lists_are_read_is_said(bay: Bay):
    bay.depot.answers |= {"GET /owners": answer(401), "GET /countries": answer(401)}
    shown = (await _info(bay, CREATE)).json["data"]["triggerAction"]
    assert [(warning["list"], warning["code"]) for warning in shown["warnings"]] == [
        ("countries", "partner_error"),
        ("owners", "partner_error"),
    ]
    bay.depot.answers["GET /me"] = answer(401)
    told = await _info(bay, CREATE)
    assert (told.status, told.json["error"]["code"]) == (409, "connection_invalid")
    assert (await bay.served.fetch("GET", f"/credentials/{bay.connection}")).json["data"]["status"] == "invalid"


@pytest.mark.parametrize(("verified", "status", "code"), [(200, 424, "partner_error"), (401, 409, "connection_invalid")])
async def test_a_list_that_is_refused_says_whether_the_connection_is(bay: Bay, verified: int, status: int, code: str):
    bay.depot.answers |= {"GET /countries": answer(401), "GET /me": answer(verified, {"name": "Ada"})}
    told = await _options(bay, CREATE, "town", runnerData={"country": "France"})
    assert (told.status, told.json["error"]["code"]) == (status, code)


async def test_what_is_filled_in_counts_as_far_as_it_is_clear_when_a_list_fails(bay: Bay):
    bay.depot.answers["GET /countries"] = answer(500)
    assert await _faults(bay, CREATE, "town", runnerData={"country": "France"}) == [("runnerData.country", "required")]
    assert (await _info(bay, CREATE, runnerData={"country": "France"})).status == 200


async def test_a_webhook_trigger_has_a_schema(bay: Bay):
    told = await _info(bay, HOOK)
    assert (told.status, told.json["data"]["triggerAction"]["variables"][0]["name"]) == (200, "id")
