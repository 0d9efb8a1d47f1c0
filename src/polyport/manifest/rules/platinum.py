"""Platinum: the partner is proven. Each docstring is the rule's page: what it asks, a blank line, why."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from polyport.manifest.rules.base import Evidence, Rule

FRESH: Final = timedelta(days=180)


def verified_live(evidence: Evidence) -> list[str]:
    """`verified` says `live`, with a date within 180 days: the operations were run against a real account, and the record of it was kept.

    Documentation and reality differ. Nothing but a run shows where.
    """
    verified = evidence.partner.file.verified
    if verified.how != "live":
        return [f"it is verified by {verified.how}, not live"]
    return (
        []
        if evidence.today - verified.on <= FRESH
        else [f"the last live run was on {verified.on.isoformat()}, more than {FRESH.days} days ago"]
    )


def schema_drift(evidence: Evidence) -> list[str]:
    """Every request of the cases is accepted by the partner's own machine-readable description, where there is one: `verified` says `spec` or `live`.

    When the partner changes its description, the tests say so. A partner without a public description is exempt.
    """
    how = evidence.partner.file.verified.how
    return [] if how in {"spec", "live"} else [f"it is verified by {how}, not held against the partner's description"]


def two_owners(evidence: Evidence) -> list[str]:
    """Two people or teams look after the folder.

    One of them is on holiday.
    """
    return [] if len(set(evidence.partner.file.owners)) > 1 else ["there is one owner"]


def render_property(evidence: Evidence) -> list[str]:
    """Random valid inputs of every operation make requests that stay on the partner's hosts, and nothing but errors of ours comes out.

    Cases show what someone thought of; random inputs show the rest. They are made by Hypothesis: `pip install hypothesis` if it is not there.
    """
    if evidence.random_faults is None:
        return ["random inputs were not tried: Hypothesis is not installed"]
    return list(evidence.random_faults)


RULES: Final = (
    Rule(number=29, tier="platinum", check=verified_live, reviewed=True, exemptable=False),
    Rule(number=30, tier="platinum", check=schema_drift),
    Rule(number=31, tier="platinum", check=two_owners, exemptable=False),
    Rule(number=32, tier="platinum", check=render_property),
)
