"""Try it: an operation with a connection, as a form or as JSON; what would be sent, what was sent and what came back."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from polyport.errors import PayloadTooLarge
from polyport.server.console import choosing
from polyport.server.console.asked import typed
from polyport.server.console.filled import change_rows
from polyport.server.console.member import Member, base_path
from polyport.server.console.outcomes import Outcome
from polyport.server.console.results import Shown, shown_result
from polyport.server.console.running import again, cancel, run, save_case
from polyport.server.console.screen import form, screen
from polyport.server.console.sharing import left_out, packed, shared
from polyport.server.console.show import PAGE_HEADERS, Entry, page
from polyport.server.console.snippets import snippets
from polyport.server.console.trial import (
    FIELDS_MOST,
    Trial,
    describe,
    from_form,
    from_link,
    look_up_files,
    open_trial,
    search,
    settle,
)
from polyport.server.console.within import ask
from polyport.server.files import OCTETS
from polyport.server.routing import Answer, Call
from polyport.server.wire import read_body
from polyport.settings import Settings

ENTRY: Final = Entry(title="Try it", path="/try", icon="try", place=40, scope="runs:read")
MOVES: Final = frozenset({"add", "copy", "up", "down", "remove"})
RUNS: Final = frozenset({"dry", "run"})
NAME_LONGEST: Final = 255


async def show(call: Call, member: Member) -> Answer:
    """GET /console/try/{operationId}."""
    trial = await open_trial(call, member)
    await from_link(call, member, trial)
    await describe(call, member, trial)
    return await _page(call, member, trial)


async def act(call: Call, member: Member) -> Answer:
    """POST /console/try/{operationId}: ``do`` says what was pressed."""
    trial = await open_trial(call, member)
    own = await from_form(call, member, trial)
    part = bool(call.http.headers.get("hx-request"))
    action, _, about = own.get("do", "").partition(":")
    if action == "next":  # a page of a trigger after the one that is shown
        action, trial.reading["cursor"] = "run", own.get("following", "")[:2_000]
    focus = None
    if action in MOVES and not trial.broken:
        focus = change_rows(trial.filled, action, about)
    elif action in {"form", "json"} and not trial.broken:
        trial.view = action
    elif action == "form":
        trial.warnings.append("Mend the JSON first: the form cannot be made of it yet.")
    if action != "seek" or not part:  # who only looks for a connection gets the list of them alone
        await describe(call, member, trial)
    if action == "refresh":
        await settle(call, member, trial, _changed(call))
    if action == "find":
        await search(call, member, trial, about)
    asked_for = _asked_for(trial)
    unsure = action == "run" and asked_for is not None and not typed(call, asked_for)
    outcome = await run(call, member, trial, dry=action == "dry") if action in RUNS and not unsure else None
    case = await save_case(call, member, own) if action == "case" else None
    link = _link(trial, texts=own.get("texts") == "yes") if action == "link" else None
    failed = action in RUNS and (trial.broken or bool(trial.rest) or outcome is None)
    # What came of the run before stays: a script leaves it where it stands, a page that is whole has it again.
    if outcome is None and (not part or action in {"case", "restore"}):
        outcome = await again(call, member, own)
    stays = part and outcome is None and case is None
    status = 422 if failed else 200
    return await _page(call, member, trial, status=status, outcome=outcome, link=link, case=case, focus=focus, unsure=unsure, stays=stays)


def _changed(call: Call) -> str | None:
    """The path of the choice that asked for the form anew, where a script did."""
    name = call.http.headers.get("hx-trigger-name", "")
    return name.partition(":")[2] or None


def _asked_for(trial: Trial) -> str | None:
    """The name that has to be typed before it runs: that of an operation that destroys something."""
    return str(trial.operation["title"]) if trial.operation["destructive"] else None


def _link(trial: Trial, *, texts: bool) -> dict[str, Any]:
    """A link to this form. What was typed is in it only if that is asked for, secrets never."""
    data = shared(trial.shown, trial.filled.data, texts=texts, hidden=trial.hidden)
    chosen_from = {told["position"] for told in trial.shown["credentialData"] if told.get("data") is not None or told.get("search")}
    select = {position: value for position, value in trial.filled.select.items() if texts or position in chosen_from}
    content: dict[str, Any] = {"d": data, "c": select}
    reading = {name: text for name, text in trial.reading.items() if texts or name in {"limit", "from", "to"}}
    text = packed(content | ({"r": reading} if reading else {}))
    query = {"connection": trial.connection_id, "view": trial.view if trial.view == "json" else "", "input": text}
    missing = [*left_out(trial.filled.data, data), *(f"selector {position}" for position in trial.filled.select if position not in select)]
    missing += [name for name in trial.reading if name not in reading]
    return {"query": query, "texts": texts, "left_out": missing, "too_long": text is None}


def _works_on(call: Call, member: Member, trial: Trial) -> bool:
    """Whether runs of the partner can be saved as cases, by this member."""
    root = call.engine.runtime.settings.development
    return bool(root) and member.may("admin") and (Path(root) / str(trial.partner["slug"])).is_dir()


async def _page(call: Call, member: Member, trial: Trial, *, status: int = 200, outcome: Outcome | None = None, **more: Any) -> Answer:
    """The page; ``more`` is what else came of what was pressed: a link, a case, the row to go on at."""
    runtime = call.engine.runtime
    url = f"{runtime.settings.origin}/partners/trigger-actions/{trial.id}/run/sync"
    body = trial.shown_body()
    await look_up_files(call, member, trial)
    return page(
        call,
        member,
        "try.html",
        title=f"Try {trial.operation['title']}",
        status=status,
        trial=trial,
        level=trial.level,
        selectors=trial.selectors,
        body=body,
        snippets=snippets(url, body),
        endpoint=url,
        outcome=outcome,
        result=shown_result(outcome.run.get("result"), trial.shown) if outcome is not None and outcome.kind == "run" else Shown(),
        works_on=_works_on(call, member, trial),
        asked_for=_asked_for(trial),
        site=runtime.settings.origin.removesuffix(base_path(runtime)),
        request_id=call.request_id,
        file_most=file_most(runtime.settings),
        **({"link": None, "case": None, "focus": None, "unsure": False, "stays": False} | more),
    )


async def stop(call: Call, member: Member) -> Answer:
    """POST /console/try/{operationId}/cancel: cancel what the form has under way."""
    return Answer(body={"cancelled": await cancel(call, member, call.id("operationId"), form(call).get("nonce", ""))}, headers=PAGE_HEADERS)


def file_most(settings: Settings) -> int:
    """The largest file that can be kept: the API takes its bytes as base64, which is a third longer, in a body of JSON."""
    return settings.http.body_limit * 3 // 4 - 2_048


async def keep_file(call: Call, member: Member) -> Answer:
    """POST /console/try/{operationId}/files: keep a file that was chosen in the form, whose bytes these are; its id as JSON."""
    most = file_most(call.engine.runtime.settings)
    try:
        content = await read_body(call.http, most, OCTETS)
    except PayloadTooLarge:
        raise PayloadTooLarge(f"The file is larger than {most / 1_000_000:.1f} MB.") from None
    headers = call.http.headers
    body = {
        "name": "".join(each if each.isprintable() else "_" for each in unquote(headers.get("x-file-name", "")))[:NAME_LONGEST],
        "contentType": headers.get("x-file-type", "")[:NAME_LONGEST] or OCTETS,
        "base64": base64.b64encode(content).decode(),
    }
    kept = await ask(call, member, "POST /files", body=body)
    return Answer(body={"fileId": kept.data["fileId"]}, headers=PAGE_HEADERS)


async def give_file(call: Call, member: Member) -> Answer:
    """GET /console/files/{fileId}: a kept file, as a download."""
    return await ask(call, member, "GET /files/{fileId}/content", fileId=call.text("fileId"))


SCREENS: Final = (
    *choosing.SCREENS,
    screen("GET", "/try/{operationId}", show, "Try an operation", scope="runs:read"),
    screen("POST", "/try/{operationId}", act, "Fill in, run dry or run an operation", scope="runs:read", fields_most=FIELDS_MOST),
    screen("POST", "/try/{operationId}/cancel", stop, "Cancel what a form has under way", scope="runs:write"),
    screen("POST", "/try/{operationId}/files", keep_file, "Keep a file to try an operation with", scope="runs:write", limit=None),
    screen("GET", "/files/{fileId}", give_file, "Download a kept file", scope="runs:read"),
)
