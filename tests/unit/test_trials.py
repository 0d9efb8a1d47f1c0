"""Operations tried with inputs that nobody wrote down."""

import sys

import pytest

from partner_folder import action, write_box
from polyport.manifest.cases import load_cases
from polyport.manifest.load import load_partner
from polyport.testing.trials import random_faults


def faults(folder, examples=5):
    loaded = load_partner(folder)
    assert loaded.partner is not None, loaded.problems
    return random_faults(loaded.partner, load_cases(folder), examples)


def test_a_sound_partner_has_none(tmp_path):
    assert faults(write_box(tmp_path)) == ()


def test_a_request_to_a_host_that_no_case_knows_is_one(tmp_path):
    stray = action(6, "create_item", "POST").replace("path: /items", "auth: false\n  url: https://elsewhere.example/items")
    (fault,) = faults(write_box(tmp_path, **{"actions/create_item.yaml": stray}))
    assert fault == "create_item: ValueError: a request went to elsewhere.example, where no case goes"


def test_without_the_library_that_makes_inputs_nothing_is_tried(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert faults(write_box(tmp_path)) is None
