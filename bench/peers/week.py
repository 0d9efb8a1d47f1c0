"""The service of ``bench.week``, started."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from pathlib import Path

from bench.measure import Subject
from bench.partner import ACCOUNT_NUMBER, TIER
from bench.processes import free_port, start_process
from bench.servers import serve
from bench.week.app import TOKEN_VARIABLE


def start_week(stack: contextlib.ExitStack, folder: Path, core: int, upstream: int) -> Subject:
    """Start it on a database inside ``folder``; what to ask of it."""
    port, token = free_port(), secrets.token_urlsafe(24)
    log = stack.enter_context((folder / "week.log").open("ab"))
    command = [sys.executable, "-m", "bench.week.app", str(port), str(folder / "week.db"), f"http://127.0.0.1:{upstream}"]
    process = start_process("week", command, core, log=log, environment=dict(os.environ) | {TOKEN_VARIABLE: token})
    stack.callback(process.stop)
    served = serve(process, port, "/health")
    return Subject(
        name="week",
        port=port,
        path="/runs",
        body=json.dumps({"connection": 1, "person": person()}),
        expect=200,
        process=served.process,
        token=token,
        counted=True,
    )


def person() -> dict[str, object]:
    """What Polyport's run is given, in this service's words."""
    return {
        "name": "Ada Lovelace",
        "visible_to": 3,
        "email": [{"value": "ada@example.com", "label": "work", "primary": True}],
        "phone": [{"value": "+44 20 7946 0000", "label": "work", "primary": True}],
        "custom_fields": {ACCOUNT_NUMBER: "AC-1815", TIER: "11"},
    }
