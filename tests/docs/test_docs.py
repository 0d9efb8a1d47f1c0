"""Pages that can go stale are compared with what they describe."""

import re
import tomllib
from pathlib import Path

import pytest

from polyport.cli.reference import PAGES, setting_entries, write_pages
from polyport.errors import TABLE
from polyport.settings import environment_names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES_WITH_LINKS = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
RECORDS = sorted(path for path in (DOCS / "adr").glob("*.md") if path.name != "README.md")


def links(text):
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in target and not target.startswith("#")]


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_program_says_now(name):
    assert (DOCS / "reference" / name).read_text("utf-8") == PAGES[name](), "run: make docs"


def test_writing_the_pages_gives_a_file_for_each(tmp_path):
    write_pages(tmp_path / "new")
    assert {str(path.relative_to(tmp_path / "new")): path.read_text("utf-8") for path in (tmp_path / "new").rglob("*.md")} == {
        name: page() for name, page in PAGES.items()
    }


def test_every_setting_has_an_explanation_above_it():
    assert [entry.environment_name for entry in setting_entries() if not entry.explanation] == []


def test_the_settings_page_leaves_no_setting_out():
    assert [entry.environment_name for entry in setting_entries()] == environment_names()


def test_every_error_code_stands_in_the_error_reference():
    page = (DOCS / "reference" / "errors.md").read_text("utf-8")
    assert [row.code for row in TABLE.values() if f"| {row.status} | `{row.code}` |" not in page] == []


def test_every_link_between_pages_leads_to_a_file():
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES_WITH_LINKS
        for target in links(page.read_text("utf-8"))
        if not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index():
    index = {(DOCS / target).resolve() for target in links((DOCS / "README.md").read_text("utf-8"))}
    records = {(DOCS / "adr" / target).resolve() for target in links((DOCS / "adr" / "README.md").read_text("utf-8"))}
    rules = {(DOCS / "reference" / target).resolve() for target in links((DOCS / "reference" / "quality.md").read_text("utf-8"))}
    assert [
        str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md")) if page not in index | records | rules | {DOCS / "README.md"}
    ] == []


def test_decision_records_are_numbered_without_gaps():
    assert [int(path.name[:4]) for path in RECORDS] == list(range(len(RECORDS)))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_decision_record_says_why_what_and_what_follows(path):
    headings = re.findall(r"^## (.+)$", path.read_text("utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_every_declared_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    declared = {
        re.split(r"[^A-Za-z0-9._-]", text)[0].lower()
        for text in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    }
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert sorted(declared - locked) == [], "run: make lock"


def test_the_lock_pins_every_package_by_hash_and_names_no_host():
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / "requirements.lock").read_text("utf-8"))
    pinned = [entry for entry in entries if not entry.startswith("#")]
    assert pinned
    assert [entry.split()[0] for entry in pinned if "--hash=sha256:" not in entry or "==" not in entry.split()[0]] == []
    assert not re.search(r"://|file:|^-", "\n".join(entries), re.MULTILINE)
