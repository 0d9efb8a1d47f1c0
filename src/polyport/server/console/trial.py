"""What is tried: an operation, a connection, an input; read from a form or from a link, shown as a form, as JSON, as code."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from polyport.errors import Fault, NotFound, PolyportError, ValidationFailed
from polyport.redaction import MASK
from polyport.server.connect.forms import read_pairs
from polyport.server.console.controls import DATETIME, INTEGER, STRING, Control, Level, level_of, selectors_of
from polyport.server.console.filled import Filled, json_value, read_filled, shown_json
from polyport.server.console.member import Member
from polyport.server.console.picking import Picking, pick
from polyport.server.console.placing import READING, at_their_fields, drop_stale
from polyport.server.console.sharing import unpacked
from polyport.server.console.show import chosen
from polyport.server.console.snippets import without_secrets
from polyport.server.console.within import ask
from polyport.server.routing import Call
from polyport.server.wire import encode

FIELDS_MOST: Final = 10_000
NOTHING: Final[Mapping[str, Any]] = {"variables": [], "rowSections": [], "credentialData": []}
FILES_MOST: Final = 20
TABS: Final = frozenset({"body", "curl", "Python", "JavaScript"})
# What a trigger is read by: each a field as the API would describe it.
_READING: Final[Mapping[str, Mapping[str, Any]]] = {
    "from": {"label": "From", "type": DATETIME},
    "to": {"label": "To", "type": DATETIME},
    "limit": {"label": "At most", "type": INTEGER, "sample": 100, "hint": "How many items a page has."},
    "cursor": {"label": "Cursor", "type": STRING, "hint": "nextCursor of the page before."},
}


@dataclass(slots=True, kw_only=True)
class Trial:
    """A trial on its way from what was asked to the page.

    ``hidden`` are the names of inputs that are secrets. ``shown`` is the operation for the connection as ``run/info`` describes it, ``fault`` why there is none. ``text`` is the JSON as it was typed, in the
    view for JSON. ``reading`` is the window, cursor and limit of a trigger; ``kept`` are the files that are named by their ids.
    """

    operation: Mapping[str, Any]
    partner: Mapping[str, Any]
    picking: Picking = field(default_factory=Picking)
    hidden: frozenset[str] = frozenset()
    view: str = "form"
    filled: Filled = field(default_factory=Filled)
    text: str | None = None
    text_fault: str | None = None
    reading: dict[str, str] = field(default_factory=dict)
    shown: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    fault: PolyportError | None = None
    warnings: list[str] = field(default_factory=list)
    found: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    kept: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rest: list[Fault] = field(default_factory=list)
    tab: str = "body"
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def id(self) -> int:
        """The operation's id."""
        return int(self.operation["triggerActionId"])

    @property
    def connection_id(self) -> int | None:
        """The connection that is chosen."""
        return self.picking.chosen

    @property
    def chosen(self) -> Mapping[str, Any] | None:
        """The connection that is chosen, as the API tells it."""
        return next((each for each in self.picking.offered if each["credentialId"] == self.connection_id), None)

    @property
    def unshown_labels(self) -> dict[str, str]:
        """What choices are called, for a view that shows no lists."""
        shows_lists = self.view == "form" and self.fault is None
        return {} if shows_lists else {path: encode(list(pairs.items())).decode() for path, pairs in self.filled.labels.items()}

    @property
    def needs_connection(self) -> bool:
        """Whether the partner asks for one."""
        return bool(self.partner["authTypes"])

    @property
    def level(self) -> Level:
        """The form."""
        return level_of(self.shown, self.filled, self.found)

    @property
    def selectors(self) -> list[Control]:
        """The selectors of the form."""
        return selectors_of(self.shown, self.filled, self.found)

    @property
    def ranges(self) -> list[Control]:
        """The controls of what a trigger is read by."""
        faults = self.filled.faults
        return [
            Control(
                path=f"r.{name}", kind="s", how="", widget="text", text=self.reading.get(name, ""), told=told, called=name,
                error=faults.get(f"r.{name}"),
            )
            for name, told in _READING.items()
        ]  # fmt: skip

    @property
    def mark(self) -> str:
        """What tells one input from another; secrets have no part in it."""
        return hashlib.sha256(encode(self.shown_body())).hexdigest()[:16]

    @property
    def broken(self) -> bool:
        """Whether something that was typed is no JSON, so that nobody knows what is meant."""
        return bool(self.filled.raw) or self.text_fault is not None

    def positions(self) -> dict[str, Any]:
        """``credentialData``."""
        given = {str(position): {"value": value} for position, value in self.filled.select.items()}
        return {"0": {"value": self.connection_id}} | given if self.connection_id is not None else given

    def body(self) -> dict[str, Any]:
        """The body of a run."""
        body: dict[str, Any] = {}
        if positions := self.positions():
            body["credentialData"] = positions
        body["runnerData"] = self.filled.data
        window = {name: _number(text) for name in ("from", "to") if (text := self.reading.get(name))}
        if window:
            body["window"] = window
        if self.reading.get("cursor"):
            body["cursor"] = self.reading["cursor"]
        if self.reading.get("limit"):
            body["limit"] = _number(self.reading["limit"])
        return body

    def shown_body(self) -> dict[str, Any]:
        """The body of a run as it may be shown."""
        body = self.body()
        return {**body, "runnerData": without_secrets(self.hidden, body["runnerData"])}

    def typed(self) -> str:
        """The input as JSON, for the view for JSON: as it was typed, or without the secrets, which are not shown again."""
        if self.text_fault is not None and self.text is not None:
            return self.text
        return shown_json(without_secrets(self.hidden, self.filled.data, None))

    def tell(self, error: ValidationFailed) -> None:
        """Put faults at their fields."""
        others = [
            *(["c.0"] if self.needs_connection else []),
            *([f"r.{name}" for name in READING] if self.operation["kind"] == "apiTrigger" else []),
        ]
        placed, self.rest = at_their_fields(self.level, self.selectors, error.details.fields, others)
        for path, message in placed.items():
            self.filled.faults.setdefault(path, message)


def _number(text: str) -> Any:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text


async def open_trial(call: Call, member: Member) -> Trial:
    """The operation and its partner. Raises ``NotFound``."""
    operation = (await ask(call, member, "GET /partners/trigger-actions/{id}", id=call.id("operationId"))).data
    partner = (await ask(call, member, "GET /partners/{partnerId}", partnerId=operation["partnerId"])).data
    # The names of secrets come with the operation: they are known where its fields cannot be read for the connection.
    program = await call.engine.desk.program(member.user.account_id, int(operation["triggerActionId"]))
    return Trial(operation=operation, partner=partner, hidden=program.hidden)


async def from_link(call: Call, member: Member, trial: Trial) -> None:
    """Fill a trial in with what stands in the address."""
    given = chosen(call, "connection", "view", "input", "run")
    if "run" in given:
        given |= await _from_run(call, member, trial, given["run"])
    await _choose(call, member, trial, given)
    trial.view = "json" if given.get("view") == "json" else "form"
    if "input" not in given:
        return
    try:
        content = unpacked(given["input"])
    except ValueError:
        trial.warnings.append("The input in this link cannot be read: the form is empty.")
        return
    if isinstance(content.get("d"), dict):
        trial.filled.data = content["d"]
    if isinstance(content.get("c"), dict):
        trial.filled.select = {name: value for name, value in content["c"].items() if name != "0"}
    if isinstance(content.get("r"), dict):
        trial.reading = {name: str(content["r"][name])[:500] for name in READING if name in content["r"]}


async def _from_run(call: Call, member: Member, trial: Trial, run_id: str) -> dict[str, str]:
    """Fill a trial in with what a run was asked with, secrets left out; the connection it ran with."""
    try:
        run = (await ask(call, member, "GET /runs/{runId}", runId=run_id)).data
        content = (await ask(call, member, "GET /runs/{runId}/input", runId=run_id)).data
    except PolyportError as error:
        trial.warnings.append(f"The form is empty. {error.message}")
        return {}
    if run["triggerActionId"] != trial.id:
        trial.warnings.append("The run in this link is one of another operation: the form is empty.")
        return {}
    trial.filled.data = _unmasked(without_secrets(trial.hidden, content["runnerData"], None))
    if trial.filled.data != content["runnerData"]:
        trial.warnings.append("The secrets of the run's input are not shown again: fill them in anew.")
    positions = {name: given["value"] if isinstance(given, dict) else given for name, given in content["credentialData"].items()}
    trial.filled.select = {name: value for name, value in positions.items() if name != "0"}
    reading = {**(content.get("window") or {}), "cursor": content.get("cursor"), "limit": content.get("limit")}
    trial.reading = {name: str(reading[name])[:500] for name in READING if reading.get(name) is not None}
    return {"connection": str(run["credentialId"])} if run["credentialId"] is not None else {}


def _unmasked(data: Any) -> Any:
    """An input without what was masked in it."""
    if isinstance(data, dict):
        return {name: _unmasked(value) for name, value in data.items() if value != MASK}
    return [_unmasked(each) for each in data if each != MASK] if isinstance(data, list) else data


async def from_form(call: Call, member: Member, trial: Trial) -> Mapping[str, str]:
    """Fill a trial in with a form; the names that are the form's own."""
    pairs = read_pairs(call.content, FIELDS_MOST)
    own = {name: text for name, text in pairs if ":" not in name}
    trial.filled = read_filled(pairs)
    await _choose(call, member, trial, own)
    trial.view = "json" if own.get("view") == "json" else "form"
    trial.tab = own["as"] if own.get("as") in TABS else "body"
    trial.reading = {name: own[name].strip()[:2_000] for name in READING if own.get(name, "").strip()}
    nonce = own.get("nonce", "")
    if nonce.isalnum() and len(nonce) <= 32:
        trial.nonce = nonce
    if "text" in own:
        trial.text = own["text"].replace("\r\n", "\n")
        try:
            typed = json_value(trial.text) if trial.text.strip() else {}
        except ValueError as error:
            trial.text_fault = str(error)
        else:
            if isinstance(typed, dict):
                trial.filled.data = typed | trial.filled.data
            else:
                trial.text_fault = "An object with the fields of the operation is needed here."
    return own


async def _choose(call: Call, member: Member, trial: Trial, given: Mapping[str, str]) -> None:
    """The connection that was chosen; else the only one that works."""
    if not trial.needs_connection:
        return
    trial.picking = await pick(call, member, int(trial.operation["partnerId"]), given.get("connection", ""), given.get("seek", ""))
    if trial.picking.gone:
        other = ": another one is chosen" if trial.picking.chosen is not None else ": choose another one"
        trial.warnings.append(f"The connection that was chosen is not there any more{other}.")


async def describe(call: Call, member: Member, trial: Trial) -> None:
    """Read the operation's fields for the connection, and the lists that were searched. What goes wrong is told on the page."""
    if trial.needs_connection and trial.connection_id is None:
        return
    body = {"credentialData": trial.positions(), "runnerData": trial.filled.data}
    try:
        answer = await ask(call, member, "POST /partners/trigger-actions/{id}/run/info", id=trial.id, body=body)
    except NotFound:
        trial.fault = NotFound("This connection is not there any more: choose another one.")
        return
    except ValidationFailed as error:
        if not trial.filled.select:
            trial.fault = error
            return
        # A selector does not stand, perhaps because an earlier one was changed: without those behind it, the form is one that can be filled in.
        await _without_selectors(call, member, trial, error)
        return
    except PolyportError as error:
        trial.fault = error
        return
    trial.shown = answer.data["triggerAction"]
    trial.warnings += [str(each["message"]) for each in trial.shown.get("warnings", ())]


async def settle(call: Call, member: Member, trial: Trial, changed: str | None) -> None:
    """Take away what does not stand any more since ``changed`` was chosen anew, and what depended on that in turn."""
    for _turn in range(5):
        said = drop_stale(trial.shown, trial.level, trial.selectors, trial.filled, changed)
        if not said:
            return
        warnings, trial.warnings = [*trial.warnings, *said], []
        await describe(call, member, trial)
        trial.warnings = list(dict.fromkeys([*warnings, *trial.warnings]))
        changed = None


async def look_up_files(call: Call, member: Member, trial: Trial) -> None:
    """Read what the files are called that the input names by their ids."""
    pending: list[Any] = [trial.filled.data]
    while pending and len(trial.kept) < FILES_MOST:
        each = pending.pop()
        if (
            isinstance(each, dict)
            and isinstance(file_id := each.get("fileId"), str)
            and file_id.isascii()
            and file_id.replace("_", "").isalnum()
        ):
            with contextlib.suppress(PolyportError):
                trial.kept[file_id] = (await ask(call, member, "GET /files/{fileId}", fileId=file_id)).data
        pending += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()


async def _without_selectors(call: Call, member: Member, trial: Trial, error: ValidationFailed) -> None:
    bad = [
        fault.path.removeprefix("credentialData.").removesuffix(".value")
        for fault in error.details.fields
        if fault.path.startswith("credentialData.")
    ]
    trial.filled.select = {name: value for name, value in trial.filled.select.items() if name not in bad} if bad else {}
    trial.warnings += [fault.message for fault in error.details.fields]
    await describe(call, member, trial)


async def search(call: Call, member: Member, trial: Trial, path: str) -> None:
    """Look something up in the list of a field."""
    names = [name for name in path.replace("[", ".").split(".")[1:] if not name.endswith("]")]
    body = {
        "field": ".".join(names),
        "query": trial.filled.finds.get(path),
        "credentialData": trial.positions(),
        "runnerData": trial.filled.data,
    }
    try:
        answer = await ask(call, member, "POST /partners/trigger-actions/{id}/options", id=trial.id, body=body)
    except ValidationFailed as error:
        trial.filled.faults[path] = " ".join(fault.message for fault in error.details.fields)
    except PolyportError as error:
        trial.filled.faults[path] = error.message
    else:
        trial.found[path] = list(answer.data)
