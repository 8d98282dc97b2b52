"""`agentainer projections` and `rebuild`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import typer
from rich.text import Text

from ..core.log import EventLog
from ..projections.brief import cut
from ..projections.rebuilding import Difference
from ..sdk.lags import Lag, read_lags
from ..sdk.rebuild import ALL, Progress, names_of, rebuild, roll_back
from .output import Cell, console, duration, print_json, print_table, say
from .session import find, with_log

COLUMNS = ("name", "schema", "workflows", "position", "lag", "worst", "rebuild")


def show(*, as_json: bool) -> None:
    lags = with_log(read_lags)
    if as_json:
        print_json(lags)
        return
    print_table(COLUMNS, map(_row, lags), whole=["name"], spare=["rebuild"])
    for lag in lags:
        if lag.other_schema:
            text = f"{lag.other_schema} workflows have {lag.name} of another schema"
            say(f"{text}: agentainer rebuild {lag.name}")


def _row(lag: Lag) -> list[Cell]:
    worst = f"{lag.worst_events} of {lag.worst_workflow}" if lag.worst_events else ""
    waits = f", {duration(lag.lag_s)} (sum {duration(lag.sum_s)})" if lag.lag_events else ""
    return [
        lag.name,
        str(lag.schema),
        str(lag.workflows),
        f"{lag.position} of {lag.events}",
        f"{lag.lag_events} events{waits}",
        worst,
        lag.rebuild,
    ]


def make(
    name: str | None,
    *,
    everything: bool,
    workflow: str | None,
    back: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Rebuild, or roll back. Raises typer.BadParameter."""
    chosen = ALL if everything else name or ""
    if bool(name) == everything or not names_of(chosen) or name == ALL:
        known = ", ".join(names_of(ALL))
        raise typer.BadParameter(f"give one of {known}, or --all; got {name!r}", param_hint="NAME")
    if back:
        _roll_back(chosen, workflow, as_json=as_json)
        return
    watch = _watch_nothing if as_json else _watching()

    async def run(log: EventLog) -> Progress:
        one = await find(log, workflow) if workflow else None
        return await rebuild(log, chosen, workflow=one, switch=not dry_run, watch=watch)

    progress = with_log(run)
    if as_json:
        print_json(progress)
    else:
        _print(progress, dry_run=dry_run)


def _roll_back(name: str, workflow: str | None, *, as_json: bool) -> None:
    async def run(log: EventLog) -> Any:
        one = await find(log, workflow) if workflow else None
        return await roll_back(log, name, workflow=one)

    restored = with_log(run)
    if as_json:
        print_json(restored)
        return
    typer.echo(f"{restored.restored} put back as they were before the last rebuild")
    if restored.newer:
        typer.echo(f"{restored.newer} left: what is live now is newer")


def _watch_nothing(progress: Progress) -> None:
    pass


def _watching() -> Callable[[Progress], None]:
    """On a terminal one line that goes on, else a line now and then."""
    phase, looked = "", 0

    def watch(progress: Progress) -> None:
        nonlocal phase, looked
        text = f"{progress.phase}: {progress.looked} of {progress.total} workflows, "
        text += f"{progress.different} differences, {progress.switched} switched"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if progress.phase == "done" else ""))
            sys.stderr.flush()
        elif progress.phase != phase or progress.looked - looked >= 1000:
            phase, looked = progress.phase, progress.looked
            say(text)

    return watch


def _print(progress: Progress, *, dry_run: bool) -> None:
    out = console()
    if progress.resumed:
        out.print("went on with a rebuild that was not finished")
    out.print(f"workflows  {progress.looked} of {progress.total}")
    out.print(f"same       {progress.same}")
    out.print(f"different  {progress.different}")
    for one in progress.first:
        out.print(Text("  ").append(_difference(one)), soft_wrap=True)
    if progress.damaged:
        out.print(f"damaged    {progress.damaged} logs cannot be folded, and were left")
        for problem in progress.problems:
            out.print(Text(f"  {problem}", style="red"), soft_wrap=True)
    if not dry_run:
        text = f"switched   {progress.switched}"
        out.print(text + (f", {progress.left} left: newer or gone" if progress.left else ""))
    if progress.switched:
        out.print(f"Go back:   agentainer rebuild {_named(progress.name)} --rollback")


def _named(name: str) -> str:
    return "--all" if name == ALL else name


def _difference(one: Difference) -> Text:
    text = Text(f"{one.workflow} {one.projection} ").append(one.path, style="bold")
    text.append("  ").append(_value(one.live), style="red")
    return text.append(" -> ").append(_value(one.built), style="green")


def _value(value: Any) -> str:
    return "nothing" if value is None else cut(msgspec.json.encode(value).decode())
