"""The log must not become a failure of what it tells of."""

from __future__ import annotations

import io

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
