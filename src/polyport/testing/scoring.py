"""What a partner's folder is worth: lint, its cases run, then every rule of the quality scale."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.resources.abc import Traversable
from pathlib import Path

from polyport.manifest.lint import Linted, lint_folder
from polyport.manifest.model import Partner
from polyport.manifest.rules import RULES, Score, judge
from polyport.manifest.rules.base import Evidence
from polyport.testing.cases import run_case
from polyport.testing.trials import random_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A folder and its score; ``None`` where it does not load."""

    linted: Linted
    score: Score | None


def score_folder(folder: Traversable | Path, others: Iterable[Partner], today: date, *, examples: int = 0) -> Scored:
    """Look at a whole folder, run its cases, and try its operations with so many ``examples``. Never raises for what stands in it."""
    linted = lint_folder(folder, others, RULES)
    if linted.partner is None:
        return Scored(linted=linted, score=None)
    failing = asyncio.run(_failing(linted, linted.partner))
    tried = random_faults(linted.partner, linted.cases, examples) if examples else None
    evidence = Evidence(linted=linted, partner=linted.partner, today=today, failing=failing, random_faults=tried)
    return Scored(linted=linted, score=judge(evidence))


def score_lines(name: str, scored: Scored, *, missing: bool = False) -> Iterator[str]:
    """One line for the partner, then each false claim, then (``missing``) what the rules that are not met find."""
    if scored.score is None or scored.linted.partner is None:
        yield f"{name:<16} does not load: {len(scored.linted.problems)} faults, see `polyport connector lint`"
        return
    score, verified = scored.score, scored.linted.partner.file.verified
    counts = ", ".join(f"{sum(verdict.status == status for verdict in score.verdicts)} {status}" for status in ("done", "todo", "exempt"))
    above = score.next_tier
    left = f"; for {above[0]}: {', '.join(above[1])}" if above is not None else ""
    yield f"{name:<16} {score.tier:<8} {counts}; verified by {verified.how} on {verified.on.isoformat()}{left}"
    yield from (f"    false: {claim}" for claim in score.false_claims)
    for verdict in score.verdicts if missing else ():
        if verdict.status == "todo":
            yield f"    {verdict.rule.name} ({verdict.rule.tier}): " + (
                "; ".join(verdict.findings) or "met as far as code can see; say done"
            )


async def _failing(linted: Linted, partner: Partner) -> tuple[str, ...]:
    reports = [await run_case(partner, found, linted.cases.connection) for found in linted.cases.cases]
    return tuple(report.file for report in reports if report.differences)
