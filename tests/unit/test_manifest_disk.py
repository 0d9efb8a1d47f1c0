"""What may not be read in a partner's folder is a fault of the folder, and stops nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from polyport.catalog import Catalog
from polyport.cli.scaffold import write_partner
from polyport.manifest.disk import Files, is_file, is_folder, listed
from polyport.manifest.lint import lint_folder
from polyport.manifest.load import content_digest, load_partner, part_of, partner_folders
from polyport.manifest.rules import RULES
from polyport.manifest.source import LIMIT, Unreadable

WORDS = "cannot be read (Permission denied): let the user that runs Polyport read it, or take it away."


@dataclass
class Locked:
    """A folder with places that the system refuses to open: a stand-in, since who runs tests may be allowed to read everything."""

    path: Path
    refused: frozenset[str]

    @property
    def name(self):
        return self.path.name

    def __truediv__(self, name):
        return Locked(self.path / name, self.refused)

    def _check(self):
        if self.name in self.refused:
            raise PermissionError(13, "Permission denied")

    def is_file(self):
        return self.path.is_file()

    def is_dir(self):
        return self.path.is_dir()

    def iterdir(self):
        self._check()
        return (Locked(entry, self.refused) for entry in self.path.iterdir())

    def open(self, mode="r"):
        self._check()
        return self.path.open(mode)


@pytest.fixture
def depot(tmp_path):
    write_partner(tmp_path / "depot", "depot", "Depot", 901, date(2026, 11, 26))
    return tmp_path / "depot"


def found(depot, *refused):
    return [str(problem) for problem in lint_folder(Locked(depot, frozenset(refused)), [], RULES).problems]


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("partner.yaml", "partner.yaml:1:1: The file "),
        ("create_item.yaml", "actions/create_item.yaml:1:1: The file "),
        ("icon.svg", "icon.svg:1:1: The file "),
        ("lists", "lists:1:1: The folder "),
        ("cases", "cases:1:1: The folder "),
        ("ok.yaml", "cases/create_item/ok.yaml:1:1: The file "),
        ("simulator.yaml", "simulator.yaml:1:1: The file "),
        ("quality.yaml", "quality.yaml:1:1: The file "),
    ],
)
def test_what_may_not_be_read_is_a_fault_that_says_what_to_do(depot, refused, told):
    assert f"{told}{WORDS}" in found(depot, refused)


def test_notes_that_may_not_be_read_are_as_good_as_none(depot):
    assert lint_folder(Locked(depot, frozenset({"notes.md"})), [], RULES).notes == ""


def test_what_may_not_even_be_looked_at_is_taken_to_be_there():
    class Hidden:
        def is_file(self):
            raise PermissionError(13, "Permission denied")

        is_dir = is_file

    assert is_file(Hidden())
    assert is_folder(Hidden())


def test_of_a_file_that_is_too_large_no_more_is_read_than_shows_it(depot):
    with (depot / "actions" / "create_item.yaml").open("r+b") as file:
        file.truncate(200 * LIMIT)
    assert [problem.message for problem in load_partner(depot).problems] == ["The file is larger than 1048576 bytes; split it."]


def test_a_partner_that_may_not_be_read_stops_no_other(depot, monkeypatch):
    real = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "create_item.yaml" and "depot" in self.parts:
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    catalog = Catalog.load([str(depot.parent)], "http://localhost")
    assert f"depot/actions/create_item.yaml:1:1: The file {WORDS}" in map(str, catalog.problems)
    assert asyncio.run(catalog.seen_by(None).partner(225)).file.slug == "pipedrive"


def test_a_folder_of_partners_that_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(Unreadable, match="mine:1:1: The folder"):
        partner_folders(tmp_path / "mine")


def test_files_that_are_on_no_disk_are_looked_at_like_a_folder():
    held = Files("depot", {"partner.yaml": b"id: 1", "actions/create.yaml": "title: Größe".encode(), "actions/more/deep.yaml": b""})
    assert (held.name, str(held), held.is_dir(), held.is_file()) == ("depot", "depot", True, False)
    assert [each.name for each in listed("depot", held)] == ["actions", "partner.yaml"]
    actions = held / "actions"
    assert (actions.is_dir(), str(actions), (held / "lists").is_dir()) == (True, "actions", False)
    assert [each.name for each in listed("actions", actions)] == ["create.yaml", "more"]
    create = held.joinpath("actions", "create.yaml")
    with create.open() as file:
        assert file.read() == create.read_text() == "title: Größe"
    with create.open("rb") as file:
        assert file.read() == create.read_bytes()
    with pytest.raises(FileNotFoundError):
        (held / "icon.svg").open("rb")


def test_the_digest_of_a_folder_changes_with_the_content_of_its_files_and_with_nothing_else():
    held = {"partner.yaml": b"id: 1", "actions/create.yaml": b"id: 2", "icon.svg": b"<svg/>"}
    digest = content_digest(Files("depot", held))
    assert digest is not None
    assert content_digest(Files("another", {**held, "notes.md": b"words", "import.json": b"{}"})) == digest
    for name in held:
        assert content_digest(Files("depot", {**held, name: b"other"})) != digest
        assert content_digest(Files("depot", {each: content for each, content in held.items() if each != name})) != digest


def test_a_folder_with_a_file_that_may_not_be_read_has_no_digest(monkeypatch):
    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    for method in ("read_bytes", "iterdir"):
        with monkeypatch.context() as patched:
            patched.setattr(Files, method, refuse)
            assert content_digest(Files("depot", {"partner.yaml": b"", "actions/create.yaml": b""})) is None


def test_a_part_of_a_partner_is_made_of_its_data_alone():
    assert part_of("lists/owners.yaml", {"name": "owners", "title": "Owners", "call": {"path": "/owners"}}).title == "Owners"
    told = {"id": 1, "name": "do_it", "title": "Do it", "idempotent": True, "call": {"path": "/things"}}
    assert part_of("actions/do_it.yaml", told).kind == "action"
