"""Where our own log lines go: to stderr, unless the application has arranged it.

Every line about a workflow says which, with step, index, attempt and trace where they apply.
Secrets are taken out of all of them, tracebacks included.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import structlog
from structlog.dev import ConsoleRenderer
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.typing import EventDict, WrappedLogger

from .secrets import hide
from .settings import Settings
from .tracing import trace_id_of

#: A step in the making of a line.
Process = Callable[..., EventDict | str | bytes]


def log_to_stderr(settings: Settings) -> None:
    """Log at the level of the settings. What an application has configured stays as it is.

    structlog's own default is stdout, which belongs to the results of runs.
    """
    if structlog.is_configured():
        return
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    steps = processors(settings, colors=sys.stderr.isatty())
    structlog.configure(
        processors=steps,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: structlog.PrintLogger(sys.stderr),
    )
    logging.lastResort = of_libraries(steps)


def of_libraries(steps: list[Process]) -> logging.Handler:
    """Writes what libraries warn of, as `steps` make our own lines: it may have secrets, too.

    As the last resort it gets what nobody has set up a handler for.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[add_logger_name],
            processors=[ProcessorFormatter.remove_processors_meta, *steps],
        )
    )
    return handler


def processors(settings: Settings, *, colors: bool) -> list[Process]:
    """What a line goes through; the last one writes it."""
    is_json = settings.log_format == "json"
    found: list[Process] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(
            fmt="iso" if is_json else "%H:%M:%S.%f", utc=is_json, key="timestamp"
        ),
        structlog.processors.format_exc_info,
    ]
    if settings.trace_caller == "link":  # else only who knows the caller knows the trace
        found.append(add_trace)
    found.append(hide_secrets)
    if is_json:
        return [*found, structlog.processors.JSONRenderer()]
    return [*found, ConsoleRenderer(colors=colors)]


def add_trace(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Every workflow has a trace."""
    workflow = line.get("workflow")
    if isinstance(workflow, str) and workflow:
        line.setdefault("trace_id", trace_id_of(workflow))
    return line


def hide_secrets(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Values under secret names, and secrets within texts, wherever they are."""
    return {name: hide(value, name) for name, value in line.items()}
