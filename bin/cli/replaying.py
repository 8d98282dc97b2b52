"""`agentainer workflow replay`: on the screen, printed, at a moment, or until a condition holds."""

from __future__ import annotations

import sys

import msgspec
import typer
from rich.text import Text

from ..projections.conditions import Condition
from ..projections.documents import iso
from ..projections.histories import History
from ..projections.history import replay
from ..projections.timeline import Timeline
from ..projections.workflow import WorkflowView
from .changes import change_text
from .histories import look, moment_of, open_history, say_problems
from .looking import print_workflow
from .navigator import Navigator
from .output import console, print_json, say
from .problems import Missed
from .reading import event_line, public


class Way(msgspec.Struct, frozen=True):
    """How a replay is shown, and what of it."""

    at: str | None = None
    until: str | None = None
    plain: bool = False
    as_json: bool = False

    @property
    def has_screen(self) -> bool:
        """Somebody is there to press keys, and wants to."""
        return not self.plain and not self.as_json and sys.stdin.isatty() and sys.stdout.isatty()


def show_replay(id: str, way: Way) -> None:
    """Event by event: on a terminal the full screen, elsewhere each with what it changed."""
    if way.at is not None:
        _show_at(id, way.at, as_json=way.as_json)
    elif way.until is not None:
        _show_until(id, way.until, way)
    elif way.has_screen:
        _open_screen(open_history(id), 1)
    else:
        _print_replay(open_history(id), as_json=way.as_json)


def _print_replay(history: History, *, as_json: bool) -> None:
    out = console()
    for recorded, changed in replay(history.workflow, history.events):
        if as_json:
            print_json({**public(history.workflow, recorded), "changes": changed})
        else:
            typer.echo(event_line(recorded))
            for change in changed:
                out.print(Text("         ").append(change_text(change)), soft_wrap=True)
    history.fold()
    say_problems(history)


def _show_at(id: str, at: str, *, as_json: bool) -> None:
    """The workflow as it was, as `status` shows it."""
    moment = moment_of(at, "--at")
    history = open_history(id)
    history.fold()
    _print_moment(history, look(history, moment), as_json=as_json)


def _show_until(id: str, text: str, way: Way) -> None:
    """Where a condition first holds: on a terminal the screen there, elsewhere as with --at."""
    condition = _condition(text)
    history = open_history(id)
    timeline = Timeline(history.workflow, history.events)
    position = _first(timeline, condition)
    if position is None:
        raise Missed(f"{text!r} holds after none of the {len(timeline)} events of {id}")
    if way.has_screen:
        _open_screen(history, position)
    else:
        history.fold()
        _print_moment(history, timeline.view_at(position), as_json=way.as_json)


def _condition(text: str) -> Condition:
    """Raises typer.BadParameter."""
    try:
        return Condition(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from None


def _first(timeline: Timeline, condition: Condition) -> int | None:
    for position, recorded in enumerate(timeline.events, 1):
        if condition.holds(recorded, timeline.view_at(position)):
            return position
    return None


def _print_moment(history: History, view: WorkflowView, *, as_json: bool) -> None:
    print_workflow(view, history, as_json=as_json, until=iso(view.updated_ms))
    if as_json:
        return
    console().print()
    typer.echo(f"As it was after event {view.version} of {history.version}:")
    for recorded in history.events:
        if recorded.version == view.version:
            typer.echo(event_line(recorded))
    say_problems(history)


def _open_screen(history: History, position: int) -> None:
    try:
        from .replay_screen import ReplayScreen
    except ImportError:
        say("The full screen needs a package: pip install 'agentainer-flow[replay]'")
        say("Without it: agentainer workflow replay ID --plain")
        raise typer.Exit(1) from None
    navigator = Navigator(history)
    navigator.position = position
    ReplayScreen(navigator).run()
    say_problems(history)
