"""The quality scale: one function a rule, and the tier that a folder's answers and the functions lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from polyport.manifest.quality import Status, Tier
from polyport.manifest.rules import bronze, gold, platinum, silver
from polyport.manifest.rules.base import LEVELS, Evidence, Level, Rule

RULES: Final[Mapping[str, Rule]] = {rule.name: rule for rule in (*bronze.RULES, *silver.RULES, *gold.RULES, *platinum.RULES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One rule: what the folder answers, and what the rule finds missing."""

    rule: Rule
    status: Status
    findings: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether the rule is no hindrance to its tier."""
        return self.status == "exempt" if self.status != "done" else not self.findings

    @property
    def false(self) -> bool:
        """Whether the folder claims what it does not bear out."""
        return (self.status == "done" and bool(self.findings)) or (self.status == "exempt" and not self.rule.exemptable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a folder is worth: the tier computed and the one it claims (``None``: it claims none), and each rule."""

    tier: Tier
    claimed: Tier | None
    verdicts: tuple[Verdict, ...]

    @property
    def false_claims(self) -> tuple[str, ...]:
        """Each claim that the folder does not bear out, as a sentence."""
        told = [
            f"{verdict.rule.name} is said to be done, but {finding}."
            for verdict in self.verdicts
            for finding in verdict.findings
            if verdict.status == "done"
        ]
        told += [
            f"{verdict.rule.name} applies to every partner; nothing is exempt from it."
            for verdict in self.verdicts
            if verdict.status == "exempt" and verdict.false
        ]
        if self.claimed is not None and self.claimed != self.tier:
            told.append(f'The tier is said to be {self.claimed} and is {self.tier}: write "tier: {self.tier}".')
        return tuple(told)

    @property
    def next_tier(self) -> tuple[Level, tuple[str, ...]] | None:
        """The tier above, and the rules that keep the folder from it; ``None`` at the top."""
        above = next((level for level in LEVELS if self._hindrances(level)), None)
        return (above, tuple(self._hindrances(above))) if above is not None else None

    def _hindrances(self, level: Level) -> list[str]:
        return [verdict.rule.name for verdict in self.verdicts if verdict.rule.tier == level and (verdict.false or not verdict.met)]


def judge(evidence: Evidence) -> Score:
    """Hold what a folder claims against what it is."""
    quality = evidence.linted.quality.quality
    verdicts = tuple(Verdict(rule=rule, status=quality.status(rule.name), findings=tuple(rule.check(evidence))) for rule in RULES.values())
    tier: Tier = "none"
    for level in LEVELS:
        if any(verdict.rule.tier == level and (verdict.false or not verdict.met) for verdict in verdicts):
            break
        tier = level
    return Score(tier=tier, claimed=quality.tier, verdicts=verdicts)
