"""`agentainer check`: what is wrong, one sentence each, and what happened in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from ..core.log import EventLog
from ..projections.invariants import Counts, Spread
from ..sdk.check import Checked, Question, check
from .output import console, duration, print_json
from .session import find, with_log


def examine(
    ids: Sequence[str] | None, limits: Sequence[str], effects: Path | None, *, as_json: bool
) -> bool:
    """Print what is found; whether nothing is wrong."""
    queues = dict(map(_read_limit, limits))

    async def look(log: EventLog) -> Checked:
        workflows = [await find(log, text) for text in ids] if ids else None
        return await check(log, Question(workflows, queues, effects))

    checked = with_log(look)
    if as_json:
        print_json(checked)
    else:
        _print(checked)
    return checked.clean


def _read_limit(text: str) -> tuple[str, int]:
    """Raises typer.BadParameter."""
    queue, _, limit = text.rpartition("=")
    if not queue or not limit.isdecimal():
        raise typer.BadParameter(f"expected QUEUE=N, got {text!r}", param_hint="--limit")
    return queue, int(limit)


def _print(checked: Checked) -> None:
    out = console()
    for name, value in _numbers(checked.counts):
        out.print(f"{name:<9} {value}", soft_wrap=True)
    out.print()
    for text in checked.left_out:
        out.print(f"not looked at: {text}", soft_wrap=True)
    for one in checked.violations:
        place = one.workflow + (f" at {one.version}" if one.version else "")
        where = f"{place}: " if place else ""
        out.print(f"rule {one.invariant}: {where}{one.text}", style="red", soft_wrap=True)
    if checked.clean:
        out.print("Nothing is wrong.", style="green")


def _numbers(counts: Counts) -> Iterator[tuple[str, str]]:
    yield "workflows", f"{counts.workflows}, {counts.ended} have ended, {counts.events} events"
    yield (
        "tasks",
        f"{counts.started} started, {counts.completed} completed, {counts.failed} failed, "
        f"{counts.cancelled} cancelled, {counts.running} running; {counts.retried} tried again",
    )
    if counts.ran is not None:
        yield "bodies", f"{counts.ran} ran"
    yield "lost", f"{counts.lost}, started again {_spread(counts.restarted)}"
    yield (
        "agents",
        f"{counts.jobs} asked for, {counts.launched} launched, {counts.adopted} adopted, "
        f"{counts.relaunched} launched again",
    )


def _spread(times: Spread) -> str:
    if not times.count:
        return "never"
    half, most, longest = (duration(ms / 1000) for ms in (times.p50_ms, times.p99_ms, times.max_ms))
    return f"after {half} (p50), {most} (p99), {longest} (longest)"
