"""Every bundled partner: its folder loads, its cases pass, its claims are so."""

import asyncio
import re
from collections import Counter

import pytest

import bundled
from polyport.manifest.model import Action, Trigger
from polyport.testing.cases import run_case

FOLDERS = list(bundled.FOLDERS.values())
LOADED = {slug: bundled.loaded(slug) for slug in bundled.FOLDERS}
CASES = {slug: bundled.cases(slug) for slug in bundled.FOLDERS}
EACH_CASE = [
    pytest.param(slug, found, id=f"{slug}/{found.file.removeprefix('cases/')}") for slug, cases in CASES.items() for found in cases.cases
]
EACH_FOLDER = [pytest.param(folder, id=folder.name) for folder in FOLDERS]

# What real credentials look like. Made-up ones in cases are words and plain digits.
SECRETS = {
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "Slack token": r"\bxox[abeoprs]-\d{9,}-\d{9,}-[A-Za-z0-9-]{16,}",
    "Stripe key": r"\b[srp]k_live_[A-Za-z0-9]{16,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "Google token": r"\bya29\.[0-9A-Za-z_-]{30,}",
    "OpenAI key": r"\bsk-(?:proj-)?[A-Za-z0-9]{32,}",
    "SendGrid key": r"\bSG\.[\w-]{22}\.[\w-]{43}",
    "HubSpot token": r"\bpat-(?:na|eu)\d-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}


def test_there_are_partners():
    assert FOLDERS


@pytest.mark.parametrize("folder", EACH_FOLDER)
def test_a_partners_folder_loads_without_problems(folder):
    assert [str(problem) for problem in (*LOADED[folder.name].problems, *CASES[folder.name].problems)] == []
    assert LOADED[folder.name].partner.file.slug == folder.name


@pytest.mark.parametrize(("slug", "found"), EACH_CASE)
def test_a_case_passes(slug, found):
    partner = LOADED[slug].partner
    assert partner is not None, f"{slug} does not load"
    report = asyncio.run(run_case(partner, found, CASES[slug].connection))
    assert list(report.differences) == []


@pytest.mark.parametrize("folder", EACH_FOLDER)
def test_every_operation_shows_a_success_that_is_asserted(folder):
    partner = LOADED[folder.name].partner
    assert partner is not None
    shown = {}
    for found in CASES[folder.name].cases:
        if found.name == "ok":
            shown[found.target] = found.case
    for operation in partner.operations:
        if isinstance(operation, Trigger) and operation.type == "webhook":
            continue
        if isinstance(operation, Action) and "{{random." in str(operation.compute):
            continue  # its result is another one every time
        case = shown.get(operation.name)
        assert case is not None, f"{operation.name} has no case ok"
        assert (case.items if isinstance(operation, Trigger) else case.result) is not None
        assert bool(case.exchanges) is bool(operation.steps)


@pytest.mark.parametrize("folder", EACH_FOLDER)
def test_every_case_belongs_to_something(folder):
    partner = LOADED[folder.name].partner
    assert partner is not None
    known = {operation.name for operation in partner.operations} | {f"lists/{name}" for name in partner.lists} | {"verify"}
    assert {found.target for found in CASES[folder.name].cases} <= known


def test_ids_and_slugs_are_unique_across_partners():
    partners = [loaded.partner for loaded in LOADED.values() if loaded.partner is not None]
    ids = Counter(operation.id for partner in partners for operation in partner.operations)
    assert [number for number, count in ids.items() if count > 1] == []
    assert len({partner.file.id for partner in partners}) == len(partners)


def test_ids_that_existing_clients_hard_code_are_kept():
    by_id = {loaded.partner.file.id: loaded.partner for loaded in LOADED.values() if loaded.partner is not None}
    assert by_id[10055].file.slug == "hubspot"
    (contact,) = [operation for operation in by_id[10055].operations if operation.id == 10025156]
    assert isinstance(contact, Action)
    assert contact.custom_fields is not None
    assert by_id[1].file.connection is None
    assert all(operation.kind == "tool" for operation in by_id[1].operations)


@pytest.mark.parametrize("folder", EACH_FOLDER)
def test_an_icon_draws_and_does_nothing_else(folder):
    icon = LOADED[folder.name].partner.icon if LOADED[folder.name].partner else None
    assert icon is not None
    assert icon.lstrip().startswith("<svg")
    plain = icon.lower().replace('xmlns="http://www.w3.org/2000/svg"', "")
    for word in (
        "<script",
        "<foreignobject",
        "<image",
        "<use",
        "<!entity",
        "<!doctype",
        "javascript:",
        "http:",
        "https:",
        "//",
        "url(",
        "@import",
        "href",
        "<style",
    ):
        assert word not in plain
    assert re.search(r"\son[a-z]+\s*=", plain) is None
    assert len(icon) < 20_000


@pytest.mark.parametrize("folder", EACH_FOLDER)
def test_no_file_of_a_partner_holds_what_looks_like_a_real_secret(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text("utf-8")
            found = [name for name, pattern in SECRETS.items() if re.search(pattern, text)]
            assert found == [], path.name


def test_the_secrets_that_are_looked_for_are_found():
    examples = ["AKIA" + "A" * 16, "ghp_" + "a" * 36, "xoxb-123456789012-123456789012-" + "a" * 24, "sk_live_" + "a" * 24, "AIza" + "a" * 35, "pat-na1-" + "-".join("a" * size for size in (8, 4, 4, 4, 12))]  # fmt: skip
    for example in examples:
        assert any(re.search(pattern, example) for pattern in SECRETS.values()), example
