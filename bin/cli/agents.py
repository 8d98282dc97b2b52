"""`agentainer list`: the agents of workflows."""

from __future__ import annotations

from ..projections.documents import JobDocument
from ..projections.listing import list_agents
from .output import Cell, age, coloured, console, print_json, print_table, short
from .session import with_log

COLUMNS = ("workflow", "step", "index", "image", "status", "runtime", "host", "container", "age")


def show(*, ended: bool, limit: int, as_json: bool) -> None:
    found = with_log(lambda log: list_agents(log, ended=ended, limit=limit))
    if as_json:
        print_json(found)
    elif found:
        _print(found)
    else:
        console().print("no agents" if ended else "no agents; --all shows those of ended workflows")


def _print(found: list[JobDocument]) -> None:
    rows = [_row(agent) for agent in found]
    print_table(COLUMNS, rows, whole=["workflow", "status"], spare=["host", "runtime", "container"])


def _row(agent: JobDocument) -> list[Cell]:
    return [
        agent.workflow,
        agent.step,
        str(agent.index),
        agent.image,
        coloured(agent.status),
        agent.runtime,
        agent.host,
        short(agent.container),
        age(agent.requested_at),
    ]
