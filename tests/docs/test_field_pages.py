"""The pages about fields tell the truth: the files on each make a partner's folder that loads without problems and whose cases pass."""

import asyncio
import re
from pathlib import Path

import pytest

from polyport.testing.cases import run_cases

FOLDER = Path(__file__).parents[2] / "docs/how-to/fields"
PAGES = sorted(FOLDER.glob("*.md"))
PARTNER = """
id: 9
slug: example
title: Example
owners: [tests]
base: https://api.example.com
verified: {how: cases, on: "2026-11-24"}
"""


def files(page):
    """The files that a page shows: blocks of YAML whose first line names them."""
    blocks = re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert len({name for name, _text in blocks}) == len(blocks)
    return {"partner.yaml": PARTNER} | dict(blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_of_a_page_make_a_partner_whose_cases_pass(page, tmp_path):
    shown = files(page)
    for name, text in shown.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    reports, problems = asyncio.run(run_cases(tmp_path))
    assert problems == []
    assert len(reports) == sum(name.startswith("cases/") for name in shown) > 0
    assert {report.title: report.differences for report in reports if report.differences} == {}
