"""`agentainer top`: what the installation is doing, again and again, or once."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

import anyio
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..core.log import EventLog
from ..sdk.throughput import Throughput
from ..sdk.top import Look, look
from .output import Cell, console, duration, print_json
from .queues import COLUMNS as QUEUE_COLUMNS
from .queues import row, share
from .session import with_log

#: What text columns are for; all others are numbers.
WORDS = ("queue", "host", "id", "name", "step", "status")


def show(*, once: bool, every_s: float, most: int, as_json: bool) -> None:
    """Show looks until Ctrl-C, or one."""
    is_live = not once and not as_json and sys.stdout.isatty()

    async def main(log: EventLog) -> None:
        async with _counting(log) as throughput:
            if is_live:
                await _show_live(log, throughput, every_s, most)
                return
            await anyio.sleep(every_s)
            found = await look(log, await throughput.look(), most=most)
            if as_json:
                print_json(found)
            else:
                console().print(draw(found))

    with_log(main)


@asynccontextmanager
async def _counting(log: EventLog) -> AsyncGenerator[Throughput]:
    throughput = Throughput(log)
    await throughput.open()
    try:
        yield throughput
    finally:
        with anyio.move_on_after(1, shield=True):
            await throughput.close()


async def _show_live(log: EventLog, throughput: Throughput, every_s: float, most: int) -> None:
    with Live(Text("counting …"), console=console(), screen=True, auto_refresh=False) as live:
        while True:
            await anyio.sleep(every_s)
            found = await look(log, await throughput.look(), most=most)
            live.update(draw(found), refresh=True)


def draw(found: Look) -> RenderableType:
    """A look as a person reads it."""
    parts: list[RenderableType] = [Text(_summary(found))]
    parts += _part(QUEUE_COLUMNS, map(row, found.queues))
    parts += _part(
        ("host", "processes", "tasks", "task slots", "agents", "agent slots"),
        (
            [
                one.host,
                str(one.processes),
                f"{one.tasks} {share(one.tasks, one.task_slots)}",
                str(one.task_slots),
                f"{one.agents} {share(one.agents, one.agent_slots)}",
                str(one.agent_slots),
            ]
            for one in found.hosts
        ),
    )
    parts += _part(
        ("id", "name", "status", "running"),
        ([one.workflow, one.name, one.status, str(one.running)] for one in found.workflows),
    )
    parts += _part(
        ("step", "name", "id", "runs for", "running", "done"),
        (
            [
                one.step,
                one.name,
                one.workflow,
                duration(one.running_s),
                str(one.tasks_running),
                f"{one.tasks_done} of {one.tasks}",
            ]
            for one in found.steps
        ),
    )
    return Group(*parts)


def _summary(found: Look) -> str:
    rates = found.rates
    failed = f", {rates.failed_tasks_per_s:g} of them failed" if rates.failed_tasks_per_s else ""
    return (
        f"{rates.tasks_per_s:g} tasks/s{failed}   {rates.workflows_per_s:g} workflows/s   "
        f"{found.active} under way   {found.agents_waiting} agents wait   "
        f"engine {duration(found.engine_lag_s)} behind"
    )


def _part(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[RenderableType]:
    """A table below a blank line; nothing when it would be empty."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.upper(), justify="left" if name in WORDS else "right", no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    return [Text(""), table] if table.row_count else []
