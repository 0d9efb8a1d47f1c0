"""Overlays that survive a new import, and what a new version of a description changes."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from petshop import imported, pets, with_path
from polyport.cli.app import app
from polyport.importers.documents import Refused
from polyport.importers.overlay import Overlay
from polyport.importers.writing import write_folder
from polyport.manifest.load import load_partner

OVERLAY = """
overlay: 1.0.0
info: {title: Ours, version: "1"}
actions:
  - {target: "$.paths['/pets'].post", update: {summary: Register a pet}}
  - {target: "$.components.schemas.Pet.properties.tags", remove: true}
  - {target: "$.paths['/nowhere']", update: {}}
x-polyport:
  partner: {title: Pet shop, categories: [pets]}
  operations:
    "DELETE /pets/{pet_id}": {skip: true}
    create_pet: {name: register_pet, fields: {born: {label: Born on}, kind: {hint: What it is}}}
    nothing: {title: No}
"""


def test_an_overlay_corrects_the_document_and_what_comes_of_it() -> None:
    found = imported(pets(), overlay=OVERLAY.encode())
    action = yaml.safe_load(found.files["actions/register_pet.yaml"])
    assert action["title"] == "Register a pet"
    assert {field["name"]: field["label"] for field in action["fields"]}["born"] == "Born on"
    assert "tags" not in {field["name"] for field in action["fields"]}
    assert "actions/delete_pet.yaml" not in found.files
    assert yaml.safe_load(found.files["partner.yaml"])["title"] == "Pet shop"
    assert len(found.report["overlayUnused"]) == 2


def test_the_overlays_of_the_documentation_are_carried_out_whole(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/import-an-api.md").read_text("utf-8")
    overlays = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("overlay")]
    assert len(overlays) == 2
    for number, overlay in enumerate(overlays):
        document = pets()
        document["components"]["schemas"]["Pet"]["properties"]["internal"] = {"type": "string"}
        found = imported(document, overlay=overlay.encode())
        assert found.report["overlayUnused"] == []
        write_folder(tmp_path / str(number) / "pets", found.files)
        assert load_partner(tmp_path / str(number) / "pets").problems == ()


def test_a_correction_of_a_field_that_is_not_there_is_told_and_a_whole_one_is_new() -> None:
    fields = {"nothing": {"hint": "x"}, "odd": 7, "mine": {"type": "string", "label": "Mine"}}
    overlay = {
        "overlay": "1.0.0",
        "x-polyport": {"operations": {"create_pet": {"fields": fields, "sections": {"none": {"label": "None"}}}}},
    }
    found = imported(pets(), overlay=json.dumps(overlay).encode())
    assert [text.partition(", and")[0] for text in found.report["overlayUnused"]] == [
        f'x-polyport.operations.create_pet: there is no "{name}" under {key}'
        for name, key in (("nothing", "fields"), ("odd", "fields"), ("none", "sections"))
    ]
    assert "mine" in {field["name"] for field in yaml.safe_load(found.files["actions/create_pet.yaml"])["fields"]}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1",
        "overlay: 1.0.0\nactions: 7",
        "overlay: 1.0.0\nactions: [{}]",
        "overlay: 1.0.0\nactions: [{target: '$', update: 1, remove: true}]",
        "overlay: 1.0.0\nx-polyport: {odd: {}}",
        "overlay: 1.0.0\nx-polyport: {operations: {a: 7}}",
    ],
)
def test_what_is_no_overlay_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="no overlay"):
        Overlay(text.encode())


@pytest.mark.parametrize("target", ["$[", "$..x[?(@.a ==]"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    overlay = Overlay(yaml.safe_dump({"overlay": "1.0.0", "actions": [{"target": target, "remove": True}]}).encode())
    with pytest.raises(Refused, match="JSONPath"):
        overlay.correct(pets())


def test_lists_grow_and_shrink_in_the_order_of_the_overlay() -> None:
    actions = [{"target": "$.l", "update": 9}, {"target": "$.l[0:2]", "remove": True}, {"target": "$", "update": {"b": 1}}]
    overlay = Overlay(yaml.safe_dump({"overlay": "1.0.0", "actions": actions}).encode())
    assert overlay.correct({"l": [1, 2, 3]}) == {"l": [3, 9], "b": 1}
    with pytest.raises(Refused, match="whole document"):
        Overlay(b"overlay: 1.0.0\nactions: [{target: $, remove: true}]").correct({})


def test_a_new_version_is_told_by_what_it_breaks_and_adds() -> None:
    before = imported(pets())
    changed = with_path("/toys", {"get": {"operationId": "listToys", "responses": {}}})
    del changed["paths"]["/pets/{pet_id}"]
    pet = changed["components"]["schemas"]["Pet"]
    pet["required"].append("born")
    pet["properties"]["kind"]["enum"] = ["cat", "bird"]
    del pet["properties"]["labels"]
    changed["paths"]["/pets"]["get"]["deprecated"] = True
    found = imported(changed, before=before.report)
    told = {(change.kind, change.operation, change.what) for change in found.changes}
    assert ("breaks", "DELETE /pets/{pet_id}", "the operation is gone") in told
    assert ("breaks", "POST /pets", 'the input "born" is needed now') in told
    assert ("breaks", "POST /pets", 'the input "kind" takes no more dog') in told
    assert ("breaks", "POST /pets", 'the input "labels" is gone') in told
    assert ("added", "GET /toys", "a new operation") in told
    assert ("changed", "GET /pets", "it is deprecated") in told
    assert imported(pets(), before=before.report).changes == ()


def test_ids_and_names_stay_when_the_document_renames_its_operations() -> None:
    before = imported(pets())
    renamed = copy.deepcopy(pets())
    renamed["paths"]["/pets"]["post"]["operationId"] = "registerPet"
    found = imported(renamed, before=before.report)
    assert found.changes == ()
    assert yaml.safe_load(found.files["actions/create_pet.yaml"])["id"] == yaml.safe_load(before.files["actions/create_pet.yaml"])["id"]
    with pytest.raises(Refused, match="not one of this version"):
        imported(pets(), before={"format": 99})


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["connector", "import", *words])
    return result.exit_code, result.output


def test_the_command_writes_a_folder_that_loads_and_keeps_what_people_added(tmp_path: Path) -> None:
    document = tmp_path / "pets.yaml"
    document.write_text(yaml.safe_dump(pets()))
    assert command(str(document), "--slug", "pets", "--out", str(tmp_path / "out"))[0] == 0
    folder = tmp_path / "out/pets"
    assert load_partner(folder).problems == ()
    (folder / "cases").mkdir()
    (folder / "cases/connection.yaml").write_text("fields: {}\n")
    (folder / "icon.svg").write_text("<svg/>")
    before = {path.name: path.read_bytes() for path in (folder / "actions").iterdir()}
    assert command(str(document), "--slug", "pets", "--out", str(tmp_path / "out"))[0] == 0
    assert {path.name: path.read_bytes() for path in (folder / "actions").iterdir()} == before
    assert (folder / "icon.svg").read_text() == "<svg/>"
    assert (folder / "cases/connection.yaml").is_file()
    assert command(str(document), "--slug", "pets", "--out", str(tmp_path / "out"), "--diff") == (0, "Nothing differs.\n")
    changed = pets()
    changed["components"]["schemas"]["Pet"]["required"].append("born")
    document.write_text(yaml.safe_dump(changed))
    code, told = command(str(document), "--slug", "pets", "--out", str(tmp_path / "out"), "--diff", "--json")
    assert (code, json.loads(told)[0]["kind"]) == (4, "breaks")


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    document = tmp_path / "x.yaml"
    document.write_text("hello: 1")
    out = str(tmp_path / "out")
    assert command(str(document), "--slug", "x", "--out", out)[0] == 2
    assert not (tmp_path / "out/x").exists()
    assert command(str(tmp_path / "none.yaml"), "--slug", "x", "--out", out)[0] == 2
    assert command("http://127.0.0.1:9/x.yaml", "--slug", "x", "--out", out)[0] == 2
    broken = with_path("/b", {"get": 7})
    document.write_text(yaml.safe_dump(broken))
    code, told = command(str(document), "--slug", "x", "--out", out)
    assert code == 1
    assert "GET /b" in told
    (tmp_path / "out/own").mkdir()
    assert command(str(document), "--slug", "own", "--out", out)[0] == 1
    assert command(str(document), "--slug", "No Slug", "--out", out)[0] == 1
