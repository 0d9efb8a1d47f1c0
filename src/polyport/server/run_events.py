"""What happens to a run, as it happens: server-sent events until the run has ended."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Final

from polyport.engine.ledger import Ledger
from polyport.engine.record import Done
from polyport.engine.watch import RunWatch, mark_of
from polyport.errors import NotFound
from polyport.runtime import Runtime
from polyport.server.answers import Stream
from polyport.server.routing import Answer, Call, Endpoint, Param
from polyport.server.run_items import shown_run
from polyport.server.streams import RETRY_MS
from polyport.server.wire import encode
from polyport.store.base import StoreUnavailable
from polyport.store.records import has_ended

HEARTBEAT: Final = 15.0
STREAM_SECONDS: Final = 900.0  # a stream ends after that and the client comes again: with a token that is still good


async def events(call: Call) -> Answer:
    """GET /runs/{runId}/events."""
    account_id, streams = call.principal.account_id, call.services.streams
    done = await call.engine.ledger.read(account_id, call.text("runId"))
    if done is None:
        raise NotFound("There is no run with this id.")
    told = call.http.headers.get("last-event-id")
    if told == mark_of(done.run) and has_ended(done.run):
        return Answer(status=204, content=b"")  # it was told already: this is what makes a browser stop asking
    streams.enter(account_id)
    stream = Stream(
        pieces=_pieces(call.engine.ledger, streams.watch, call.engine.runtime, done, told), ended=lambda: streams.leave(account_id)
    )
    return Answer(stream=stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _pieces(ledger: Ledger, watch: RunWatch, runtime: Runtime, done: Done, told: str | None) -> AsyncIterator[bytes]:
    """The run as it stands, whenever it stands otherwise than was told last; comments in between, so that nobody takes silence for an end."""
    end = time.monotonic() + STREAM_SECONDS
    yield f"retry: {RETRY_MS}\n\n".encode()
    while True:
        mark = mark_of(done.run)
        if mark != told:
            told = mark
            yield f"id: {mark}\nevent: {done.run.status}\ndata: ".encode() + encode(shown_run(done, runtime)) + b"\n\n"
        if has_ended(done.run) or watch.closed or time.monotonic() > end:
            return
        if not await watch.wait(done.run.account_id, done.run.run_id, mark, HEARTBEAT):
            yield b": still here\n\n"
            continue
        try:
            found = await ledger.read(done.run.account_id, done.run.run_id)
        except StoreUnavailable:
            continue
        if found is None:  # deleted meanwhile
            return
        done = found


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/runs/{runId}/events",
        handler=events,
        tag="Runs",
        summary="Follow a run until it has ended (server-sent events)",
        description=(
            "One event for each change of the run's standing: `event` is its status, `data` the run as `GET /runs/{runId}` shows it, `id` what to send as `Last-Event-ID` when the stream "
            "broke. The first event is how the run stands now, unless `Last-Event-ID` says that it was told. After the event of the end the stream ends; asked again with its id, the answer "
            "is 204. Comments every 15 seconds keep the connection open; a stream lasts 15 minutes at most."
        ),
        scope="runs:read",
        query=(Param(name="Last-Event-ID", where="header", description="The id of the last event that was received."),),
        media="text/event-stream",
        also=((204, None),),
        errors=("rate_limited",),
    ),
)
