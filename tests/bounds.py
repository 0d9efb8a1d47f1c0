"""Bounds of what tests take: of time, failing for what is slow by its nature and never for a machine that is busy, and of made-up examples."""

import contextlib
import os
import time

# CPU, not the clock on the wall; and far more than is needed: caches are cold, processors shared, coverage counts along. What these bounds are for
# (work that grows faster than its input) would take minutes.
SECONDS = 15


@contextlib.contextmanager
def little_time(seconds=SECONDS):
    """What happens inside takes no more CPU than this."""
    start = time.process_time()
    yield
    spent = time.process_time() - start
    assert spent < seconds, f"{spent:.1f} seconds of CPU"


def examples(many):
    """How many examples a test of Hypothesis makes up: ``many`` where ``POLYPORT_EXAMPLES`` is set, and new ones every time; else a fifth, always the same."""
    return many if "POLYPORT_EXAMPLES" in os.environ else max(10, many // 5)
