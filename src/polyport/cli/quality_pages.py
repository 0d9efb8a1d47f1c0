"""The pages of the quality scale: one for each rule, made from the function that checks it, and one that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Final

from polyport.cli.page import page, table
from polyport.manifest.rules import RULES
from polyport.manifest.rules.base import Rule

_TIERS: Final = {
    "bronze": "It is honest and it loads. A partner below bronze is not ready for anyone.",
    "silver": "It survives a bad day.",
    "gold": "It is a pleasure.",
    "platinum": "It is proven.",
}


def quality_page() -> str:
    """Every rule with its tier, what it asks and a link to its page."""
    parts = []
    for tier, rules in groupby(RULES.values(), key=lambda rule: rule.tier):
        rows = [
            (f"{rule.number}", f"[{rule.name}](quality/{rule.name}.md)", _first(rule), "code and eyes" if rule.reviewed else "code")
            for rule in rules
        ]
        parts.append(f"## {tier.capitalize()}\n\n{_TIERS[tier]}\n\n" + table(("No.", "Rule", "What it asks", "Checked by"), rows))
    return page(
        "Quality scale",
        """What a partner is worth is computed: `polyport connector score` prints one line a partner with its tier. A partner has a tier when every rule of that tier
and of those below it is met.

`quality.yaml` answers each rule: `done`, `todo`, or exempt with the reason; a rule that is left out is `todo`. It may also name the `tier`.

```yaml
tier: bronze
ok-case: done
pager-case: todo
minimum-operations:
  status: exempt
  comment: Nothing can be changed once it is sent, see https://docs.depot.example/messages
```

`score` holds every claim against the folder. It names each one that the folder does not bear out, a tier that is not the computed one among them, and then ends with
exit code 1. `--missing` shows what the rules that are still to do find. Code sees only a part of what some rules ask; a person looks at the rest before `done` is written.

Apart from its tier every partner says how it was verified, never more than what was done: `cases` (recorded, or written from documentation), `spec` (the partner's
own description accepts every request), `sandbox` or `live`, with the date.""",
        *parts,
    )


def rule_page(rule: Rule) -> str:
    """One rule: what it asks, why, who checks it."""
    checked = "By code, as far as code can see, and by whoever reviews the folder." if rule.reviewed else "By code alone."
    exempt = (
        "A partner to which it cannot apply is exempt: `{status: exempt, comment: why}`, for gold with a link."
        if rule.exemptable
        else "It applies to every partner; nothing is exempt from it."
    )
    return page(
        rule.name, f"Rule {rule.number} of the [quality scale](../quality.md), for {rule.tier} and above.", rule.text, f"{checked} {exempt}"
    )


def _first(rule: Rule) -> str:
    return " ".join(rule.text.split("\n\n")[0].split())


QUALITY_PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "quality.md": quality_page,
    **{f"quality/{rule.name}.md": partial(rule_page, rule) for rule in RULES.values()},
}
