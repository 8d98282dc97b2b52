"""`agentainer workflow bulk`: one command for all workflows of a query."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import typer

from ..core.errors import FlowError
from ..core.log import EventLog
from ..projections.listing import Summary
from ..sdk import client
from ..sdk.fork_plan import Wish
from ..sdk.forking import fork, plan
from .looking import print_list
from .output import console, print_json, say
from .query import Query
from .session import with_log

#: Workflows that a preview shows, and that are changed at a time.
PREVIEW, AT_A_TIME = 20, 16


async def _fork(log: EventLog, workflow: str) -> str:
    wish = Wish(from_failure=True)
    return await fork(log, await plan(log, workflow, wish), wish)


#: What is done to each; what it returns is not told, but for the id of a fork.
VERBS: dict[str, Callable[[EventLog, str], Awaitable[object]]] = {
    "pause": client.pause,
    "resume": client.resume,
    "cancel": client.cancel,
    "delete": client.delete,
    "fork": _fork,
}


def run(verb: str, query: Query, *, limit: int, sure: bool, as_json: bool) -> bool:
    """Preview, ask, do; whether all of them went well."""
    query.check()
    found = with_log(lambda log: query.find(log, limit))
    if not sure and not _confirm(verb, found):
        return False
    done = with_log(lambda log: _each(log, verb, [one.id for one in found]))
    if as_json:
        print_json(done)
    else:
        _tell(verb, done)
    return not any("problem" in one for one in done)


def _confirm(verb: str, found: list[Summary]) -> bool:
    """Show what is meant. Nobody to ask is a no."""
    if not found:
        say("no workflows match")
        return True
    print_list(found[:PREVIEW], out=console(stderr=True))
    if len(found) > PREVIEW:
        say(f"and {len(found) - PREVIEW} more")
    if not sys.stdin.isatty():
        say(f"nothing was done; to {verb} these {len(found)} workflows add --yes")
        return False
    return typer.confirm(f"{verb} these {len(found)} workflows?", err=True)


async def _each(log: EventLog, verb: str, ids: list[str]) -> list[dict[str, Any]]:
    """What became of each; one that refuses does not stop the others."""
    done: dict[str, dict[str, Any]] = {}
    slots = anyio.CapacityLimiter(AT_A_TIME)

    async def do(workflow: str) -> None:
        async with slots:
            try:
                made = await VERBS[verb](log, workflow)
            except FlowError as error:
                done[workflow] = {"id": workflow, "problem": str(error)}
            else:
                fork_id = {"fork": made} if isinstance(made, str) else {}
                done[workflow] = {"id": workflow, **fork_id}

    async with anyio.create_task_group() as tasks:
        for workflow in ids:
            tasks.start_soon(do, workflow)
    return [done[workflow] for workflow in ids]


def _tell(verb: str, done: list[dict[str, Any]]) -> None:
    for one in done:
        if "problem" in one:
            say(f"{one['id']}: {one['problem']}")
        else:
            typer.echo(f"{one['id']} {one['fork']}" if "fork" in one else one["id"])
    failed = sum("problem" in one for one in done)
    say(f"{verb}: {len(done) - failed} done" + (f", {failed} refused" if failed else ""))
