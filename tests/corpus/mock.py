"""A strict mock server that no one here wrote: npm's ``@stdy/cli`` (Steady). It answers what its document describes, and says what of a request does not fit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node_packages import NotThere, install
from polyport.importers.described import Endpoint
from polyport.importers.views import Views
from polyport.net.message import Reply

HERE: Final = Path(__file__).parent
START_SECONDS: Final = 90
_READY: Final = re.compile(rb"Ready to accept requests|cannot load this spec")
_ERROR: Final = re.compile(r"x-steady-error-(\d+)-(code|path|message)")
# What the mock only remarks on: its sorts "content note" and "ambiguous".
_NOTES: Final = ("E4", "E5")


class CannotLoad(Exception):
    """The mock does not take the document; the message is what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the mock says of one request: whether it is valid, and each thing that it found, ``CODE place: message``."""

    valid: bool
    found: tuple[str, ...] = field(default=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it concerns values (lengths, bounds, patterns, formats), which the mock does not refuse for."""
        return tuple(one for one in self.found if one.startswith(_NOTES))


def verdict_of(reply: Reply) -> Verdict:
    """The mock's verdict, from the headers of its answer."""
    told: dict[str, dict[str, str]] = {}
    for name, value in reply.headers:
        if match := _ERROR.fullmatch(name.lower()):
            told.setdefault(match[1], {})[match[2]] = value
    found = tuple(f"{one.get('code', '')} {one.get('path', '')}: {one.get('message', '')}" for one in told.values())
    return Verdict(valid=reply.header("X-Steady-Request-Valid") == "true", found=found)


def formats_of(endpoint: Endpoint, views: Views) -> dict[str, str]:
    """How the mock has to read what OpenAPI has no rule for: headers of a request.

    The style ``deepObject`` is defined for flat objects alone. Documents that say it of lists, of objects in objects, or of members of a form mean brackets,
    which is what clients generated from them send; so do lists of objects in a query, and objects whose members have
    the names of other parameters. By itself the mock has no rule for these, and reads no style of a form's
    members.
    """
    found: dict[str, str] = {}
    for one in endpoint.parameters:
        view = views.look(one.schema)
        if one.place == "query" and view.kind == "array" and views.look(view.items).kind in {"object", "union"}:
            found |= {"X-Steady-Query-Array-Format": "brackets", "X-Steady-Query-Object-Format": "brackets"}
        names = {other.name for other in endpoint.parameters if other.place == "query" and other is not one}
        if one.place == "query" and one.style == "form" and one.explode and view.kind == "object" and view.properties.keys() & names:
            found["X-Steady-Query-Object-Format"] = "brackets"
        kinds = {each.kind for each in (view, *(views.look(variant) for variant in view.variants))}
        if one.place == "query" and one.style == "deepObject" and "array" in kinds:
            found["X-Steady-Query-Array-Format"] = "brackets"
    if endpoint.body is not None and "brackets" in endpoint.body.styles.values():
        found |= {"X-Steady-Form-Array-Format": "brackets", "X-Steady-Form-Object-Format": "brackets"}
    return found


def program() -> Path:
    """The mock's own program. Raises ``NotThere``."""
    folder = install(HERE, "corpus")
    found = next(folder.glob("node_modules/@stdy/cli-*/bin/steady*"), None)
    if found is None:
        raise NotThere("the mock server has no program for this machine")
    return found


@contextlib.asynccontextmanager
async def running_mock(document: Mapping[str, Any], folder: Path) -> AsyncIterator[str]:
    """The mock of a document on a free port while the block runs; its origin. Raises ``CannotLoad``, or ``NotThere``."""
    path = folder / "described.json"
    path.write_text(json.dumps(document, default=str))
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    told = folder / "mock.txt"
    with told.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            str(await asyncio.to_thread(program)), "--host", "127.0.0.1", "-p", str(port), "-q", "--no-color", str(path), stdout=out, stderr=out,
            env={"PATH": os.environ["PATH"]},  # where CI is set it says something else when it is ready
        )  # fmt: skip
    try:
        for _round in range(START_SECONDS * 20):
            said = told.read_bytes()
            if _READY.search(said) or process.returncode is not None:
                break
            await asyncio.sleep(0.05)
        if b"Ready to accept" not in said:
            raise CannotLoad(said.decode("utf-8", "replace")[:2_000])
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
