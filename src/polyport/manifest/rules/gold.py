"""Gold: the partner is a pleasure. Each docstring is the rule's page: what it asks, a blank line, why."""

from __future__ import annotations

import re
from typing import Any, Final

from polyport.manifest.model import Trigger
from polyport.manifest.quality import Explained
from polyport.manifest.rules.base import Evidence, Rule, input_fields

_VERSION: Final = re.compile(r"(?:^|/)v\d+(?:\.\d+)*(?:/|$)")


def dynamic_lists(evidence: Evidence) -> list[str]:
    """Each field for an id that the partner can list names the list, and each list is used.

    People choose a name; nobody knows ids by heart. Whoever reviews the folder looks for listing calls that are not used yet.
    """
    fields = [field for operation in evidence.partner.operations for field in (*operation.selectors, *input_fields(operation))]
    used = {field.list for field in fields} | {each.custom_fields.list for each in evidence.partner.operations if each.custom_fields}
    found = [f"nothing uses the list {name}" for name in evidence.partner.lists if name not in used]
    for operation in evidence.partner.operations:
        for field in input_fields(operation):
            stem = re.sub(r"_ids?$", "", field.name)
            fitting = next((name for name in (stem, f"{stem}s") if name in evidence.partner.lists), None)
            if stem != field.name and fitting is not None and field.list is None and field.options is None:
                found.append(f"{field.name} of {operation.name} could name the list {fitting}")
    return found if evidence.partner.lists else ["there are no lists"]


def custom_fields(evidence: Evidence) -> list[str]:
    """Fields that the partner's account defines are read from it and offered like any other.

    What matters most to a customer is often a field of their own. A partner without such fields is exempt.
    """
    told = any(operation.custom_fields is not None for operation in evidence.partner.operations)
    return [] if told else ["no operation has customFields"]


def row_sections(evidence: Evidence) -> list[str]:
    """Rows inside a record are sections with fields of their own; no field is a list of raw objects.

    A raw object can be neither filled in by a person nor checked before it is sent. Shapes that have no end are exempt.
    """
    return [
        f"{field.name} of {operation.name} is a list of raw objects"
        for operation in evidence.partner.operations
        for field in input_fields(operation)
        if field.type == "object[]"
    ]


def sample_output(evidence: Evidence) -> list[str]:
    """The samples of an operation's result fields are the values of its case `ok`.

    What is shown before the first run then looks like what the first run gives.
    """
    found = []
    for operation in evidence.running:
        case = dict(evidence.cases_of(operation.name)).get("ok")
        row: Any = None if case is None else next(iter(case.items or ()), None) if isinstance(operation, Trigger) else case.result
        fields = operation.result.fields
        odd = [field.name for field in fields if isinstance(row, dict) and field.name in row and field.sample != row[field.name]]
        found += [f"the samples of {operation.name} are not those of its case ok: {', '.join(odd)}"] if odd else []
    return found


def depends_on(evidence: Evidence) -> list[str]:
    """Each list that depends on other fields has a case that gives them.

    A list that ignores what it depends on offers the wrong choices, and nothing says so.
    """
    return [
        f"no case of the list {spec.name} gives {', '.join(spec.depends_on)}"
        for spec in evidence.partner.lists.values()
        if spec.depends_on and not any(spec.depends_on[0] in case.input for _name, case in evidence.cases_of(f"lists/{spec.name}"))
    ]


def notes_complete(evidence: Evidence) -> list[str]:
    """`notes.md` has sections on limits, on known gaps, and on errors or troubleshooting.

    Who meets a limit looks there first. Whoever reviews the folder asks what they would want to know.
    """
    wanted = (("limits", ("limit",)), ("known gaps", ("gap",)), ("errors or troubleshooting", ("trouble", "error", "wrong")))
    return [f"notes.md has no section on {name}" for name, words in wanted if not evidence.section(*words)]


def version_pinned(evidence: Evidence) -> list[str]:
    """The version of the partner's API stands in one place, and a section of `notes.md` says how the partner ends versions.

    A new version is then one change, made in time.
    """
    paths = [where for where, call in evidence.calls if call.path is not None and _VERSION.search(call.path)]
    found = [f"the version stands in the paths of {len(paths)} calls, beginning with {paths[0]}"] if paths else []
    return found if evidence.section("version") else [*found, "notes.md has no section on versions"]


def exempt_with_link(evidence: Evidence) -> list[str]:
    """Each exemption has a link to a page that bears it out.

    An exemption is a claim about the partner like any other.
    """
    answers = evidence.linted.quality.quality.answers
    return [
        f"the exemption from {name} has no link"
        for name, answer in answers.items()
        if isinstance(answer, Explained) and answer.status == "exempt" and "https://" not in answer.comment
    ]


RULES: Final = (
    Rule(number=21, tier="gold", check=dynamic_lists, reviewed=True),
    Rule(number=22, tier="gold", check=custom_fields, reviewed=True),
    Rule(number=23, tier="gold", check=row_sections),
    Rule(number=24, tier="gold", check=sample_output),
    Rule(number=25, tier="gold", check=depends_on),
    Rule(number=26, tier="gold", check=notes_complete, reviewed=True),
    Rule(number=27, tier="gold", check=version_pinned),
    Rule(number=28, tier="gold", check=exempt_with_link, exemptable=False),
)
