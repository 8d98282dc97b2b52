"""`agentainer workflow events` and `logs`: line by line, as they are or as they come."""

from __future__ import annotations

from typing import Any

import typer

from ..core.events import Recorded, json_of
from ..core.keys import IMPORTED
from ..core.log import EventLog
from ..projections.brief import brief
from ..sdk.handle import follow_to_end
from ..sdk.histories import read_lane
from ..sdk.output import Line, Wanted, follow_lines, kept_lines
from .histories import is_file, open_history, say_problems
from .output import local_time, print_json
from .session import find, with_log

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue")


def show_events(id: str, *, follow: bool, after: int, as_json: bool) -> None:
    if not follow or is_file(id):
        _show_kept_events(id, after, as_json=as_json)
        return

    async def show(log: EventLog) -> None:
        workflow = await find(log, id)
        if await read_lane(log, workflow) == IMPORTED:  # nothing more comes
            for recorded in await log.read(workflow, after=after):
                _print_event(workflow, recorded, as_json=as_json)
            return
        async for recorded in follow_to_end(log, workflow, after=after):
            _print_event(workflow, recorded, as_json=as_json)

    with_log(show)


def _show_kept_events(id: str, after: int, *, as_json: bool) -> None:
    history = open_history(id)
    for recorded in history.events:
        if recorded.version > after:
            _print_event(history.workflow, recorded, as_json=as_json)
    history.fold()
    say_problems(history)


def _print_event(workflow: str, recorded: Recorded, *, as_json: bool) -> None:
    if as_json:
        print_json(public(workflow, recorded))
    else:
        typer.echo(event_line(recorded))


def public(workflow: str, recorded: Recorded) -> dict[str, Any]:
    """An event as --json prints it."""
    return {
        "workflow": workflow,
        "version": recorded.version,
        "type": recorded.type,
        "ts": recorded.ts,
        "by": recorded.by,
        "cause": recorded.cause,
        "digest": recorded.digest,
        "data": json_of(recorded.event),
    }


def event_line(recorded: Recorded) -> str:
    """An event for people: when, what, by whom."""
    what = brief(recorded.event)
    head = f"{recorded.version:>5}  {local_time(recorded.ts)}  {recorded.type:<25}"
    return f"{head}  {what:<40}  {recorded.by}" if recorded.by else f"{head}  {what}"


def brief_line(recorded: Recorded) -> str:
    """The same where there is little room."""
    time = local_time(recorded.ts)[-12:]
    return f"{recorded.version:>5} {time} {recorded.type:<18} {brief(recorded.event)}"


def show_logs(id: str, *, step: str | None, index: int | None, follow: bool, as_json: bool) -> None:
    async def show(log: EventLog) -> None:
        workflow = await find(log, id)
        prefixes = _Prefixes()
        read = follow_lines if follow else kept_lines
        async for line in read(log, workflow, Wanted(step, index)):
            if as_json:
                print_json(line)
            else:
                typer.echo(prefixes.of(line) + line.text)

    with_log(show)


class _Prefixes:
    """One colour per agent, in turn."""

    def __init__(self) -> None:
        self._made: dict[str, str] = {}

    def of(self, line: Line) -> str:
        if line.job not in self._made:
            colour = _COLOURS[len(self._made) % len(_COLOURS)]
            self._made[line.job] = typer.style(f"{line.job} | ", fg=colour)
        return self._made[line.job]
