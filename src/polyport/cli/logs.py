"""What the log shows: ids and sizes, never payloads, one JSON object (or one readable line) an event, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import Any, TextIO

import structlog

from polyport.settings import LogSettings


def format_trace(exc_info: Any) -> str:
    """Where an exception came from and its class, with those that led to it; no messages, since whatever was at hand may be in them."""
    parts: list[str] = []
    seen: set[int] = set()
    error: BaseException | None = exc_info[1]
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = "".join(traceback.format_tb(error.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(error).__module__}.{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nwhich came from:\n\n".join(parts)


class _Log:
    """Where the log goes. What cannot be written, to a full disk or a closed pipe, is lost: it must not become a failure of what it tells of."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, if that can be."""
        with contextlib.suppress(OSError, ValueError):
            return self._file.write(text)
        return 0

    def flush(self) -> None:
        """Write what is held back, if that can be."""
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


class _Relay(logging.Handler):
    """Gives what libraries log to our own log: in its one form, and without the messages of exceptions."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        log = structlog.get_logger(record.name)
        tell = log.error if record.levelno >= logging.ERROR else log.warning
        tell(record.getMessage(), logger=record.name, **({"exc_info": record.exc_info} if record.exc_info else {}))


def set_up_log(settings: LogSettings) -> None:
    """Configure the log of this process. Stack traces show neither messages nor the values of variables: some are secrets."""
    level = getattr(logging, settings.level.upper())
    renderers: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())] if settings.format == "text" else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(format_trace),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=_Log(sys.stderr)),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Relay()])
