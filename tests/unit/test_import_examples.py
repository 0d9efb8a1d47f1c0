"""A document's own examples, taken back to fields: what is given for them is sent as the example stands."""

from __future__ import annotations

from typing import Any

import pytest

from acting import run
from corpus.examples import Unsaid, examples_of, input_of
from petshop import PETS, built, pets, taking
from polyport.importers.partner import read_service
from polyport.manifest.model import Action

pytestmark = pytest.mark.anyio

PET: dict[str, Any] = {
    "name": "Tom",
    "kind": "cat",
    "born": "2020-01-31",
    "tags": ["grey", "loud"],
    "owner": {"email": "ada@example.com", "address": {"city": "Paris"}},
    "labels": {"colour": "grey", "eyes": "green"},
    "food": {"grams": 7},
    "children": [{"name": "Kit", "kind": "cat", "children": [{"name": "Kitten", "kind": "cat", "food": {"tins": 1}}]}],
}


@pytest.mark.parametrize("pet", [PET, {"name": "Rex", "kind": "dog", "food": {"tins": 2}}])
async def test_an_example_is_sent_as_it_stands(pet: dict[str, Any]):
    written = built(PETS).actions["create_pet"]
    action = Action.model_validate(written, by_alias=True, by_name=False)
    assert (await run(action, input_of(action, written, pet, {"name": "left"}), {})).body == pet


@pytest.mark.parametrize(
    "pet", [[], {"name": "Tom", "children": "none"}, {"name": "Tom", "food": {"grams": 1}, "children": [{"kind": "cat"}]}]
)
def test_what_no_fields_lead_to_is_told(pet: Any):
    written = built(PETS).actions["create_pet"]
    with pytest.raises(Unsaid):
        input_of(Action.model_validate(written, by_alias=True, by_name=False), written, pet, {})


def test_what_does_not_stand_in_the_body_is_its_own_sample_or_what_is_given_for_it():
    document = taking({"type": "object", "properties": {"name": {"type": "string"}}})
    document["paths"] = {"/things/{thing}": document["paths"]["/things"]}
    document["paths"]["/things/{thing}"]["parameters"] = [
        {"name": "thing", "in": "path", "required": True, "schema": {"type": "string"}, "example": "t-1"},
        {"name": "dry", "in": "query", "schema": {"type": "string"}},
    ]
    written = built(document).actions["make"]
    action = Action.model_validate(written, by_alias=True, by_name=False)
    assert input_of(action, written, {"name": "Tom"}, {"thing": "x", "dry": "y", "name": "old"}) == {
        "thing": "t-1",
        "dry": "y",
        "name": "Tom",
    }


def test_examples_are_found_wherever_a_document_gives_them_and_each_once():
    document = pets()
    body = document["paths"]["/pets"]["post"]["requestBody"]
    body["content"]["application/json"] |= {
        "examples": {
            "one": {"value": PET},
            "two": {"$ref": "#/components/examples/Two"},
            "same": {"value": PET},
            "gone": {"externalValue": "https://x"},
            "file": {"value": {"$ref": "#/components/examples/Four"}},
        }
    }
    document["components"]["examples"] = {"Two": {"value": {"name": "Two"}}, "Four": {"name": "Four"}}
    document["components"]["schemas"]["Pet"]["example"] = {"name": "Three"}
    service, references = read_service(document)
    made = {endpoint.call: examples_of(endpoint, references) for endpoint in service.endpoints}
    assert made == {"GET /pets": [], "POST /pets": [PET, {"name": "Two"}, {"name": "Four"}, {"name": "Three"}], "DELETE /pets/{pet_id}": []}
