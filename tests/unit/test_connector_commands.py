"""`polyport connector new`, `lint`, `test` and `score`, on folders of their own and on the bundled ones."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from partner_folder import write_box
from polyport.cli.app import app
from polyport.cli.folders import bundled, neighbours
from polyport.cli.scaffold import FIRST_ID, LAST_ID, free_id
from polyport.errors import SetupError
from polyport.manifest.load import load_partner


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        done = CliRunner().invoke(app, ["connector", *map(str, words)])
        assert done.exit_code == code, done.output
        return done.output.splitlines()

    return run


# new


def test_a_new_partner_has_no_faults_and_its_cases_pass(call):
    told = call("new", "depot")
    assert re.fullmatch(r"depot: 15 files, partner id (\d{6}), operation ids from (?:\1)0101", told[0])
    assert call("lint", "depot") == ["depot: 0 faults"]
    assert call("test", "depot") == ["depot: 6 cases, 0 failed"]


def test_a_new_partner_claims_nothing_and_marks_what_is_left_to_do(call):
    call("new", "depot")
    (line,) = call("score", "depot")
    assert line.startswith("depot            none     0 done, 32 todo, 0 exempt; verified by cases on ")
    shown = call("score", "--missing", "depot")
    assert any("manifest-valid (bronze): there is a mark left at" in text for text in shown)
    assert "    unique-ids (bronze): met as far as code can see; say done" in shown


@pytest.mark.parametrize("title", ["Depot", "true", '5" of \\ #: {x}', "Ärzte & Co. (GmbH)", "'"])
def test_any_title_makes_a_folder_without_faults(call, title):
    call("new", "depot", "--title", title)
    assert load_partner(Path("depot")).partner.file.title == title
    assert call("lint", "depot") == ["depot: 0 faults"]


def test_the_id_of_a_new_partner_can_be_given_and_its_place_too(call, tmp_path):
    assert call("new", "depot", "--id", 901, "--into", tmp_path / "partners")[0].endswith("partner id 901, operation ids from 9010101")
    partner = load_partner(tmp_path / "partners" / "depot").partner
    assert [operation.id for operation in partner.operations] == [9010101, 9010201]


def test_nothing_is_written_over(call):
    call("new", "depot")
    done = CliRunner().invoke(app, ["connector", "new", "depot"])
    assert isinstance(done.exception, SetupError)
    assert "is there already" in str(done.exception)


@pytest.mark.parametrize("slug", ["Depot", "1a", "../x", "a b", "", "a" * 61])
def test_a_slug_that_is_none_is_refused(call, tmp_path, slug):
    done = CliRunner().invoke(app, ["connector", "new", slug])
    assert isinstance(done.exception, SetupError)
    assert list(tmp_path.iterdir()) == []


def test_a_free_id_is_told_by_the_slug_and_passes_over_what_is_taken(tmp_path):
    first = free_id("depot", ())
    assert FIRST_ID <= first <= LAST_ID
    assert free_id("depot", ()) == first != free_id("store", ())
    box = load_partner(write_box(tmp_path)).partner
    taken = box.model_copy(update={"file": box.file.model_copy(update={"id": first}), "actions": (), "triggers": ()})
    assert free_id("depot", [taken]) == first + 1
    operation = box.actions[0].model_copy(update={"id": (first + 1) * 10_000 + 101})
    assert free_id("depot", [taken, box.model_copy(update={"actions": (operation,)})]) == first + 2


# lint


def test_partners_in_the_same_place_are_compared(call):
    call("new", "depot", "--id", 901)
    call("new", "store", "--id", 901)
    found = call("lint", "depot", code=1)
    assert found[1] == 'depot/partner.yaml:1:1: The partner "store" (Store) has the same id; choose another one.'
    assert found[-1] == "depot: 3 faults"


def test_a_folder_of_folders_is_linted_whole_with_the_places_of_the_faults(call, tmp_path):
    call("new", "depot", "--into", "partners")
    call("new", "store", "--into", "partners")
    path = tmp_path / "partners" / "store" / "actions" / "create_item.yaml"
    path.write_text(path.read_text().replace("title: Create", "titel: Create"))
    assert call("lint", "partners/", code=1) == [
        "partners/depot: 0 faults",
        'partners/store/actions/create_item.yaml:1:1: The key "title" is needed here.',
        'partners/store/actions/create_item.yaml:3:1: "titel" is not a key of the language here. Did you mean "title"?',
        "partners/store: 2 faults",
    ]


def test_ids_are_recorded_on_demand(call, tmp_path):
    call("new", "depot", "--id", 901)
    path = tmp_path / "depot" / "actions" / "create_item.yaml"
    quality = tmp_path / "depot" / "quality.yaml"
    quality.unlink()
    assert call("lint", "--record", "depot") == ["depot: 0 faults"]
    assert quality.read_text() == "ids:\n  partner: 901\n  operations:\n    create_item: 9010101\n    new_items: 9010201\n"
    path.write_text(path.read_text().replace("id: 9010101", "id: 9010102"))
    assert call("lint", "--record", "depot", code=1)[0].startswith("depot/actions/create_item.yaml:1:1: The id was 9010101")


def test_ids_of_a_folder_with_faults_are_not_recorded(call, tmp_path):
    call("new", "depot")
    (tmp_path / "depot" / "partner.yaml").write_text("id: 5\n")
    before = (tmp_path / "depot" / "quality.yaml").read_text()
    call("lint", "--record", "depot", code=1)
    assert (tmp_path / "depot" / "quality.yaml").read_text() == before


def test_a_partner_that_is_not_there_is_told(call):
    done = CliRunner().invoke(app, ["connector", "lint", "nowhere"])
    assert isinstance(done.exception, SetupError)
    assert "Bundled: " in str(done.exception)


def test_neighbours_are_the_bundled_ones_but_never_the_folder_itself(tmp_path):
    box = write_box(tmp_path)
    assert len(neighbours(box)) == len(bundled())
    assert len(neighbours(bundled()[0])) == len(bundled()) - 1


# test


def test_a_case_that_fails_is_shown_place_by_place(call, tmp_path):
    call("new", "depot")
    path = tmp_path / "depot" / "cases" / "create_item" / "ok.yaml"
    path.write_text(path.read_text().replace("json: {name: Blue box, group_id: 7,", "json: {name: Red box, group: 7,"))
    assert call("test", "depot", code=1) == [
        "FAILED cases/create_item/ok.yaml (An item with everything that can be given)",
        '    request 1: body.name: expected "Red box", got "Blue box"',
        '    request 1: body.group: expected 7, but it is missing (there is "group_id")',
        "    request 1: body.group_id: not expected, got 7",
        "depot: 6 cases, 1 failed",
    ]


def test_a_folder_with_faults_is_not_tested_and_has_no_score(call, tmp_path):
    call("new", "depot")
    (tmp_path / "depot" / "lists" / "groups.yaml").write_text("name: groups\n")
    assert call("test", "depot", code=1)[0].startswith("depot/lists/groups.yaml:1:1: ")
    assert call("score", "depot", code=1) == ["depot            does not load: 2 faults, see `polyport connector lint`"]


# score


def test_a_claim_that_is_not_so_is_refused(call, tmp_path):
    call("new", "depot")
    path = tmp_path / "depot" / "quality.yaml"
    path.write_text("tier: gold\n" + path.read_text().replace("owner-named: todo", "owner-named: done"))
    assert call("score", "depot", code=1)[1:] == [
        "    false: owner-named is said to be done, but the owner is still to be named.",
        '    false: The tier is said to be gold and is none: write "tier: none".',
    ]


def test_a_case_that_fails_makes_its_claim_false(call, tmp_path):
    box = write_box(tmp_path, cases__find_items__ok=("name: Blue}\n", "name: Red}\n"))
    found = call("score", box, code=1)
    assert found[1] == "    false: ok-case is said to be done, but cases/find_items/ok.yaml does not pass."


def test_a_partner_at_the_top_has_nothing_left(call, tmp_path):
    box = write_box(
        tmp_path,
        quality=("render-property: done", "render-property: {status: exempt, comment: 'See https://docs.box.com'}"),
        partner=("2026-11-24", "2999-01-01"),
    )
    (line,) = call("score", box)
    assert line.endswith("platinum 31 done, 0 todo, 1 exempt; verified by live on 2999-01-01")
