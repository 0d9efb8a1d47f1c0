"""`polyport partners`: an account's own partners from the shell, on the data of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from polyport.cli.app import app
from polyport.runtime import create_account, open_runtime
from polyport.settings import load_settings

Run = Callable[..., tuple[int, str]]
PET = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}


def described(*methods: str, reference: str = "pet.json", servers: tuple[str, ...] = ("https://pets.example/v1",)) -> str:
    answer = {"200": {"description": "A pet", "content": {"application/json": {"schema": {"$ref": reference}}}}}
    operations = {method: {"operationId": f"{method}Pet", "responses": answer} for method in methods}
    document = {"openapi": "3.0.3", "info": {"title": "Pets", "version": str(len(methods))}, "paths": {"/pet": operations}}
    return json.dumps(document | {"servers": [{"url": url} for url in servers]})


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command on the data of a server with two accounts: exit code, and what it says."""
    data = tmp_path_factory.mktemp("data")

    async def begin() -> None:
        async with open_runtime(load_settings({}, data=data)) as runtime:
            for name in ("ada", "bob"):
                email = f"{name}@example.com"
                await create_account(runtime.repo, runtime.vault, title=name, email=email, password="long enough", now=1)

    asyncio.run(begin())

    def run(*words: object) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["partners", *map(str, words), "--data", str(data)])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            return 2, str(found.exception)
        return found.exit_code, found.output

    return run


def test_a_partner_is_imported_with_the_files_beside_it_versioned_rolled_back_and_removed(shell: Run, tmp_path: Path) -> None:
    document, ada = tmp_path / "openapi.json", "ada@example.com"
    (tmp_path / "pet.json").write_text(json.dumps({"$ref": "parts/animal.json"}))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "animal.json").write_text(json.dumps(PET))
    document.write_text(described("get", "delete"))
    code, told = shell("import", ada, document, "--slug", "pets")
    assert (code, "version 1 serves." in told) == (0, True), told
    assert "Left out" not in told  # both files were found

    document.write_text(described("get"))
    code, told = shell("import", ada, document, "--slug", "pets")
    assert (code, "version 2 is a draft" in told) == (4, True), told
    code, told = shell("changes", ada, "pets", 2)
    assert (code, "DELETE /pet" in told) == (4, True), told
    assert "breaks those who use version 1" in shell("publish", ada, "pets", 2)[1]
    code, told = shell("publish", ada, "pets", 2, "--accept-breaking")
    assert (code, "version 2 serves." in told) == (0, True)
    assert [line.split("  ")[2] for line in shell("versions", ada, "pets")[1].splitlines()] == ["serves", "served before"]
    assert "pets: version 1 serves." in shell("publish", ada, "pets", 1)[1]
    assert shell("changes", ada, "pets", 1) == (0, "Nothing differs.\n")

    code, told = shell("list", ada)
    number = told.split("  ")[0]
    assert (code, told) == (0, f"{number}  pets  version 1 of 2  live\n")
    assert shell("list", "bob@example.com") == (0, "")
    assert "has no partner" in shell("versions", "bob@example.com", number)[1]
    assert shell("deprecate", ada, "pets", "--message", "Use cats.", "--on", "2027-01-01") == (0, "pets is deprecated.\n")
    assert "deprecated" in shell("list", ada)[1]
    for wrong, words in ((("--message", " "), "1 to 1000 characters"), (("--message", "x", "--on", "soon"), "takes a day")):
        assert words in shell("deprecate", ada, "pets", *wrong)[1]
    assert shell("undeprecate", ada, "pets") == (0, "pets is not deprecated.\n")
    assert "deprecated" not in shell("list", ada)[1]
    assert shell("remove", ada, number) == (0, "pets is removed.\n")
    assert "has no partner" in shell("remove", ada, "pets")[1]


def test_parts_left_out_refusals_and_questions_have_exit_codes(shell: Run, tmp_path: Path) -> None:
    document = tmp_path / "openapi.json"
    document.write_text(described("get", reference="nowhere.json"))
    code, told = shell("import", "ada@example.com", document, "--slug", "parts", "--draft")
    assert (code, "nowhere.json" in told, "is a draft" in told) == (1, True, True), told
    document.write_text(described("get", reference="../../secret.json", servers=("https://a.example", "https://b.example")))
    code, told = shell("import", "ada@example.com", document, "--slug", "asked")
    assert (code, "--base" in told, "https://b.example" in told) == (2, True, True), told
    code, told = shell("import", "ada@example.com", document, "--slug", "asked", "--base", "https://b.example")
    assert (code, "leads" in told) == (1, True), told
    document.write_text("[]")
    code, told = shell("import", "ada@example.com", document, "--slug", "broken")
    assert (code, "Refused" in told) == (2, True), told
    assert "cannot be read" in shell("import", "ada@example.com", tmp_path / "none", "--slug", "none")[1]
    assert "no account" in shell("list", "nobody@example.com")[1]
