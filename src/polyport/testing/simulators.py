"""Partners that are simulated within the server's process: connections that are marked as simulated talk to these, and nothing leaves the process.

Each process has simulators of its own, made when they are first asked; what they hold is gone with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from polyport.errors import NotFound, SetupError
from polyport.manifest.disk import is_folder
from polyport.net.message import NetworkFault, Reply, Request

if TYPE_CHECKING:
    from polyport.testing.simulator import SimulatorApp

DOMAIN: Final = "simulated.invalid"  # a name that is reserved: it never leads anywhere else
_NONE: Final = "This partner cannot be simulated here."


class Simulators:
    """The simulated partners of one process. ``extra`` are folders of partners beside the bundled ones."""

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self._roots: list[Any] = [files("polyport").joinpath("connectors"), *map(Path, extra)]
        self._apps: dict[str, SimulatorApp] = {}
        self._opening = asyncio.Lock()

    def origin(self, slug: str) -> str:
        """Where the calls of a simulated connection go."""
        return f"https://{slug}.{DOMAIN}"

    def knows(self, slug: str) -> bool:
        """Whether there is a simulator of a partner."""
        try:
            self._folder(slug)
        except NotFound:
            return False
        return True

    async def sample(self, slug: str) -> tuple[str, Mapping[str, Any]]:
        """A way of authorisation and made-up fields that the simulated partner takes. Raises ``NotFound`` where there is no simulator."""
        from polyport.manifest.cases import load_cases  # noqa: PLC0415  the server starts faster without it

        await self._app(slug)
        connection = (await asyncio.to_thread(load_cases, self._folder(slug))).connection
        if connection is None:
            raise NotFound(_NONE)
        return connection.auth, connection.fields

    async def send(self, request: Request) -> Reply:
        """Let a simulated partner answer. Raises ``NetworkFault`` for a host that is none of them."""
        from polyport.testing.traffic import Incoming  # noqa: PLC0415  most servers never simulate anything

        began, parts = time.monotonic(), urlsplit(request.url)
        slug = (parts.hostname or "").removesuffix(f".{DOMAIN}")
        try:
            app = await self._app(slug)
        except NotFound:
            raise NetworkFault("There is no simulated partner of this name.", reached=False) from None
        if request.leaves is not None:
            request.leaves()
        answer = app.partner.answer(
            Incoming(
                method=request.method,
                path=parts.path or "/",
                query=parts.query,
                headers=(("host", parts.netloc), *((name.lower(), value) for name, value in request.headers)),
                body=await _body(request),
                scheme=parts.scheme,
            )
        )
        app.partner.parcels()  # nobody is told of what changed: there are no subscriptions to a simulator of this kind
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers)
        return Reply(status=answer.status, headers=headers, body=answer.body, url=request.url, elapsed=time.monotonic() - began)

    async def _app(self, slug: str) -> SimulatorApp:
        async with self._opening:
            if slug not in self._apps:
                try:
                    self._apps[slug] = await asyncio.to_thread(_open, self._folder(slug))
                except SetupError:
                    raise NotFound(_NONE) from None
            return self._apps[slug]

    def _folder(self, slug: str) -> Any:
        if slug.replace("-", "").isalnum() and slug.isascii():
            for root in self._roots:
                folder = root.joinpath(slug)
                if is_folder(folder) and folder.joinpath("simulator.yaml").is_file():
                    return folder
        raise NotFound(_NONE)


def _open(folder: Any) -> SimulatorApp:
    from polyport.testing.simulator import load_simulator  # noqa: PLC0415  most servers never simulate anything: half a second at start

    return load_simulator(folder)


async def _body(request: Request) -> bytes:
    if request.stream is None:
        return request.body or b""
    return b"".join([piece async for piece in request.stream.pieces()])
