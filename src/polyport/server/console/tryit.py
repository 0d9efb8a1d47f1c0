"""Try it: an operation with a connection, as a form or as JSON; what would be sent, what was sent and what came back."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from polyport.errors import Forbidden, NotFound, PolyportError, ValidationFailed
from polyport.server.console.asked import typed
from polyport.server.console.filled import change_rows
from polyport.server.console.member import Member, base_path
from polyport.server.console.outcomes import Outcome, flat
from polyport.server.console.screen import form, screen
from polyport.server.console.sharing import packed, shared
from polyport.server.console.show import PAGE_HEADERS, Entry, chosen, cursor, options, page, pager
from polyport.server.console.snippets import snippets
from polyport.server.console.trial import FIELDS_MOST, Trial, describe, from_form, from_link, open_trial, search
from polyport.server.console.within import ask
from polyport.server.routing import Answer, Call
from polyport.server.wire import encode

ENTRY: Final = Entry(title="Try it", path="/try", icon="try", place=40, scope="runs:read")
PARTNERS_MOST: Final = 100
PER_PAGE: Final = 30
FILE_LIMIT: Final = 6 * 1024 * 1024
TIMEOUT_MS: Final = 60_000
KINDS: Final = {"action": "Actions", "apiTrigger": "Triggers", "tool": "Tools"}
MOVES: Final = frozenset({"add", "copy", "up", "down", "remove"})


async def choose(call: Call, member: Member) -> Answer:
    """GET /console/try."""
    given = chosen(call, "q", "partner", "kind")
    query = {
        "q": given.get("q"),
        "filter[partnerId]": given.get("partner"),
        "filter[kind]": given.get("kind"),
        "cursor": cursor(call),
        "per-page": PER_PAGE,
    }
    if "q" not in given:
        query["sort"] = "title"
    found = await ask(call, member, "GET /partners/trigger-actions/info", query=query)
    titles = await _titles(call, member, {*(item["partnerId"] for item in found.data), *_number(given.get("partner"))})
    known = await ask(call, member, "GET /partners/info", query={"sort": "title", "per-page": PARTNERS_MOST})
    offered = [(str(item["partnerId"]), str(item["title"])) for item in known.data]
    if (known.meta or {}).get("totalItemsCount", 0) > PARTNERS_MOST:  # too many to choose from: the search finds them by their names
        offered = [(number, title) for number, title in titles.items() if number == given.get("partner")]
    return page(
        call,
        member,
        "try_choose.html",
        title="Try it",
        operations=found.data,
        titles=titles,
        pager=pager(call, found.meta or {}),
        filters=given,
        partners=options(offered, given.get("partner"), "All partners"),
        kinds=options(list(KINDS.items()), given.get("kind"), "All kinds"),
    )


def _number(text: str | None) -> list[int]:
    return [int(text)] if text and text.isascii() and text.isdecimal() and len(text) < 17 else []


async def _titles(call: Call, member: Member, partner_ids: set[int]) -> dict[str, str]:
    """What partners are called, by their ids."""
    titles: dict[str, str] = {}
    for partner_id in sorted(partner_ids):
        with contextlib.suppress(NotFound):
            titles[str(partner_id)] = str((await ask(call, member, "GET /partners/{partnerId}", partnerId=partner_id)).data["title"])
    return titles


async def show(call: Call, member: Member) -> Answer:
    """GET /console/try/{operationId}."""
    trial = await open_trial(call, member)
    await from_link(call, member, trial)
    await describe(call, member, trial)
    return _page(call, member, trial)


async def act(call: Call, member: Member) -> Answer:
    """POST /console/try/{operationId}: ``do`` says what was pressed."""
    trial = await open_trial(call, member)
    own = await from_form(call, member, trial)
    action, _, about = own.get("do", "").partition(":")
    focus = None
    if action in MOVES and not trial.broken:
        focus = change_rows(trial.filled, action, about)
    elif action in {"form", "json"} and not trial.broken:
        trial.view = action
    if action != "seek" or not call.http.headers.get("hx-request"):  # who only looks for a connection gets the list of them alone
        await describe(call, member, trial)
    if action == "find":
        await search(call, member, trial, about)
    asked_for = _asked_for(trial)
    unsure = action == "run" and asked_for is not None and not typed(call, asked_for)
    outcome = await _run(call, member, trial, dry=action == "dry") if action in {"dry", "run"} and not unsure else None
    case = await _save_case(call, member, own) if action == "case" else None
    link = _link(trial, texts=own.get("texts") == "yes") if action == "link" else None
    failed = trial.broken or bool(trial.rest) or (outcome is None and action in {"dry", "run"})
    status = 422 if failed and action in {"dry", "run"} else 200
    return _page(call, member, trial, status=status, outcome=outcome, link=link, case=case, focus=focus, unsure=unsure)


def _asked_for(trial: Trial) -> str | None:
    """The name that has to be typed before it runs: that of an operation that destroys something."""
    return str(trial.operation["title"]) if trial.operation["destructive"] else None


async def _run(call: Call, member: Member, trial: Trial, *, dry: bool) -> Outcome | None:
    """Run it, or only say what would be sent. ``None`` where the input has faults: they stand at their fields."""
    if trial.broken:
        return None
    body = trial.body() | ({"dryRun": True} if dry else {"timeoutMs": TIMEOUT_MS})
    # One press is one run: what is sent twice has the same key, what was changed in between has another.
    key = None if dry else f"console-{trial.nonce}-{hashlib.sha256(encode(body)).hexdigest()[:24]}"
    try:
        answer = await ask(call, member, "POST /partners/trigger-actions/{id}/run/sync", id=trial.id, body=body, key=key)
    except ValidationFailed as error:
        trial.tell(error)
        return None
    except Forbidden:
        raise
    except PolyportError as error:
        run_id = call.run_id
        if run_id is None:
            return Outcome(kind="fault", error=error)
        run, attempts = await _recorded(call, member, run_id)
        return Outcome(kind="fault", error=error, run=run, run_id=run_id, attempts=attempts)
    if dry:
        return Outcome(kind="dry", requests=answer.data["requests"])
    run, attempts = await _recorded(call, member, answer.data["runId"])
    trial.nonce = hashlib.sha256(trial.nonce.encode()).hexdigest()[:16]
    replayed = "Idempotent-Replayed" in answer.headers
    return Outcome(
        kind="run", run=answer.data | {"timings": run.get("timings")}, run_id=answer.data["runId"], attempts=attempts, replayed=replayed
    )


async def _recorded(call: Call, member: Member, run_id: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    run = (await ask(call, member, "GET /runs/{runId}", runId=run_id)).data
    attempts = (await ask(call, member, "GET /runs/{runId}/attempts", runId=run_id)).data
    return run, attempts


def _link(trial: Trial, *, texts: bool) -> dict[str, Any]:
    """A link to this form. What was typed is in it only if that is asked for, secrets never."""
    data = shared(trial.shown, trial.filled.data, texts=texts)
    chosen_from = {told["position"] for told in trial.shown["credentialData"] if told.get("data") is not None or told.get("search")}
    select = {position: value for position, value in trial.filled.select.items() if texts or position in chosen_from}
    content: dict[str, Any] = {"d": data, "c": select}
    reading = {name: text for name, text in trial.reading.items() if texts or name in {"limit", "from", "to"}}
    text = packed(content | ({"r": reading} if reading else {}))
    query = {"connection": trial.connection_id, "view": trial.view if trial.view == "json" else "", "input": text}
    return {
        "query": query,
        "texts": texts,
        "left_out": encode([data, select]) != encode([trial.filled.data, trial.filled.select]),
        "too_long": text is None,
    }


async def _save_case(call: Call, member: Member, own: Mapping[str, str]) -> dict[str, Any]:
    """Save a run as a case; what was asked for, and what came of it."""
    asked = {"run_id": own.get("run", "")[:100], "name": own.get("case", "").strip(), "title": own.get("case_title", "").strip()}
    if "/" in asked["run_id"] or not asked["run_id"]:
        return asked | {"fault": "Run it first: a case is made of a run."}
    if not asked["name"] or not asked["title"]:
        return asked | {"fault": "Say what the file is called, and what the case shows."}
    body = {"name": asked["name"], "title": asked["title"]}
    try:
        saved = await ask(call, member, "POST /runs/{runId}/case", runId=asked["run_id"], body=body)
    except Forbidden:
        raise
    except PolyportError as error:
        told = " ".join(f"{fault.path}: {fault.message}" for fault in error.details.fields)
        return asked | {"fault": told or error.message}
    return asked | {"saved": saved.data}


def _works_on(call: Call, member: Member, trial: Trial) -> bool:
    """Whether runs of the partner can be saved as cases, by this member."""
    root = call.engine.runtime.settings.development
    return bool(root) and member.may("admin") and (Path(root) / str(trial.partner["slug"])).is_dir()


def _page(call: Call, member: Member, trial: Trial, *, status: int = 200, outcome: Outcome | None = None, **more: Any) -> Answer:
    """The page; ``more`` is what else came of what was pressed: a link, a case, the row to go on at."""
    url = f"{call.engine.runtime.settings.origin}/partners/trigger-actions/{trial.id}/run/sync"
    body = trial.shown_body()
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
        result_rows=flat(outcome.run.get("result")) if outcome is not None and outcome.kind == "run" else [],
        works_on=_works_on(call, member, trial),
        asked_for=_asked_for(trial),
        site=call.engine.runtime.settings.origin.removesuffix(base_path(call.engine.runtime)),
        request_id=call.request_id,
        **({"link": None, "case": None, "focus": None, "unsure": False} | more),
    )


async def keep_file(call: Call, member: Member) -> Answer:
    """POST /console/try/{operationId}/files: keep a file that was chosen in the form; its id as JSON."""
    given = form(call)
    body = {name: given.get(name, "") for name in ("name", "contentType", "base64")}
    kept = await ask(call, member, "POST /files", body=body)
    return Answer(body={"fileId": kept.data["fileId"]}, headers=PAGE_HEADERS)


SCREENS: Final = (
    screen("GET", "/try", choose, "Choose an operation to try", scope="runs:read"),
    screen("GET", "/try/{operationId}", show, "Try an operation", scope="runs:read"),
    screen("POST", "/try/{operationId}", act, "Fill in, run dry or run an operation", scope="runs:read", fields_most=FIELDS_MOST),
    screen("POST", "/try/{operationId}/files", keep_file, "Keep a file to try an operation with", scope="runs:write", limit=FILE_LIMIT),
)
