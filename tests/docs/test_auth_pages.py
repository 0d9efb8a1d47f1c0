"""The partners on the pages about authorisation load without a fault, and their cases pass."""

import re
from pathlib import Path
from typing import get_args

import pytest

from polyport.kinds.auth import Scheme
from polyport.manifest.load import load_partner
from polyport.testing.cases import run_cases

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "how-to" / "auth").glob("*.md"), key=lambda page: page.name)

pytestmark = pytest.mark.anyio


def folders(page, target):
    """The partners' folders on a page."""
    names = set()
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, "utf-8")
        names.add(target / name.partition("/")[0])
    return sorted(names)


def test_there_is_a_page_for_every_kind():
    kinds = {get_args(kind.model_fields["kind"].annotation)[0].replace("_", "-") for kind in get_args(get_args(Scheme)[0])}
    assert {page.stem for page in PAGES} == kinds | {"connection-fields"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_partners_of_a_page_have_no_fault_and_pass_their_cases(page, tmp_path):
    found = folders(page, tmp_path)
    assert found
    for folder in found:
        assert [str(problem) for problem in load_partner(folder).problems] == []
        reports, problems = await run_cases(folder)
        assert problems == []
        assert [(report.file, report.differences) for report in reports if report.differences] == []
        assert reports or "certificate" in folder.name
