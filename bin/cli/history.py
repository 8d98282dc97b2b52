"""`agentainer workflow replay`, `diff`, `blame` and `why`. Runs no user code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer
from msgspec.structs import replace
from rich.text import Text

from ..core.events import Blob
from ..core.keys import IMPORTED, SHARED
from ..core.log import EventLog
from ..projections.documents import iso
from ..projections.histories import History
from ..projections.history import (
    Change,
    Moment,
    blame,
    changes,
    facts,
    look_back,
    parse_moment,
    replay,
)
from ..projections.workflow import WorkflowView
from ..sdk.explanation import Reason
from ..sdk.facts import Facts
from ..sdk.histories import read_history, read_lane
from ..sdk.overview import Looker
from ..sdk.why import why
from .brief import cut
from .histories import is_file, open_history, read_file, say_problems
from .looking import print_workflow
from .output import console, print_json
from .problems import Missed
from .reading import event_line, public
from .session import find, with_log


def show_replay(id: str, *, as_json: bool) -> None:
    """Every event, and below it what it changed."""
    history = open_history(id)
    out = console()
    for recorded, changed in replay(history.workflow, history.events):
        if as_json:
            print_json({**public(history.workflow, recorded), "changes": changed})
        else:
            typer.echo(event_line(recorded))
            for change in changed:
                out.print(Text("         ").append(_change(change)), soft_wrap=True)
    history.fold()
    say_problems(history)


def show_at(id: str, at: str, *, as_json: bool) -> None:
    """The workflow as it was, as `status` shows it."""
    moment = _moment(at, "--at")
    history = open_history(id)
    history.fold()
    view = _look_back(history, moment)
    print_workflow(view, history, as_json=as_json, until=iso(view.updated_ms))
    if not as_json:
        console().print()
        typer.echo(f"As it was after event {view.version} of {history.version}:")
        for recorded in history.events:
            if recorded.version == view.version:
                typer.echo(event_line(recorded))
        say_problems(history)


def show_diff(id: str, first: str, second: str, *, as_json: bool) -> None:
    moments = (_moment(first, "FIRST"), _moment(second, "SECOND"))
    history = open_history(id)
    history.fold()
    before, after = (_look_back(history, moment) for moment in moments)
    found = changes(facts(before), facts(after))
    if as_json:
        said = {"before": before.version, "after": after.version, "changes": found}
        print_json({**said, "problems": history.problems})
        return
    for change in found:
        console().print(_change(change), soft_wrap=True)
    say_problems(history)


def _moment(text: str, option: str) -> Moment:
    """Raises typer.BadParameter."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _look_back(history: History, moment: Moment) -> WorkflowView:
    """Raises Missed."""
    try:
        return look_back(history.workflow, history.events, moment)
    except ValueError as error:
        raise Missed(str(error)) from None


def show_blame(id: str, path: str, *, as_json: bool) -> None:
    history = open_history(id)
    workflow = history.workflow
    chain, change = blame(workflow, history.events, path)
    view = history.fold()
    if change is None:
        known = sorted(facts(view))
        raise Missed(
            f"no event of workflow {workflow} set {path!r}; there are {', '.join(known[:20])}"
            + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        )
    if as_json:
        chained = [public(workflow, recorded) for recorded in chain]
        said = {"path": path, "change": change, "chain": chained}
        print_json({**said, "problems": history.problems})
        return
    console().print(_change(change), soft_wrap=True)
    for recorded in chain:
        typer.echo(event_line(recorded))
    say_problems(history)


def show_why(id: str, step: str | None, *, as_json: bool) -> None:
    if is_file(id):
        history = read_file(Path(id))
        reasons = why(history)
    else:
        history, reasons = with_log(lambda log: _why_here(log, id))
    known = history.shown_definition(history.fold()).by_id
    if step is not None and step not in known:
        raise Missed(f"workflow {history.workflow} has no step {step!r}; it has {', '.join(known)}")
    wanted = [one for one in reasons if step is None or one.step == step]
    if as_json:
        print_json(wanted)
    else:
        for reason in wanted:
            style = "bold red" if reason.root else ""
            head = f"step {reason.step}: " if reason.step else ""
            console().print(Text(head + reason.text, style=style), soft_wrap=True)
    say_problems(history)


async def _why_here(log: EventLog, id: str) -> tuple[History, list[Reason]]:
    history = await read_history(log, await find(log, id), entries=False)
    seconds, micros = await log.redis.time()
    lane = await read_lane(log, history.workflow)
    about = await _facts_about(log, history.workflow, lane)
    now_ms = seconds * 1000 + micros // 1000
    return history, why(history, about, now_ms, imported=lane == IMPORTED)


async def _facts_about(log: EventLog, workflow: str, lane: str) -> Facts:
    """What is known of the installation, with no other lane than the workflow's."""
    found = await Looker(log).look()
    mine = log.keys.partition(workflow) if lane == SHARED else None
    return replace(found, lanes=[one for one in found.lanes if one.partition == mine])


def _change(change: Change) -> Text:
    text = Text(change.path, style="bold").append("  ", style="default")
    if change.before is not msgspec.UNSET:
        text.append(_value(change.before), style="red").append(" -> ", style="default")
    if change.after is msgspec.UNSET:
        return text.append("gone", style="red")
    return text.append(_value(change.after), style="green")


def _value(value: Any) -> str:
    if isinstance(value, Blob):
        return f"<{value.size} bytes beside the log>"
    return value if isinstance(value, str) else cut(msgspec.json.encode(value).decode())
