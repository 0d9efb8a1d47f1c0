"""Bounds of time that fail for what is slow by its nature, never for a machine that is busy."""

import contextlib
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
