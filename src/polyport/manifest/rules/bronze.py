"""Bronze: the partner is honest and it loads. Each docstring is the rule's page: what it asks, a blank line, why."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from polyport.manifest.model import Trigger
from polyport.manifest.rules.base import Evidence, Rule, input_fields
from polyport.manifest.rules.credentials import credentials_in
from polyport.manifest.variables import InputField, OutputField

_PLACEHOLDER: Final = re.compile(r"\{\{[^{}]*\}\}")
_SECRET_NAME: Final = re.compile(r"token|secret|password|passphrase|api_?key|private_?key", re.IGNORECASE)
_NAME_OF_ONE: Final = ("_id", "_sid", "_name", "_url", "_header")
_ENDS: Final = ("delete", "erase", "purge", "destroy")
_RESERVED_HOSTS: Final = (".example", ".test", ".invalid", ".local", ".localhost", ".internal", ".lan")
_NEEDED_KINDS: Final = (
    ("401 and 403", {"expired_token", "invalid_connection", "forbidden"}),
    ("404", {"not_found"}),
    ("400 or 422", {"invalid_input"}),
    ("429", {"rate_limited"}),
    ("5xx", {"unavailable"}),
)


def manifest_valid(evidence: Evidence) -> list[str]:
    """`polyport connector lint` finds no fault in the folder, and no `todo:` mark of the scaffold is left.

    A folder with a fault is left out by the server. A mark says that a part was never looked at.
    """
    found = [f"lint: {problem}" for problem in evidence.linted.problems]
    return found + [f"there is a mark left at {mark.file}:{mark.line}" for mark in evidence.linted.marks]


def unique_ids(evidence: Evidence) -> list[str]:
    """The ids of the partner and of each operation are recorded under `ids` in `quality.yaml`: `polyport connector lint --record` writes them.

    Clients keep ids in their own code, so an id never changes and is never given to something else. Lint compares the recorded ids
    with the folder, and the folder with all other partners.
    """
    ids = evidence.linted.quality.quality.ids
    missing = [operation.name for operation in evidence.partner.operations if operation.name not in ids.operations]
    found = [] if ids.partner is not None else ["the partner's id is not recorded"]
    return [*found, f"no id is recorded of {', '.join(missing)}"] if missing else found


def titles_and_descriptions(evidence: Evidence) -> list[str]:
    """The partner and each operation have a description; each field has a label that says more than its name.

    People choose operations and fill in fields by these words, and so do agents.
    """
    found = [] if evidence.partner.file.description else ["the partner has no description"]
    for operation in evidence.partner.operations:
        if not operation.description:
            found.append(f"{operation.name} has no description")
        named: list[InputField | OutputField] = [*input_fields(operation), *operation.result.fields]
        found += [f"{operation.name}: the label of {field.name} is only its name" for field in named if field.label == field.name]
    return found


def auth_declared(evidence: Evidence) -> list[str]:
    """The partner says how its callers prove who they are, and names a call that verifies a connection.

    Without such a call a mistyped key is noticed at the first run, not when it is entered.
    """
    connection = evidence.partner.file.connection
    if connection is None:
        return ["there is no connection in partner.yaml"]
    return [] if connection.verify is not None else ["the connection has no verify call"]


def ok_case(evidence: Evidence) -> list[str]:
    """Each operation that runs has a case called `ok` that states the requests sent and what comes out, and every case passes.

    A case is a test, an example in the docs and an answer of the simulator at once.
    """
    found = [f"{file} does not pass" for file in evidence.failing]
    for operation in evidence.running:
        case = dict(evidence.cases_of(operation.name)).get("ok")
        if case is None:
            found.append(f"{operation.name} has no case ok")
        elif (case.items if isinstance(operation, Trigger) else case.result) is None:
            found.append(f"the case ok of {operation.name} states no {'items' if isinstance(operation, Trigger) else 'result'}")
        elif operation.steps and not case.exchanges:
            found.append(f"the case ok of {operation.name} states no request")
    return found


def error_rules(evidence: Evidence) -> list[str]:
    """The error rules tell apart a refused token (401), missing rights (403), nothing there (404), refused values (400, 422), too many calls (429) and a partner that is down (5xx).

    The built-in rules go by the status alone. The partner's own say where its message, its code and the faulty field stand, and what to do.
    """
    kinds = {rule.kind for rule in evidence.error_rules}
    return [f"no error rule is for {status} ({' or '.join(sorted(wanted))})" for status, wanted in _NEEDED_KINDS if not wanted & kinds]


def secrets_marked(evidence: Evidence) -> list[str]:
    """Each field of a connection that holds a secret says `secret: true`, and no file of the folder holds a real credential.

    Only what is marked is sealed in the store and blotted out in logs, errors and records.
    """
    connection = evidence.partner.file.connection
    found = [
        f"{case.file} holds what looks like a real {kind}"
        for case in evidence.cases.cases
        for kind in credentials_in(str(case.case.model_dump()))
    ]
    shared = evidence.cases.connection
    if shared is not None:
        found += [f"cases/connection.yaml holds what looks like a real {kind}" for kind in credentials_in(str(shared.model_dump()))]
    found += [f"notes.md holds what looks like a real {kind}" for kind in credentials_in(evidence.linted.notes)]
    for choice in connection.auth if connection is not None else ():
        fields = {field.name: field for field in (*(connection.fields if connection is not None else ()), *choice.fields)}
        found += [
            f"the connection field {field.name} is not marked as a secret"
            for field in fields.values()
            if _SECRET_NAME.search(field.name)
            and not field.name.endswith(_NAME_OF_ONE)
            and not field.secret
            and field.type == "string"
            and field.options is None
        ]
        if choice.scheme.kind not in {"none", "oauth2"} and not any(field.secret for field in fields.values()):
            found.append(f"the way to authorise {choice.name} has no secret")
    return list(dict.fromkeys(found))


def https_and_public_hosts(evidence: Evidence) -> list[str]:
    """Every address in the folder begins with `https://` and names a public host.

    A secret never travels in the clear, and a folder cannot point the server at its own network.
    """
    connection = evidence.partner.file.connection
    schemes = [choice.scheme for choice in connection.auth] if connection is not None else []
    addresses = [("base", evidence.partner.file.base or ""), ("docs", evidence.partner.file.docs or "")]
    addresses += [(where, call.url) for where, call in evidence.calls if call.url is not None]
    addresses += [
        (f"connection.auth.{key}", value)
        for scheme in schemes
        for key, value in scheme.model_dump().items()
        if key.endswith("_url") and isinstance(value, str)
    ]
    choices = {
        f"connection.{field.name}": [str(option.key) for option in field.options] if field.options is not None else [str(field.sample)]
        for field in (connection.fields if connection is not None else ())
        if field.options is not None or field.sample is not None
    }
    found = [
        f"{where}: {fault}"
        for where, address in addresses
        for plain in _filled(address, choices)
        if address and (fault := _fault_of(plain)) is not None
    ]
    return list(dict.fromkeys(found))


def _filled(address: str, choices: Mapping[str, list[str]]) -> list[str]:
    """An address as it may be called: with each choice in the place of a field that has some, else its sample, and a word in the place of any other value."""
    for placeholder in _PLACEHOLDER.findall(address):
        name = placeholder.strip("{} ").partition("|")[0].strip()
        if name in choices:
            return [filled for key in choices[name] for filled in _filled(address.replace(placeholder, key), choices)]
    return [_PLACEHOLDER.sub("x", address)]


def _fault_of(plain: str) -> str | None:
    if not plain.startswith("https://"):
        return "this address does not begin with https://"
    host = urlsplit(plain).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        reserved = "." not in host or host.endswith(_RESERVED_HOSTS)
        return f'"{host}" is no public host' if reserved else None
    return "an address names its host, not a number"


def owner_named(evidence: Evidence) -> list[str]:
    """`owners` in `partner.yaml` names who looks after the folder.

    Partners change their APIs; without an owner nobody follows.
    """
    return ["the owner is still to be named"] if "todo" in evidence.partner.file.owners else []


def credentials_how_to(evidence: Evidence) -> list[str]:
    """A section of `notes.md` says step by step how to get the credentials (its heading speaks of credentials or connections).

    This is where most connections fail. Whoever reviews the folder follows the steps.
    """
    return [] if evidence.section("credential", "connect") else ["notes.md has no section on credentials or connections"]


def sources_cited(evidence: Evidence) -> list[str]:
    """`notes.md` names the partner's public page for each operation, on one line with the operation's name.

    A claim about a partner can then be checked by anyone. Whoever reviews the folder opens the pages.
    """
    lines = [line for line in evidence.linted.notes.splitlines() if "https://" in line]
    return [
        f"notes.md cites no page for {operation.name}"
        for operation in evidence.partner.operations
        if not any(re.search(rf"(?<![\w-]){re.escape(operation.name)}(?![\w-])", line) for line in lines)
    ]


def idempotent_flag(evidence: Evidence) -> list[str]:
    """Each action says `idempotent`, reading ones say `readOnly`, and those that delete say `destructive`.

    By these flags the server decides whether a call may be sent again, and agents decide what they may do alone.
    """
    found = []
    for action in evidence.partner.actions:
        methods = {call.method for call in action.steps}
        if "DELETE" in methods and action.name.startswith(_ENDS) and not action.destructive:
            found.append(f"{action.name} deletes and is not marked as destructive")
        if methods == {"GET"} and not action.read_only:
            found.append(f"{action.name} only reads and is not marked as readOnly")
    return found


RULES: Final = (
    Rule(number=1, tier="bronze", check=manifest_valid, exemptable=False),
    Rule(number=2, tier="bronze", check=unique_ids, exemptable=False),
    Rule(number=3, tier="bronze", check=titles_and_descriptions, exemptable=False),
    Rule(number=4, tier="bronze", check=auth_declared),
    Rule(number=5, tier="bronze", check=ok_case),
    Rule(number=6, tier="bronze", check=error_rules),
    Rule(number=7, tier="bronze", check=secrets_marked, exemptable=False),
    Rule(number=8, tier="bronze", check=https_and_public_hosts),
    Rule(number=9, tier="bronze", check=owner_named, exemptable=False),
    Rule(number=10, tier="bronze", check=credentials_how_to, reviewed=True),
    Rule(number=11, tier="bronze", check=sources_cited, reviewed=True),
    Rule(number=12, tier="bronze", check=idempotent_flag, exemptable=False),
)
