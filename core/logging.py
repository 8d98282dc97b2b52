"""Where our own log lines go: to stderr, unless the application has arranged it."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.dev import ConsoleRenderer, plain_traceback

from .settings import Settings


def log_to_stderr(settings: Settings) -> None:
    """Log at the level of the settings. What an application has configured stays as it is.

    structlog's own default is stdout, which belongs to the results of runs.
    """
    if structlog.is_configured():
        return
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
            ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: structlog.PrintLogger(sys.stderr),
    )
