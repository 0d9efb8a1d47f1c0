"""What lint sees beside the partner itself: cases, claims, ids, stray files, other partners; and that every message can be read."""

import re

import pytest

from partner_folder import evidence, write_box
from polyport.manifest.lint import lint_folder
from polyport.manifest.quality import Quality, RecordedIds, load_quality, with_recorded_ids
from polyport.manifest.rules import RULES
from polyport.manifest.sentences import describe
from polyport.manifest.source import read_source


def problems(folder, others=()):
    return [str(problem) for problem in lint_folder(folder, others, RULES).problems]


def test_a_folder_that_is_whole_has_no_problem(tmp_path):
    assert problems(write_box(tmp_path)) == []


def test_a_folder_of_nothing_but_its_partner_has_no_problem(tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "partner.yaml").write_text('id: 9\nslug: bare\ntitle: B\nowners: [a]\nverified: {how: cases, on: "2026-11-24"}\n')
    linted = lint_folder(tmp_path / "bare", (), RULES)
    assert (linted.problems, linted.notes, linted.quality.quality.status("ok-case"), linted.quality.quality.comment("ok-case")) == (
        (),
        "",
        "todo",
        "",
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"cases__odd__ok": "title: T\nresult: {}\n"}, 'cases/odd/ok.yaml:1:1: There is no operation or list "odd" that this case could show; correct the name of its folder.'),
        ({"simulator": "routes: 5\n"}, 'simulator.yaml:1:1: "routes" has to be a list.'),
        ({"quality": ("ok-case: done", "ok-case: doen")}, 'quality.yaml:5:1: "ok-case" has to be one of done, todo (did you mean done?) or an object (keys with values).'),
        ({"quality": ("ok-case: done", "okcase: done")}, 'quality.yaml:5:1: "okcase" is no rule of the quality scale; docs/reference/quality.md lists them.'),
        ({"quality": ("ok-case: done", "ok-case: {status: exempt}")}, 'quality.yaml:5:1: The key "comment" is needed here.'),
        ({"quality": "- a\n"}, "quality.yaml:1:1: This file has to be an object (keys with values)."),
        ({"quality": "a: [\n"}, "quality.yaml:2:1: Not valid YAML: did not find expected node content."),
        ({"quality": (" partner: 9\n", " partner: 8\n")}, "partner.yaml:1:1: The id was 8, as quality.yaml records it, and clients may hold it: put it back. Ids never change."),
        ({"quality": ("create_item: 90001", "create_item: 90021")}, "actions/create_item.yaml:1:1: The id was 90021, as quality.yaml records it, and clients may hold it: put it back. Ids never change."),
        ({"quality": ("new_items: 90011", "new_items: 90031")}, "triggers/new_items.yaml:1:1: The id was 90031"),
        ({"quality": ("create_item:", "old_item: 90001, create_item:")}, 'quality.yaml:35:16: "old_item" is gone, and clients may hold its id 90001.'),
        ({"actions__more.yml": "x: 1\n"}, 'actions/more.yml:1:1: Files of the language end in ".yaml"; this one is not read. Rename it.'),
        ({"action__more": "x: 1\n"}, "action/more.yaml:1:1: Nothing reads this file; partners are made of actions, triggers, lists and cases."),
        ({"actions__old__more": "x: 1\n"}, "actions/old/more.yaml:1:1: Nothing reads this file"),
    ],
)  # fmt: skip
def test_what_is_wrong_beside_the_partner_is_told(tmp_path, changes, wanted):
    (found,) = problems(write_box(tmp_path, **changes))
    assert found.startswith(wanted)


def test_two_partners_share_no_id_no_slug_and_no_operation(tmp_path):
    other = evidence(write_box(tmp_path / "other")).partner
    found = problems(write_box(tmp_path), [other])
    assert found[:2] == [
        'partner.yaml:1:1: The partner "box" (Box) has the same id; choose another one.',
        'partner.yaml:2:1: The partner "box" (Box) has the same slug; choose another one.',
    ]
    assert found[2] == 'actions/create_item.yaml:1:1: The operation "create_item" of "box" has the same id; choose another one.'
    assert len(found) == 2 + 7


def test_partners_that_share_nothing_stand_beside_each_other(tmp_path):
    other = evidence(write_box(tmp_path / "other")).partner
    apart = other.model_copy(update={"file": other.file.model_copy(update={"id": 8, "slug": "bin"}), "actions": (), "triggers": ()})
    assert problems(write_box(tmp_path), [apart]) == []


def test_marks_are_found_with_their_place(tmp_path):
    linted = lint_folder(write_box(tmp_path, actions__create_item=("title:", "# todo: better words\ntitle:")), (), RULES)
    assert [str(mark) for mark in linted.marks] == ["actions/create_item.yaml:3:3: todo: better words"]
    assert linted.problems == ()


def test_files_that_are_neither_yaml_nor_text_are_passed_over(tmp_path):
    box = write_box(tmp_path)
    (box / "cases" / "photo.bin").write_bytes(b"\xff\x00todo:")
    assert lint_folder(box, (), RULES).marks == ()


# Ids


def test_ids_are_recorded_once_and_then_stay(tmp_path):
    box = write_box(tmp_path, quality="# a remark\nids:\n  partner: 9\n  operations:\n    gone: 5\n    create_item: 90001\nok-case: done\n")
    partner = evidence(box).partner
    text = with_recorded_ids((box / "quality.yaml").read_text(), partner, load_quality(box, RULES).quality.ids)
    assert text.startswith("# a remark\nok-case: done\nids:\n  partner: 9\n  operations:\n    create_item: 90001\n    delete_item: 90003\n")
    assert "    gone: 5\n" in text
    (box / "quality.yaml").write_text(text)
    assert with_recorded_ids(text, partner, load_quality(box, RULES).quality.ids) == text


def test_a_partner_without_operations_has_its_own_id_to_record(tmp_path):
    partner = evidence(write_box(tmp_path)).partner.model_copy(update={"actions": (), "triggers": ()})
    assert with_recorded_ids("", partner, RecordedIds()) == "ids:\n  partner: 9\n"


# Messages

FAULTY = {
    "partner": "id: x\nslug: 9A\ntitle: ''\nowners: []\ncategories: 5\nregion: [a]\nstatus: on\nheaders: [1]\nbase: {a: 1}\ntitles: {en: 5}\nverified: {how: guess, on: soon}\nconnection:\n  auth:\n    - {name: a, label: A, scheme: {kind: magic}}\n    - {name: b, label: B, scheme: {}}\n    - {name: c, label: C, scheme: 3}\n    - {name: d, label: D, scheme: {kind: oauth2, authorizeUrl: 'http://x', tokenUrl: 5}}\nerrors: [{status: [9xx, 5, 1.5]}, {kind: oops, status: [404], retryAfter: {}}]\n",
    "actions__create_item": "id: 0\nname: 1a\ntitle: T\nidempotent: maybe\nreadOnly: 3\ncall: {method: get, path: x, query: 3, timeout: 500, decode: yaml, encoding: jsn, when: {}}\nfields: [{name: a, type: text, label: 3, options: [{key: 1.5, label: x}], maxLength: 0, min: a, pattern: '('}, 5]\nsections: {a: 1}\nresult: {at: 5, fields: [{name: a, type: string, label: A, at: 'a['}]}\n",
    "triggers__new_items": "id: 90011\nname: new_items\ntitle: T\nidempotent: false\norder: newest\npager: {kind: cursor}\npageLimit: 0\nkye: id\ncall: [1]\n",
    "lists__groups": "name: groups\ntitle: G\ncall: {path: /x, url: 'https://x'}\nitemLimit: 1000000\nminQuery: -1\nsearch: remtoe\n",
    "cases__create_item__ok": "title: T\nexchanges: [{request: {method: 1}, reply: {status: x}}]\nresult: 5\n",
    "simulator": "routes: [{route: FETCH /x}, 3]\ncollections: {a: {limit: 0, ids: {kind: odd}}}\nauth: 5\n",
    "quality": "ok-case: perhaps\nids: {partner: x, operations: {a: b}}\ntier: wood\nnonsense: done\n",
}  # fmt: skip
JARGON = re.compile(
    r"input|valid(?!ation)|pydantic|instance|tuple|dict\b|dictionary|str\b|int\b|bool\b|None|True|False|parse|constrained|union|literal|attribute|discriminator|ctx|Error",
    re.ASCII,
)


def test_every_message_is_a_sentence_in_the_words_of_the_files(tmp_path):
    found = problems(write_box(tmp_path, **FAULTY))
    assert len(found) > 60
    for line in found:
        place, _, sentence = line.partition(": ")
        assert re.fullmatch(r"[\w/]+\.yaml:\d+:\d+", place), line
        assert sentence[0].isupper() or sentence[0] in '"{', line
        assert sentence[-1] in ".?", line
        assert not sentence.endswith(".."), line
        assert len(sentence) < 400, line
        assert not JARGON.search(re.sub(r'"[^"]*"|one of [^.]+', "", sentence)), line


def test_no_place_is_told_twice_that_its_form_is_wrong(tmp_path):
    found = [line.split(" has to be ")[0] for line in problems(write_box(tmp_path, **FAULTY)) if " has to be " in line]
    assert len(found) == len(set(found))


def test_a_fault_that_no_sentence_is_made_for_is_still_told():
    source = read_source("a.yaml", b"a: 1\n")
    told = [{"type": "odd_fault", "loc": ("a",), "msg": "Too odd", "input": 1}]
    assert [str(problem) for problem in describe(Quality, source, told)] == ['a.yaml:1:1: "a" has to be something else: too odd.']
