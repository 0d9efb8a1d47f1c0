"""Silver: the partner survives a bad day. Each docstring is the rule's page: what it asks, a blank line, why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from polyport.manifest.cases import Case, ExpectedRequest
from polyport.manifest.model import Action
from polyport.manifest.rules.base import Evidence, Rule, leaves
from polyport.manifest.variables import InputSection
from polyport.paths import Path, get

_REFUSED: Final = frozenset({"connection_invalid", "token_expired"})
_PURPOSES: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("create", "add", "send", "post", "append", "upload", "put", "insert"),
    "update": ("update", "edit", "change", "set", "replace", "upsert", "move", "cancel", "end", "close"),
    "find": ("find", "search", "get", "look"),
    "list": ("list", "read", "query"),
}


def failure_cases(evidence: Evidence) -> list[str]:
    """Cases show a token that is refused, a token that is refreshed, too many calls (with the header that says how long to wait, where there is one), a value that the partner refuses, and a partner that is down.

    These are what happens on a bad day; a case shows that the caller learns what it is and what to do. A refresh is asked for where the
    calls themselves obtain a token: such a case has an answer of 401 and succeeds all the same. The tokens of a sign-in in the browser are
    renewed by the server, for the connection.
    """
    errors = [(case, case.error) for case in evidence.all_cases if case.error is not None]
    codes = {error.get("code") for _case, error in errors}
    found = []
    if evidence.partner.file.connection is not None and not (codes & _REFUSED or any(_is_refused(case) for case, _error in errors)):
        found.append("no case shows a refused token")
    if _obtains(evidence) and not any(_is_refused(case) for case in evidence.all_cases if case.error is None):
        found.append("no case shows a token that has expired and is renewed")
    limited = [case for case, error in errors if error.get("code") == "partner_rate_limited"]
    timed = any(rule.kind == "rate_limited" and rule.retry_after is not None and rule.retry_after.header for rule in evidence.error_rules)
    if not limited:
        found.append("no case shows too many calls")
    elif timed and not any(_sends_headers(case) for case in limited):
        found.append("no case shows too many calls with the time to wait from a header")
    if not any(_refuses_value(case, error) for case, error in errors):
        found.append("no case shows a value that the partner refuses")
    if "partner_unavailable" not in codes:
        found.append("no case shows a partner that is down")
    return found


def _refuses_value(case: Case, error: Mapping[str, Any]) -> bool:
    """Whether the partner was asked and refused: it names the field, or answers with a status that says so."""
    return any(error.get("fields") or exchange.reply.status in {400, 422} for exchange in case.exchanges)


def _is_refused(case: Case) -> bool:
    return any(exchange.reply.status == 401 for exchange in case.exchanges)


def _obtains(evidence: Evidence) -> bool:
    """Whether a way to authorise obtains tokens while calls are made."""
    connection = evidence.partner.file.connection
    return connection is not None and any(getattr(choice.scheme, "exchanges", False) for choice in connection.auth)


def _sends_headers(case: Case) -> bool:
    return any(exchange.reply.headers for exchange in case.exchanges)


def pager_case(evidence: Evidence) -> list[str]:
    """Where there are pages, a case reads a second one, and a case shows that there is nothing.

    The end of a list is where pagers go wrong: a last page that is asked for again, an empty one that is taken for a fault.
    """
    paged = [(trigger.name, trigger.items) for trigger in evidence.partner.triggers if trigger.pager is not None]
    paged += [(f"lists/{spec.name}", spec.items) for spec in evidence.partner.lists.values() if spec.pager is not None]
    if not paged:
        return []
    cases = [(case, items) for name, items in paged for _name, case in evidence.cases_of(name)]
    found = [] if any(_second_page(case) for case, _items in cases) else ["no case reads a second page"]
    return found if any(_empty_page(case, items) for case, items in cases) else [*found, "no case shows an empty page"]


def _second_page(case: Case) -> bool:
    asked = [(exchange.request.method, exchange.request.url.partition("?")[0]) for exchange in case.exchanges]
    return case.cursor is not None or len(set(asked)) < len(asked)


def _empty_page(case: Case, items: Path) -> bool:
    nothing = case.items == [] or case.options == []
    return nothing or any(get(exchange.reply.json_body, items) == [] for exchange in case.exchanges)


def rate_limit_header(evidence: Evidence) -> list[str]:
    """An error rule for too many calls says where the answer tells how long to wait.

    Who knows the time waits that long; who does not guesses, and is blocked.
    """
    told = any(rule.kind == "rate_limited" and rule.retry_after is not None for rule in evidence.error_rules)
    return [] if told else ['no error rule of the kind rate_limited has "retryAfter"']


def error_fields(evidence: Evidence) -> list[str]:
    """An error rule says where the partner names the field that it refuses.

    The caller then sees the fault at the field. Whoever reviews the folder compares the rules with the partner's page on errors.
    """
    tools = all(isinstance(operation, Action) and not operation.steps for operation in evidence.partner.operations)
    told = tools or any(rule.field is not None or rule.faults is not None for rule in evidence.error_rules)
    return [] if told else ['no error rule of the kind invalid_input has "field" or "faults"']


def optional_fields_omitted(evidence: Evidence) -> list[str]:
    """For each action with optional fields a case leaves some out, and the request it states has no empty text in their place.

    Partners take an empty text or a null for a change. What is not given leaves no trace.
    """
    found = []
    for action in evidence.partner.actions:
        if not action.steps or not (_optional(action) or any(_optional(section) for section in action.sections)):
            continue
        sparse = [case for _name, case in evidence.cases_of(action.name) if case.exchanges and _leaves_out(action, case.input)]
        if not sparse:
            found.append(f"no case of {action.name} leaves an optional field out")
        if any(_has_new_blanks(case) for case in sparse):
            found.append(f"a case of {action.name} sends an empty text that nobody gave")
    return found


def _optional(level: Action | InputSection) -> set[str]:
    """The names of what a caller may leave out of an operation, or of a row."""
    return {field.name for field in level.fields if not field.required} | {
        section.name for section in level.sections if not section.required
    }


def _leaves_out(level: Action | InputSection, given: Mapping[str, Any]) -> bool:
    """Whether something optional is not given, here or in a row; in rows a name may have an underscore behind it."""
    if any(name not in given and f"{name}_" not in given for name in _optional(level)):
        return True
    rows = [(section, row) for section in level.sections for row in _rows(given.get(section.name))]
    return any(_leaves_out(section, row) for section, row in rows)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _has_new_blanks(case: Case) -> bool:
    given = list(leaves(case.input))
    return "" not in given and None not in given and any("" in leaves(_sent(exchange.request)) for exchange in case.exchanges)


def _sent(request: ExpectedRequest) -> list[Any]:
    return [request.query, request.form or {}, request.json_body]


def zones_and_formats(evidence: Evidence) -> list[str]:
    """A section of `notes.md` says how the partner writes times (in which zone), days, numbers and phones.

    A time without a zone is wrong by hours for some customers only. Whoever reviews the folder compares it with the fields.
    """
    told = evidence.section("time", "format", "number", "zone", "date")
    return [] if told else ["notes.md has no section on times, numbers or formats"]


def least_scopes(evidence: Evidence) -> list[str]:
    """`notes.md` has a section on scopes (or rights) that explains each one that is asked for.

    A customer gives as little as possible, and has to be able to see why it is needed.
    """
    text = evidence.section("scope", "right", "permission")
    if not text:
        return ["notes.md has no section on scopes or rights"]
    connection = evidence.partner.file.connection
    scopes = [
        scope for choice in (connection.auth if connection is not None else ()) for scope in choice.scheme.model_dump().get("scopes") or ()
    ]
    return [f"the scope {scope} is not explained in notes.md" for scope in dict.fromkeys(scopes) if str(scope) not in text]


def minimum_operations(evidence: Evidence) -> list[str]:
    """There is an operation that creates, one that updates, one that finds, one that lists, and a trigger.

    With less, most flows have to fall back on raw requests. A partner that cannot do one of these is exempt.
    """
    first = {action.name.partition("_")[0].lower() for action in evidence.partner.actions}
    found = [f"no action {purpose}s ({', '.join(words)})" for purpose, words in _PURPOSES.items() if not first & set(words)]
    return found if evidence.partner.triggers else [*found, "there is no trigger"]


RULES: Final = (
    Rule(number=13, tier="silver", check=failure_cases),
    Rule(number=14, tier="silver", check=pager_case),
    Rule(number=15, tier="silver", check=rate_limit_header),
    Rule(number=16, tier="silver", check=error_fields, reviewed=True),
    Rule(number=17, tier="silver", check=optional_fields_omitted),
    Rule(number=18, tier="silver", check=zones_and_formats, reviewed=True),
    Rule(number=19, tier="silver", check=least_scopes, reviewed=True),
    Rule(number=20, tier="silver", check=minimum_operations),
)
