"""Randomness for what needs a little of it many times a second: drawn from the system in blocks, each piece handed out once."""

from __future__ import annotations

import os
from collections import deque
from typing import Final

PIECE: Final = 12
_BLOCK: Final = 256
_ready: Final[deque[bytes]] = deque()


def piece() -> bytes:
    """Twelve random bytes that nobody else gets: as good as ``os.urandom``, whose every call asks the system. Threads may call it."""
    try:
        return _ready.popleft()
    except IndexError:
        block = os.urandom(PIECE * _BLOCK)
        _ready.extend(block[start : start + PIECE] for start in range(PIECE, len(block), PIECE))
        return block[:PIECE]


if hasattr(os, "register_at_fork"):  # pragma: no branch  a copy of this process has to draw its own
    os.register_at_fork(after_in_child=_ready.clear)
