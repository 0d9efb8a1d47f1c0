"""A real OAuth server that no one here wrote: npm's ``oidc-provider``, started on a free port. What it does is in server.mjs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import aiohttp
import pytest

from node_packages import NotThere, install

HERE: Final = Path(__file__).parent
START_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A running server and the doors by which a test changes it."""

    origin: str
    process: asyncio.subprocess.Process

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask one of the doors of server.mjs; its JSON."""
        async with aiohttp.ClientSession() as client, client.request(method, f"{self.origin}{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def set(self, **settings: Any) -> None:
        """Change settings while it runs: see the top of server.mjs."""
        await self.ask("POST", "/_test/settings", settings)

    async def add_client(self, client_id: str, **metadata: Any) -> None:
        """Register a client, or change it. ``metadata`` is that of OpenID Connect registration."""
        told = {
            "client_id": client_id,
            "client_secret": f"secret-of-{client_id}",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": ["http://127.0.0.1/none"],
            "token_endpoint_auth_method": "client_secret_post",
        }
        await self.ask("POST", "/_test/clients", {name: value for name, value in {**told, **metadata}.items() if value is not None})

    async def tokens(self, client_id: str, **more: Any) -> dict[str, Any]:
        """Tokens as a sign-in of ``account`` with ``scope`` would have led to, without one; ``grant_id`` joins them."""
        return dict(await self.ask("POST", "/_test/tokens", {"client_id": client_id, **more}))

    async def revoke(self, grant_id: str) -> None:
        """What happens when a customer takes the permission back at the partner."""
        await self.ask("POST", "/_test/revoke", {"grant_id": grant_id})

    async def asked(self) -> list[dict[str, Any]]:
        """Every token request that it was sent, in order: ``grant``, ``client``, ``status``, ``error``."""
        return list(await self.ask("GET", "/_test/asked"))


def installed() -> Path:
    """The folder with the server and what it needs, installed once for each lock file.

    Where node or npm cannot be had, the test that asks is skipped, unless these tests are said to be required.
    """
    try:
        return install(HERE, "oidc")
    except NotThere as error:
        _skip(str(error))


def _skip(reason: str) -> NoReturn:
    assert os.environ.get("OIDC_TESTS") != "required", f"the real OAuth server cannot be started: {reason}"
    pytest.skip(f"THE REAL OAUTH SERVER IS NOT THERE: {reason}")


@contextlib.asynccontextmanager
async def running_provider(**settings: Any) -> AsyncIterator[Provider]:
    """The server while the block runs. ``settings`` are those at the top of server.mjs."""
    folder = await asyncio.to_thread(installed)
    content = (HERE / "server.mjs").read_bytes()
    script = folder / f"server-{hashlib.sha256(content).hexdigest()[:12]}.mjs"
    if not script.exists():
        fresh = folder / f"{script.name}.{os.getpid()}"
        fresh.write_bytes(content)
        fresh.rename(script)
    process = await asyncio.create_subprocess_exec(
        "node", str(script), json.dumps(settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            told = await process.stdout.readline()
        yield Provider(origin=json.loads(told)["origin"], process=process)
    finally:
        process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(60):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
