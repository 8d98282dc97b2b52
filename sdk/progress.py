"""Show how a run gets on: a live table on a terminal, plain lines elsewhere when asked for."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..core import clock
from ..core.definition import Definition
from ..projections.workflow import StepView, WorkflowView

Mode = Literal["live", "plain", "off"]

COLOURS = {
    "pending": "dim",
    "scheduled": "cyan",
    "running": "yellow",
    "completed": "green",
    "failed": "bold red",
    "cancelled": "magenta",
}


def choose_mode(setting: str) -> Mode:
    """`auto` is live on a terminal and silent elsewhere."""
    match setting:
        case "live" | "plain" | "off":
            return setting
        case _:
            return "live" if sys.stderr.isatty() else "off"


class Progress:
    """A view of one run on stderr; `show` takes every new state of it."""

    def __init__(self, workflow: str, definition: Definition, setting: str) -> None:
        self._id = workflow
        self._definition = definition
        self._mode = choose_mode(setting)
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._view = WorkflowView(workflow)
        self._printed: dict[str, str] = {}

    def __enter__(self) -> Progress:
        if self._mode == "live":
            # Drawn when it is time to, however often it is shown a new state.
            self._live = Live(
                console=self._console, refresh_per_second=8, get_renderable=self._table
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, view: WorkflowView) -> None:
        self._view = view
        if self._mode == "plain":
            self._print(view)

    def interrupted(self, reference: str) -> None:
        """Say how an interrupted run goes on; whoever interrupts it wants to know."""
        self._console.print(
            f"interrupted; the run is kept. Go on: agentainer up {reference}   "
            f"Give up: agentainer workflow cancel {self._id}"
        )

    def _table(self) -> Table:
        view = self._view
        now_ms = view.ended_ms or max(view.updated_ms, clock.now_ms())
        took = _seconds(view.started_ms, now_ms)
        title = f"{view.name}  [dim]{view.id}[/dim]  {view.status}  {took}"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("step", "status", "tasks", "agents", "time"):
            table.add_column(column, style="dim" if column == "time" else None)
        for step in view.in_order(self._definition):
            table.add_row(
                step.id,
                Text(step.status, style=COLOURS[step.status]),
                tasks_text(step),
                agents_text(view, step),
                _seconds(step.started_ms, step.ended_ms or now_ms),
            )
        return table

    def _print(self, view: WorkflowView) -> None:
        for step in view.in_order(self._definition):
            line = f"{step.id}: {step.status}"
            if step.status in ("running", "completed"):
                line += f", {tasks_text(step)}"
            if step.status != "pending":
                self._print_news(step.id, line)
        if view.ended:
            took = _seconds(view.started_ms, view.ended_ms)
            self._print_news("", f"workflow {view.id} {view.status} after {took}")

    def _print_news(self, subject: str, line: str) -> None:
        """Print what was not the last line about a step, or about the run (empty)."""
        if self._printed.get(subject) != line:
            self._printed[subject] = line
            self._console.print(line, soft_wrap=True)


def tasks_text(step: StepView) -> str:
    if not step.total:
        return ""
    parts = [f"{step.completed}/{step.total} done"]
    parts += [f"{step.running} running"] if step.running else []
    parts += [f"{len(step.failures)} failed"] if step.failures else []
    return ", ".join(parts)


def agents_text(view: WorkflowView, step: StepView) -> str:
    if not step.jobs:
        return ""
    running = sum(not view.jobs[job].settled for job in step.jobs)
    return f"{len(step.jobs)}" + (f" ({running} running)" if running else "")


def _seconds(start: int | None, end: int | None) -> str:
    return "" if start is None or end is None else f"{(end - start) / 1000:.1f} s"
