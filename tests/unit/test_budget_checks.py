"""What lint says about budgets and costs."""

import pytest

from polyport.manifest.load import load_partner

PARTNER = """
id: 9
slug: quota
title: Quota
owners: [me]
base: "https://quota.example"
budgets: BUDGETS
verified: {how: cases, on: "2026-11-25"}
"""
ACTION = """
id: 90001
name: find
title: Find
idempotent: true
costs: {daily: 2}
call: {path: /find}
"""


@pytest.mark.parametrize(
    ("budgets", "messages"),
    [
        ("[{name: daily, limit: 5, seconds: 60}]", []),
        ("[]", ['actions/find.yaml:6:9: partner.yaml has no budget "daily"; it has none.']),
        ("[{name: burst, concurrency: 2}]", ['actions/find.yaml:6:9: partner.yaml has no budget "daily"; there are: burst.']),
        (
            "[{name: daily, concurrency: 2}, {name: daily, concurrency: 3}]",
            ['partner.yaml:7:43: There is another budget "daily"; give each its own name.'],
        ),
    ],
)
def test_costs_name_a_budget_that_there_is_once(tmp_path, budgets, messages):
    (tmp_path / "actions").mkdir()
    (tmp_path / "partner.yaml").write_text(PARTNER.replace("BUDGETS", budgets))
    (tmp_path / "actions" / "find.yaml").write_text(ACTION)

    assert [str(problem) for problem in load_partner(tmp_path).problems] == messages
