"""The command line. ``polyport --help`` says what there is."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

from polyport.cli.memory import unswept

gc.set_threshold(50_000, 20, 50)

with unswept():
    # It draws what went wrong with rich where that is to be had. The log draws nothing, and a start is a thirtieth shorter without.
    _drawing: ModuleType | None = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # how the interpreter notes what cannot be imported
    import structlog as _structlog  # noqa: F401  as above

    if _drawing is None:
        del sys.modules["rich"]

    from polyport.cli.entry import main

__all__ = ["main"]
