"""`agentainer workflow replay`, `diff`, `blame` and `why`. Runs no user code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import typer
from msgspec.structs import replace
from rich.text import Text

from ..core.errors import WorkflowNotFound
from ..core.events import Blob, Recorded
from ..core.keys import SHARED
from ..core.log import EventLog
from ..projections.documents import iso
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
from ..projections.workflow import WorkflowView, fold
from ..sdk.explanation import Reason, explain
from ..sdk.facts import Facts
from ..sdk.overview import Looker
from .brief import cut
from .looking import print_workflow
from .output import console, print_json
from .problems import Missed
from .reading import event_line, public
from .session import find, with_log


async def _read(log: EventLog, text: str) -> tuple[str, list[Recorded]]:
    workflow = await find(log, text)
    events = await log.read(workflow)
    if not events:
        raise WorkflowNotFound(workflow)
    return workflow, events


def show_replay(id: str, *, as_json: bool) -> None:
    """Every event, and below it what it changed."""
    workflow, events = with_log(lambda log: _read(log, id))
    out = console()
    for recorded, changed in replay(workflow, events):
        if as_json:
            print_json({**public(workflow, recorded), "changes": changed})
        else:
            typer.echo(event_line(recorded))
            for change in changed:
                out.print(Text("         ").append(_change(change)), soft_wrap=True)


def show_at(id: str, at: str, *, as_json: bool) -> None:
    """The workflow as it was, as `status` shows it."""
    moment = _moment(at, "--at")

    async def read(log: EventLog) -> Any:
        workflow, events = await _read(log, id)
        view = _look_back(workflow, events, moment)
        return view, await log.get_definition(view.definition_digest), events

    view, definition, events = with_log(read)
    print_workflow(view, definition, as_json=as_json, until=iso(view.updated_ms))
    if not as_json:
        console().print()
        typer.echo(f"As it was after event {view.version} of {len(events)}:")
        typer.echo(event_line(events[view.version - 1]))


def show_diff(id: str, first: str, second: str, *, as_json: bool) -> None:
    moments = (_moment(first, "FIRST"), _moment(second, "SECOND"))
    workflow, events = with_log(lambda log: _read(log, id))
    before, after = (_look_back(workflow, events, moment) for moment in moments)
    found = changes(facts(before), facts(after))
    if as_json:
        print_json({"before": before.version, "after": after.version, "changes": found})
    else:
        for change in found:
            console().print(_change(change), soft_wrap=True)


def _moment(text: str, option: str) -> Moment:
    """Raises typer.BadParameter."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _look_back(workflow: str, events: Sequence[Recorded], moment: Moment) -> WorkflowView:
    """Raises Missed."""
    try:
        return look_back(workflow, events, moment)
    except ValueError as error:
        raise Missed(str(error)) from None


def show_blame(id: str, path: str, *, as_json: bool) -> None:
    workflow, events = with_log(lambda log: _read(log, id))
    chain, change = blame(workflow, events, path)
    if change is None:
        known = sorted(facts(fold(workflow, events)))
        raise Missed(
            f"no event of workflow {workflow} set {path!r}; there are {', '.join(known[:20])}"
            + (f" and {len(known) - 20} more" if len(known) > 20 else "")
        )
    if as_json:
        chained = [public(workflow, recorded) for recorded in chain]
        print_json({"path": path, "change": change, "chain": chained})
        return
    console().print(_change(change), soft_wrap=True)
    for recorded in chain:
        typer.echo(event_line(recorded))


def show_why(id: str, step: str | None, *, as_json: bool) -> None:
    async def read(log: EventLog) -> list[Reason]:
        workflow, events = await _read(log, id)
        view = fold(workflow, events)
        definition = await log.get_definition(view.definition_digest)
        if step is not None and step not in definition.by_id:
            known = ", ".join(definition.by_id)
            raise Missed(f"workflow {workflow} has no step {step!r}; it has {known}")
        seconds, micros = await log.redis.time()
        about = await _facts_about(log, workflow)
        return explain(view, definition, events, about, seconds * 1000 + micros // 1000)

    reasons = with_log(read)
    wanted = [one for one in reasons if step is None or one.step == step]
    if as_json:
        print_json(wanted)
        return
    for reason in wanted:
        style = "bold red" if reason.root else ""
        head = f"step {reason.step}: " if reason.step else ""
        console().print(Text(head + reason.text, style=style), soft_wrap=True)


async def _facts_about(log: EventLog, workflow: str) -> Facts:
    """What is known of the installation, with no other lane than the workflow's."""
    found = await Looker(log).look()
    lane: bytes | None = await log.redis.hget(log.keys.workflow(workflow, "meta"), "lane")
    mine = log.keys.partition(workflow) if lane == SHARED.encode() else None
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
