"""The partner folders on the how-to pages are whole: they lint clean and their cases pass."""

import re
from pathlib import Path

import pytest

from polyport.testing.cases import run_cases

DOCS = Path(__file__).parents[2] / "docs"
KINDS = ("calls", "pagers", "webhooks", "budgets")
FILE = "```yaml\n# "
PAGES = sorted(
    path.relative_to(DOCS).as_posix() for kind in KINDS for path in (DOCS / "how-to" / kind).glob("*.md") if FILE in path.read_text("utf-8")
)

pytestmark = pytest.mark.anyio


def folders(page, place):
    """Write the files of a page, each a block that begins with its path in a comment; the partners' folders."""
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, "utf-8")
    return sorted(place.iterdir())


@pytest.mark.parametrize("page", PAGES)
async def test_the_partner_on_a_page_has_no_faults_and_its_cases_pass(page, tmp_path):
    found = folders(page, tmp_path)
    assert found
    for folder in found:
        reports, problems = await run_cases(folder)
        assert problems == []
        assert reports
        assert [difference for report in reports for difference in report.differences] == []
