"""Fixtures of the end-to-end tests; what they start is in served.py."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.console import Browsing
from e2e.served import Served, running_server, running_simulator


@pytest.fixture
async def pipedrive(anyio_backend: str) -> AsyncIterator[str]:
    """Pipedrive's simulator; its base URL."""
    async with running_simulator("pipedrive") as url:
        yield url


@pytest.fixture
async def server(anyio_backend: str, tmp_path: Path, pipedrive: str) -> AsyncIterator[Served]:
    """The server, its Pipedrive being the simulator."""
    async with running_server(tmp_path, partner_pipedrive_base_url=pipedrive) as served:
        yield served


@pytest.fixture(scope="module")
async def house(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One server with Pipedrive's simulator for all tests of a file that do not mind what the others did."""
    async with (
        running_simulator("pipedrive") as url,
        running_server(tmp_path_factory.mktemp("house"), partner_pipedrive_base_url=url) as served,
    ):
        yield served


@pytest.fixture(scope="module")
async def owner(anyio_backend: str, house: Served) -> Browsing:
    """A browser in which the owner is signed in to the console of the ``house``."""
    browsing = Browsing(served=house)
    assert (await browsing.sign_in()).status == 303
    return browsing
