"""The history that a person means: of a workflow here, or in a file, without any server."""

from __future__ import annotations

from pathlib import Path

import typer

from ..core.errors import BundleDamaged
from ..core.log import EventLog
from ..projections.bundle import SUFFIX, decode_history
from ..projections.histories import History
from ..projections.history import Moment, look_back, parse_moment
from ..projections.workflow import WorkflowView
from ..sdk.histories import read_history
from .output import say
from .problems import Missed
from .session import find, with_log

#: Problems that a person is told; JSON has them all.
TOLD = 20


def open_history(text: str, *, whole: bool = False) -> History:
    """`text` is an id, as for every command, or a file; `whole` is what can be exported.

    Raises WorkflowNotFound, Missed, BundleDamaged.
    """
    if is_file(text):
        return read_file(Path(text))

    async def read(log: EventLog) -> History:
        return await read_history(log, await find(log, text), blobs=whole, entries=whole)

    return with_log(read)


def is_file(text: str) -> bool:
    """Whether this can only be a file, or is one: ids have neither folders nor endings."""
    return "/" in text or text.endswith((SUFFIX, f"{SUFFIX}.gz")) or Path(text).is_file()


def read_file(path: Path) -> History:
    """Raises Missed, BundleDamaged."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise Missed(f"there is no file {path}") from None
    try:
        return decode_history(data)
    except BundleDamaged as error:
        raise BundleDamaged(
            error.reason, line=error.line, version=error.version, file=str(path)
        ) from None


def moment_of(text: str, option: str) -> Moment:
    """Raises typer.BadParameter."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def look(history: History, moment: Moment) -> WorkflowView:
    """The view as it was. Raises Missed."""
    try:
        return look_back(history.workflow, history.events, moment)
    except ValueError as error:
        raise Missed(str(error)) from None


def say_problems(history: History) -> None:
    """Say on stderr what is damaged, beside what could be shown."""
    problems = history.problems
    if not problems:
        return
    say(f"{history.workflow}: {len(problems)} problems; what is not damaged is shown")
    for problem in problems[:TOLD]:
        say(f"  {problem}")
    if len(problems) > TOLD:
        say(f"  and {len(problems) - TOLD} more; `agentainer workflow verify` tells all")
