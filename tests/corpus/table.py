"""What came of all documents as a table: for people on a page, for programs as JSON, and whether it is good enough."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from corpus.proof import Proof

# What has to hold over all documents together: shares of operations.
CALLABLE: Final = 1.0
ACCEPTED: Final = 0.97
TYPED: Final = 0.95
_HEAD: Final = (
    "document",
    "operations",
    "typed",
    "called",
    "accepted",
    "mock alone",
    "answers read",
    "own examples",
    "accepted",
    "rules broken",
    "refused",
    "let through",
)


def short_of(proofs: Sequence[Proof]) -> list[str]:
    """Where the targets are missed, a sentence each."""
    total = _sum(proofs)
    found = [f"{proof.name} crashed: {proof.crash}" for proof in proofs if proof.crash]
    found += [f"{proof.name} is not tried: the mock cannot load it" for proof in proofs if proof.mock]
    found += [
        f"{proof.name}: {one.call} was sent with an input that was refused"
        for proof in proofs
        for one in proof.outcomes
        if one.stopped is False
    ]
    for word, least, share in (
        ("are callable", CALLABLE, _share(total["called"], total["tried"])),
        (
            "are accepted by the mock",
            ACCEPTED,
            _share(total["accepted"], total["tried"]),
        ),
        ("have typed fields only", TYPED, _share(total["described"] - total["json"], total["described"])),
    ):
        if share < least:
            found.append(f"{share:.1%} of operations {word}; at least {least:.0%} have to be.")
    return found


def row_of(proof: Proof) -> dict[str, Any]:
    """One document, for programs."""
    total = _sum([proof])
    return {
        "document": proof.name,
        "refused": proof.refused or None,
        "crash": proof.crash or None,
        "mockCannotLoad": proof.mock or None,
        "operations": total["described"],
        "leftOut": proof.left_out,
        "withJson": total["json"],
        "tried": total["tried"],
        "called": total["called"],
        "accepted": total["accepted"],
        "mockErrs": [{"call": one.call, "why": one.mock_errs[0][:300]} for one in proof.outcomes if is_mock_error(one)],
        "notAccepted": [
            {"call": one.call, "why": (one.unsent + one.refused)[0][:300]} for one in proof.outcomes if one.unsent or one.refused
        ],
        "notes": sum(bool(one.notes) for one in proof.outcomes),
        "secondJudgeAlone": [{"call": one.call, "why": one.judged[0][:300]} for one in proof.outcomes if one.judged and one.is_accepted],
        "answersRead": total["read"],
        "ownExamples": {
            "tried": total["own"],
            "sent": total["own_sent"],
            "accepted": total["own_accepted"],
            "notAccepted": [{"call": call, "why": why[:300]} for call, why in own_faults(proof)][:40],
        },
        "broken": {
            "tried": proof.broken.tried,
            "refused": proof.broken.refused,
            "breaksNothing": proof.broken.kept,
            "letThrough": dict(proof.broken.through),
            "shown": proof.broken.shown[:20],
        },
        "cpuSeconds": proof.seconds,
    }


def is_mock_error(outcome: Any) -> bool:
    """Whether the mock alone refuses requests of an operation."""
    return bool(outcome.mock_errs) and not outcome.refused and not outcome.unsent


def own_faults(proof: Proof) -> list[tuple[str, str]]:
    """The document's own examples that were not sent or not accepted: the call, and why."""
    return [
        (one.call, why) for one in proof.outcomes if one.own is not None for why in (*one.own.unsent, *one.own.refused, *one.own.mock_errs)
    ]


def _sum(proofs: Iterable[Proof]) -> Counter[str]:
    found: Counter[str] = Counter()
    for proof in proofs:
        made = proof.outcomes
        found.update(
            described=proof.described,
            json=proof.with_json,
            tried=len(made),
            called=sum(one.is_callable for one in made),
            accepted=sum(one.is_accepted for one in made),
            errs=sum(is_mock_error(one) for one in made),
            read=sum(one.read == one.tried for one in made),
            own=sum(one.own.tried for one in made if one.own is not None),
            own_sent=sum(one.own.sent for one in made if one.own is not None),
            own_accepted=sum(one.own.accepted for one in made if one.own is not None),
            broken=proof.broken.tried,
            refused=proof.broken.refused,
            through=sum(proof.broken.through.values()),
        )
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _cells(name: str, total: Counter[str]) -> list[str]:
    tried = total["tried"]
    return [
        name,
        str(total["described"]),
        f"{_share(total['described'] - total['json'], total['described']):.1%}",
        f"{_share(total['called'], tried):.1%}",
        f"{_share(total['accepted'], tried):.1%}",
        str(total["errs"]),
        f"{_share(total['read'], tried):.1%}",
        str(total["own"]),
        str(total["own_accepted"]),
        str(total["broken"]),
        str(total["refused"]),
        str(total["through"]),
    ]


def lines_of(proofs: Sequence[Proof]) -> list[str]:
    """The table in Markdown."""
    rows = [_cells(proof.name, _sum([proof])) for proof in proofs if not (proof.refused or proof.crash or proof.mock)]
    rows.append(_cells("**all**", _sum(proofs)))
    lines = ["| " + " | ".join(_HEAD) + " |", "| --- |" + " ---: |" * (len(_HEAD) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def page_of(proofs: Sequence[Proof], inputs: int, most: int | None) -> str:
    """The page of the documentation."""
    each = f"{inputs} inputs for each operation" + (f", at most {most} operations of each document" if most is not None else "")
    through: Counter[str] = Counter()
    for proof in proofs:
        through.update(proof.broken.through)
    refused = [f"- `{proof.name}`: {proof.refused}" for proof in proofs if proof.refused]
    errs = [
        f"- `{proof.name}` {one.call}: {_plain(one.mock_errs[0])}{_cause(one.mock_errs[0])}"
        for proof in proofs
        for one in proof.outcomes
        if is_mock_error(one)
    ]
    rest = [
        f"- `{proof.name}` {one.call}: {_plain((one.unsent + one.refused)[0])}"
        for proof in proofs
        for one in proof.outcomes
        if one.unsent or one.refused
    ]
    own = [f"- `{proof.name}` {call}: {_plain(why)}" for proof in proofs for call, why in own_faults(proof)]
    failed = [f"- `{proof.name}`: {proof.crash or 'the mock cannot load it'}" for proof in proofs if proof.crash or proof.mock]
    return "\n".join(
        [
            "# Imports held against real services' descriptions",
            "",
            "`make corpus` imports every document of a folder with real descriptions (`POLYPORT_CORPUS`), starts a strict mock server of it ([Steady](https://www.npmjs.com/package/@stdy/cli)),",
            "makes valid inputs from the fields of each operation and from the document's own examples, runs them through the engine, and counts what the mock accepts. Swagger 2 and Google discovery are rewritten as OpenAPI 3 for the",
            "mock, by the importer; the second judge (`polyport.testing.spec`) reads them as they are. An operation counts as accepted when every request of it is.",
            "",
            *_told(proofs),
            "",
            f'This is the last run: {each}. `make corpus ARGS="--page docs/reference/imports.md"` writes it anew.',
            "",
            *lines_of(proofs),
            "",
            "- **typed**: operations without a field for JSON where the description says more.",
            "- **called**: every input led to a request. **answers read**: the answer that the mock made up was read into the result.",
            "- **accepted**: by the mock. **mock alone**: the mock refuses a request, the second judge finds no fault in it: not accepted, listed below with the cause where it is known.",
            "- **own examples**: the document's own examples of whole bodies (at most five of an operation), taken back to fields and run like any input. Those that are not accepted break the rules of",
            "  the document that gives them, or cannot be said in fields; they stand below.",
            "- **rules broken**: inputs that were valid but for one place, which breaks a rule if the description has one there. **refused**: our validation refuses them, and nothing is sent.",
            f"  **let through**: they are sent, and the second judge finds a fault that the valid input did not have ({_counted(through)}). The rest breaks no rule.",
            "",
            "## Refused, with the reason",
            "",
            *(refused or ["- none"]),
            "",
            "## Not tried",
            "",
            *(failed or ["- none"]),
            "",
            "## Refused by the mock alone",
            "",
            *(errs[:100] or ["- none"]),
            "",
            "## Not accepted",
            "",
            *(rest[:200] or ["- none"]),
            "",
            "## Own examples of documents that were not accepted",
            "",
            *(own[:200] or ["- none"]),
            "",
        ]
    )


def _told(proofs: Sequence[Proof]) -> list[str]:
    """What the mock is told beside the document, and for which documents."""
    bracketed = ", ".join(f"`{proof.name}` {proof.bracketed}" for proof in proofs if proof.bracketed)
    apart = ", ".join(f"`{proof.name}` {proof.apart}" for proof in proofs if proof.apart)
    return [
        "The mock is told two things. OpenAPI has no rule for lists in the style `deepObject`, for members of a form in that style, for lists of objects in a query, nor for objects in a query whose members",
        "have the names of other parameters: these are sent in brackets, and the mock is told to read brackets (its headers `X-Steady-*-Format`). The rule is the same for every document; operations that it is",
        f"for: {bracketed or 'none'}.",
        "Of paths that differ only by the names of their parts, or by a fragment, the mock knows the first alone: each further one stands beneath a segment of its own in the mock's document.",
        f"Such paths: {apart or 'none'}.",
    ]


_CAUSES: Final = (
    (r"body\S*: Expected type object, got array", "the mock takes a map whose keys are digits for a list"),
    (r"not valid HTTP", "the mock's answer is no HTTP that a client reads"),
    (r"E2001", "the mock finds no path where a part holds several segments"),
    (r"query\S*: Expected type string, got object", "the document describes a text with members; the mock expects the members"),
    (r"requires a request body|is not accepted", "the mock takes another operation's body at this path"),
    (r"sort_by\.\S+: Value", "two parameters of the document take the same names; the mock mixes them up"),
)


def _cause(why: str) -> str:
    """Why the mock refuses what fits the description, where that was found out."""
    return next((f" ({told})" for pattern, told in _CAUSES if re.search(pattern, why)), "")


def _counted(through: Counter[str]) -> str:
    return ", ".join(f"{rule} {count}" for rule, count in through.most_common()) or "none"


def _plain(text: str) -> str:
    return text.partition(" [")[0].replace("|", "\\|").replace("<", "&lt;")[:220]
