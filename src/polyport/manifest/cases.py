"""Cases: recorded or written-from-documentation exchanges that show what an operation does. A case is a test, an example and a simulator answer.

``cases/<operation>/<case>.yaml`` for operations, ``cases/lists/<list>/<case>.yaml`` for lists, ``cases/verify/<case>.yaml`` for the verify call.
``cases/connection.yaml`` holds the connection that cases use when they name none: ``{auth: api_token, fields: {...}}`` with made-up secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Base64Bytes, Field, ValidationError, model_validator

from polyport.manifest.base import Node
from polyport.manifest.disk import Place, is_folder, listed, source_of
from polyport.manifest.sentences import describe
from polyport.manifest.source import Problem, Unreadable


class CaseConnection(Node):
    """A connection for cases: which auth choice, and its fields. The secrets are made up.

    ``(a private key)`` inside a field stands for an RSA key in PEM that is made while the cases run.
    """

    auth: str
    fields: dict[str, Any] = Field(default_factory=dict)


class ExpectedToken(Node):
    """What a signed token (JWT) says: its ``claims``, all of them, and those members of its ``header`` that matter."""

    claims: dict[str, Any]
    header: dict[str, Any] = Field(default_factory=dict)


class ExpectedRequest(Node):
    """What the engine has to send. ``headers`` names those that matter, ``query`` is compared whole, so is the body.

    ``multipart`` holds the parts by name, nested by their brackets; of a file the keys that are given count (``name``, ``contentType``, ``size``, ``sha256``,
    ``base64``). ``xml`` is the body as an object without prefixes. ``tokens`` are the parameters of the form that are signed tokens.
    """

    method: str
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, str | list[str]] = Field(default_factory=dict)
    json_body: Any = Field(default=None, alias="json")
    form: dict[str, str | list[str]] | None = None
    tokens: dict[str, ExpectedToken] = Field(default_factory=dict)
    multipart: dict[str, Any] | None = None
    xml: dict[str, Any] | None = None
    text: str | None = None

    @model_validator(mode="after")
    def _tokens_stand_in_a_form(self) -> ExpectedRequest:
        if self.tokens and (self.form is None or self.tokens.keys() & self.form.keys()):
            raise ValueError('"tokens" are parameters of a form: say "form" too, and each parameter once')
        return self


class RecordedReply(Node):
    """What the partner answers: ``json``, or ``text`` or bytes in ``base64`` with their content type among the headers."""

    status: int = 200
    headers: dict[str, str] = Field(default_factory=dict)
    json_body: Any = Field(default=None, alias="json")
    text: str | None = None
    base64: Base64Bytes | None = None


class Exchange(Node):
    """One request and its answer."""

    request: ExpectedRequest
    reply: RecordedReply


class Case(Node):
    """One case. Exactly one of ``result``, ``items``, ``options``, ``account``, ``error`` and ``invalid`` says what comes out.

    ``input`` is the runner data, ``selectors`` the values of credentialData positions 1, 2, ... ``now`` is the clock (ISO 8601). ``error`` is
    compared key by key with the error record; ``invalid`` are the faults (path and code) of an input that never leaves.
    """

    title: str
    connection: CaseConnection | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    selectors: tuple[Any, ...] = ()
    query: str | None = None
    window: dict[str, Any] | None = None
    cursor: str | None = None
    limit: int | None = None
    now: str = "2026-11-24T12:00:00Z"
    exchanges: tuple[Exchange, ...] = ()
    result: dict[str, Any] | None = None
    items: list[Any] | None = None
    options: list[Any] | None = None
    account: str | None = None
    error: dict[str, Any] | None = None
    invalid: list[dict[str, str]] | None = None

    @model_validator(mode="after")
    def _has_one_outcome(self) -> Case:
        outcomes = (self.result, self.items, self.options, self.account, self.error, self.invalid)
        if sum(outcome is not None for outcome in outcomes) != 1:
            raise ValueError("a case says exactly one of result, items, options, account, error and invalid")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """A case and where it stands: ``target`` is an operation's name, ``lists/<name>`` or ``verify``."""

    file: str
    target: str
    name: str
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """All cases of a folder, the connection they use, and every problem found."""

    connection: CaseConnection | None
    cases: tuple[CaseFile, ...]
    problems: tuple[Problem, ...]


def load_cases(folder: Place) -> Cases:
    """Load the cases of a partner's folder."""
    connection: CaseConnection | None = None
    cases: list[CaseFile] = []
    problems: list[Problem] = []
    for name, entry in _case_files(folder / "cases", "cases", problems):
        model = CaseConnection if name == "cases/connection.yaml" else Case
        try:
            source = source_of(name, entry)
        except Unreadable as error:
            problems.extend(error.problems)
            continue
        try:
            built = model.model_validate(source.data, by_alias=True, by_name=False)
        except ValidationError as error:
            problems.extend(describe(model, source, error.errors(include_url=False)))
        else:
            if isinstance(built, CaseConnection):
                connection = built
            else:
                target, _, stem = name.removeprefix("cases/").removesuffix(".yaml").rpartition("/")
                cases.append(CaseFile(file=name, target=target, name=stem, case=built))
    return Cases(connection=connection, cases=tuple(cases), problems=tuple(problems))


def _case_files(folder: Place, prefix: str, problems: list[Problem]) -> Iterator[tuple[str, Place]]:
    try:
        entries = listed(prefix, folder) if is_folder(folder) else []
    except Unreadable as error:
        problems.extend(error.problems)
        return
    for entry in entries:
        if is_folder(entry):
            yield from _case_files(entry, f"{prefix}/{entry.name}", problems)
        elif entry.name.endswith(".yaml"):
            yield f"{prefix}/{entry.name}", entry
