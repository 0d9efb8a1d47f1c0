"""What every test shares."""

import os

import pytest

for _name in [name for name in os.environ if name.startswith("POLYPORT_") and name not in {"POLYPORT_CORPUS", "POLYPORT_EXAMPLES"}]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
