"""What every command that needs Redis begins with: settings, logging, an event loop."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..core.errors import WorkflowNotFound
from ..core.log import EventLog
from ..core.logging import log_to_stderr
from ..core.settings import Settings, load_settings
from ..projections.listing import find_ids, newest_id
from ..sdk.connections import connect
from ..sdk.loop import run_loop
from .problems import Ambiguous

T = TypeVar("T")


def with_log(main: Callable[[EventLog], Awaitable[T]]) -> T:
    """Run `main` with the log of the settings."""
    settings = prepare()

    async def connected() -> T:
        async with connect(settings) as log:
            log.writer = f"{_user()}@{socket.gethostname()}"
            return await main(log)

    return run_loop(connected)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return f"uid {os.getuid()}"


def prepare(**arguments: Any) -> Settings:
    """Load the settings and log to stderr at their level."""
    settings = load_settings(**arguments)
    log_to_stderr(settings)
    return settings


async def find(log: EventLog, text: str) -> str:
    """The id that a person means: an id, its unique beginning, or `last` (no id has an l).

    Raises WorkflowNotFound, Ambiguous.
    """
    if text == "last":
        if newest := await newest_id(log):
            return newest
    elif await log.exists(text):
        return text
    elif text:
        match await find_ids(log, text):
            case [only]:
                return only
            case [_, *_] as several:
                raise Ambiguous(text, several)
            case _:
                pass
    raise WorkflowNotFound(text)
