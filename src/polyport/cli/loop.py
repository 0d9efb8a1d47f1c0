"""The event loop that commands run on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a program on uvloop; on a system that has none, on asyncio's own loop."""
    try:
        import uvloop  # noqa: PLC0415  an optional dependency: not to be had on every system
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
