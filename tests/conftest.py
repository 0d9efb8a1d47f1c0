"""What every test shares."""

import os

import pytest
import structlog

for _name in [name for name in os.environ if name.startswith("POLYPORT_") and name not in {"POLYPORT_CORPUS", "POLYPORT_EXAMPLES"}]:
    del os.environ[_name]

# Where nothing else is configured, faults are logged with plain tracebacks: pictures of every frame with its values take seconds each.
_plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
