"""What the log shows: ids and sizes, never payloads, one JSON object (or one readable line) an event, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from polyport.settings import LogSettings


def set_up_log(settings: LogSettings) -> None:
    """Configure the log of this process. Stack traces never show the values of variables: some are secrets."""
    level = getattr(logging, settings.level.upper())
    renderers: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if settings.format == "text"
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
