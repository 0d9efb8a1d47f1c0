"""The log must not become a failure of what it tells of."""

from __future__ import annotations

import io
import json
import subprocess
import sys

from polyport.cli.logs import _Log


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(27, "File too large")

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else():
    log = _Log(Full())
    assert log.write("a line\n") == 0
    log.flush()


def test_a_line_is_written_where_it_can_be():
    file = io.StringIO()
    log = _Log(file)
    assert log.write("a line\n") == 7
    log.flush()
    assert file.getvalue() == "a line\n"
    file.close()
    assert log.write("after the end") == 0


def test_what_libraries_log_takes_the_form_of_our_own_log_without_the_messages_of_exceptions():
    program = """
import logging
from polyport.cli.logs import set_up_log
from polyport.settings import load_settings
set_up_log(load_settings({}).log)
try:
    raise ValueError("".join(["a s", "ecret"]))
except ValueError:
    logging.getLogger("library").exception("100% broken")
logging.getLogger("library").warning("so %s", "so")
logging.getLogger("library").info("chatter")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603  the program above
    error, warning = map(json.loads, done.stderr.splitlines())
    assert (error["level"], error["event"], error["logger"], "secret" in str(error)) == ("error", "100% broken", "library", False)
    assert error["exception"].endswith("builtins.ValueError")
    assert (warning["level"], warning["event"], "exception" in warning) == ("warning", "so so", False)
