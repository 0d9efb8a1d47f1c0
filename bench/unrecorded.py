"""The server without its record of runs: ``python -m bench.unrecorded serve ...``. It is what a run costs when nothing of it is kept, and no server to use.

Left out are: making the bytes of input, result and attempts and sealing them, the statements at the start and at the end of a run, and their commits. What is
told of an exchange for the record is made all the same: errors tell it too.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from polyport.cli import main
from polyport.engine.intake import Intake
from polyport.engine.ledger import Ledger
from polyport.engine.record import Done, upstream_ms
from polyport.store.runs import Runs


async def _nothing(*_given: Any, **_named: Any) -> None:
    return None


def _no_bytes(_self: Intake, _box: Any, _ask: Any, _run_id: str) -> bytes:
    return b""


async def _finish(self: Ledger, run: Any, status: Any, attempts: Any, *, outcome: Any = None, error: Any = None, **_named: Any) -> Done:
    self.stopping.discard(run.run_id)
    ended = replace(run, status=status, sending=False, finished_at=run.created_at, upstream_ms=upstream_ms(attempts))
    return Done(run=ended, result=outcome.result if outcome is not None else None, error=error)


if __name__ == "__main__":
    setattr(Runs, "insert", _nothing)  # noqa: B010  types forbid what this program is for
    setattr(Intake, "_sealed", _no_bytes)  # noqa: B010  as above
    setattr(Ledger, "finish", _finish)  # noqa: B010  as above
    main()
