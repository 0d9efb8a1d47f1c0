"""A run is saved as a case of its partner: only in the folder that somebody works on, without a secret, and only if it passes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.console import Browsing, member, text_of
from e2e.served import PIPEDRIVE, PIPEDRIVE_FIELDS, Served
from e2e.workplace import make_workplace, open_workplace
from html_forms import sent_of
from polyport.manifest.source import read_source
from polyport.testing.cases import run_cases

pytestmark = pytest.mark.anyio

CREATE_PERSON = "/console/try/2250101"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a partner of somebody's own: Pipedrive under other ids."""
    return make_workplace(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
async def served(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, workplace: Path) -> AsyncIterator[Served]:
    async with open_workplace(tmp_path_factory.mktemp("cases"), workplace) as house:
        yield house


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, served: Served) -> Browsing:
    browsing = Browsing(served=served)
    assert (await browsing.sign_in()).status == 303
    return browsing


async def ran(served: Served, owner: Browsing, partner_id: int, name: str) -> tuple[str, str]:
    """Where an operation is tried, and the id of a run of it."""
    connection = await served.connect(partner_id, PIPEDRIVE_FIELDS)
    operation = int(f"{partner_id}0101")
    form = {"connection": connection, "s:d.name": name, "rows:d.email": "1", "s:d.email[0].value": "case@example.com", "do": "run"}
    found = await owner.post(f"/console/try/{operation}", form)
    assert found.status == 200, text_of(found)
    listed = (await served.call("GET", "/runs"))[2]["data"]
    return f"/console/try/{operation}", listed[0]["runId"]


async def test_a_run_becomes_a_case_that_passes_and_holds_no_secret(served: Served, owner: Browsing, workplace: Path):
    path, run_id = await ran(served, owner, 777, "Case Person")
    page = await owner.post(path, {"run": run_id, "case": "from_the_console", "case_title": "A person from the console", "do": "case"})
    file = workplace / "cases" / "create_person" / "from_the_console.yaml"

    assert "Saved as crm/cases/create_person/from_the_console.yaml" in " ".join(text_of(page).split())
    text = file.read_text("utf-8")
    assert "https://acme.pipedrive.com/api/v2/persons" in text
    assert PIPEDRIVE_FIELDS["api_token"] not in text
    assert "127.0.0.1" not in text
    reports, problems = await run_cases(workplace)
    assert problems == []
    [report] = [each for each in reports if each.file.endswith("from_the_console.yaml")]
    assert report.differences == ()
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []

    nameless = await owner.post(path, {"run": run_id, "case": "", "case_title": "T", "do": "case"})
    assert "Say what the file is called" in text_of(nameless)
    again = await owner.post(path, {"run": run_id, "case": "from_the_console", "case_title": "Another", "do": "case"})
    assert "There is a case called from_the_console already" in text_of(again)
    assert file.read_text("utf-8") == text
    assert dict(sent_of(again.content.decode()))["case_title"] == "Another"


@pytest.mark.parametrize(
    ("name", "title"),
    [("", "T"), ("../../evil", "T"), ("a/b", "T"), ("Upper", "T"), ("x" * 65, "T"), ("fine", ""), ("fine", "x" * 201), ("a\x00b", "T")],
)
async def test_names_that_are_none_are_refused_with_their_place(served: Served, owner: Browsing, workplace: Path, name: str, title: str):
    _path, run_id = await ran(served, owner, 777, "Refused")
    before = sorted(workplace.parent.rglob("*"))
    status, _headers, answer = await served.call("POST", f"/runs/{run_id}/case", {"name": name, "title": title})

    assert status == 422
    assert {fault["path"] for fault in answer["error"]["fields"]} <= {"name", "title"}
    assert sorted(workplace.parent.rglob("*")) == before


async def test_runs_of_partners_that_nobody_works_on_are_no_cases(served: Served, owner: Browsing):
    _path, run_id = await ran(served, owner, PIPEDRIVE, "Elsewhere")
    status, _headers, answer = await served.call("POST", f"/runs/{run_id}/case", {"name": "a", "title": "A"})

    assert (status, answer["error"]["code"]) == (409, "conflict")
    assert "POLYPORT_DEVELOPMENT" in answer["error"]["message"]
    connection = await served.connect(PIPEDRIVE, PIPEDRIVE_FIELDS)
    found = await owner.post(CREATE_PERSON, {"connection": connection, "s:d.name": "Elsewhere", "do": "run"})
    assert "Save as a case" not in text_of(found)


async def test_only_an_owner_saves_cases(served: Served, owner: Browsing, workplace: Path):
    path, run_id = await ran(served, owner, 777, "Not yours")
    developer = await member(served, "developer", "developer@cases.example")
    found = await developer.post(path, {"run": run_id, "case": "by_a_developer", "case_title": "T", "do": "case"})

    assert found.status == 403
    assert not (workplace / "cases" / "create_person" / "by_a_developer.yaml").exists()
    connection = await served.connect(777, PIPEDRIVE_FIELDS)
    assert "Save as a case" not in text_of(await developer.post(path, {"connection": connection, "s:d.name": "Bo", "do": "run"}))


async def test_a_refusal_of_the_partner_is_a_case_too(served: Served, owner: Browsing, workplace: Path):
    connection = await served.connect(777, PIPEDRIVE_FIELDS)
    await owner.post(
        "/console/try/7770101",
        {"connection": connection, "s:d.name": "Bo", "n:d.owner_id": "424242", "how:d.owner_id": "typed", "do": "run"},
    )
    run = (await served.call("GET", "/runs"))[2]["data"][0]
    status, _headers, answer = await served.call("POST", f"/runs/{run['runId']}/case", {"name": "as_it_ended", "title": "As it ended"})

    assert status == 201, answer
    assert answer["data"]["outcome"] == ("error" if run["status"] == "failed" else "result")
    assert (workplace / "cases" / "create_person" / "as_it_ended.yaml").is_file()


async def test_a_folder_that_cannot_be_written_is_said(served: Served, owner: Browsing, workplace: Path):
    _path, run_id = await ran(served, owner, 777, "No place")
    (workplace / "cases" / "create_person").rename(workplace / "cases" / "kept")
    (workplace / "cases" / "create_person").write_text("in the way")
    try:
        status, _headers, answer = await served.call("POST", f"/runs/{run_id}/case", {"name": "no_place", "title": "T"})
    finally:
        (workplace / "cases" / "create_person").unlink()
        (workplace / "cases" / "kept").rename(workplace / "cases" / "create_person")

    assert (status, answer["error"]["code"]) == (409, "conflict")


async def test_whatever_a_case_is_called_nothing_lands_elsewhere_and_its_title_is_text(served: Served, owner: Browsing, workplace: Path):
    _path, run_id = await ran(served, owner, 777, "Any name")
    luck = random.Random(7)  # noqa: S311  names, not secrets
    pieces = [
        "a",
        "z9",
        "_",
        "/",
        "..",
        "\\",
        "\x00",
        "\n",
        ": ",
        "- ",
        "#",
        '"',
        "'",
        "{{x}}",
        "\u202e",
        "é",
        "\t",
        "&a",
        "*a",
        "!!python",
        "%",
        "~",
        " ",
        "K" * 60,
    ]
    place = workplace / "cases" / "create_person"
    before = {path for path in workplace.parent.rglob("*") if path.is_file()}
    made = 0
    for number in range(60):
        name = "".join(luck.choices(pieces, k=luck.randint(0, 4))) if number % 3 else f"named_{number}"
        title = "".join(luck.choices(pieces, k=luck.randint(0, 8)))
        body: dict[str, object] = {"name": name, "title": title}
        if number % 7 == 0:
            body[luck.choice(pieces)] = luck.choice([None, [], {"a": name}])
        status, _headers, answer = await served.call("POST", f"/runs/{run_id}/case", body)
        assert status in {201, 409, 422}, (body, answer)
        now = {path for path in workplace.parent.rglob("*") if path.is_file()}
        if status == 201:
            made += 1
            (file,) = now - before
            assert file == place / f"{name}.yaml"
            assert read_source(file.name, file.read_bytes()).data["title"] == title
            file.unlink()
        else:
            assert now == before
    assert made > 5
