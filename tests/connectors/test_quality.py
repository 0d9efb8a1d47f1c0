"""Every bundled partner bears out what it claims, and is at least silver."""

from datetime import UTC, datetime

import pytest

from polyport.cli.folders import bundled, neighbours
from polyport.testing.scoring import score_folder


@pytest.mark.parametrize("folder", [pytest.param(folder, id=folder.name) for folder in bundled()])
def test_a_partner_is_what_it_claims_to_be(folder):
    scored = score_folder(folder, neighbours(folder), datetime.now(UTC).date())
    assert [str(problem) for problem in scored.linted.problems] == []
    assert scored.score.false_claims == ()
    assert scored.score.claimed == scored.score.tier
    assert scored.score.tier in {"silver", "gold", "platinum"}
