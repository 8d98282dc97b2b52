"""`agentainer workflow diff`, `blame` and `why`. Runs no user code."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from msgspec.structs import replace
from rich.text import Text

from ..core.keys import IMPORTED, SHARED
from ..core.log import EventLog
from ..projections.comparison import StepPair, compare, run_of
from ..projections.documents import document
from ..projections.histories import History
from ..projections.history import blame, changes, facts
from ..sdk.explanation import Reason
from ..sdk.facts import Facts
from ..sdk.histories import read_history, read_lane
from ..sdk.overview import Looker
from ..sdk.why import why
from .changes import change_text
from .histories import is_file, look, moment_of, open_history, read_file, say_problems
from .looking import title
from .output import Cell, coloured, console, duration, print_json, print_table
from .problems import Missed
from .reading import event_line, public
from .session import find, with_log

#: Columns of the comparison of two runs.
COMPARED = ("step", "before", "after", "took before", "took after", "attempts that differ")


def show_diff(id: str, first: str, second: str | None, *, as_json: bool) -> None:
    """Two moments of a workflow, or with one argument two workflows."""
    if second is None:
        _show_comparison(id, first, as_json=as_json)
        return
    moments = (moment_of(first, "FIRST"), moment_of(second, "SECOND"))
    history = open_history(id)
    history.fold()
    before, after = (look(history, moment) for moment in moments)
    found = changes(facts(before), facts(after))
    if as_json:
        said = {"before": before.version, "after": after.version, "changes": found}
        print_json({**said, "problems": history.problems})
        return
    for change in found:
        console().print(change_text(change), soft_wrap=True)
    say_problems(history)


def _show_comparison(id: str, other: str, *, as_json: bool) -> None:
    histories = (open_history(id), open_history(other))
    one, two = map(run_of, histories)
    found = compare(one, two)
    if as_json:
        said = {"before": one.view.id, "after": two.view.id, **msgspec.structs.asdict(found)}
        print_json({**said, "problems": [*histories[0].problems, *histories[1].problems]})
        return
    out = console()
    for word, run in (("before", one), ("after", two)):
        out.print(title(document(run.view, run.definition), None, word), soft_wrap=True)
    out.print()
    print_table(COMPARED, map(_pair_row, found.steps), whole=["step"])
    out.print()
    for change in found.changes:
        out.print(change_text(change), soft_wrap=True)
    for history in histories:
        say_problems(history)


def _pair_row(pair: StepPair) -> list[Cell]:
    statuses = [coloured(status) if status else "" for status in pair.statuses]
    took = [duration(None if ms is None else ms / 1000) for ms in pair.took_ms]
    differing = f"{pair.differing} of {pair.attempts}" if pair.differing else ""
    return [pair.id, statuses[0], statuses[1], took[0], took[1], differing]


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
    console().print(change_text(change), soft_wrap=True)
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
