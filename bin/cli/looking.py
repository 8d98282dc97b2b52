"""`agentainer workflow list` and `status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from ..core.events import Failure
from ..projections.documents import (
    JobDocument,
    StepDocument,
    WorkflowDocument,
    document,
    job_document,
)
from ..projections.histories import History
from ..projections.listing import Summary, list_forks
from ..projections.workflow import WorkflowView
from .histories import is_file, open_history, say_problems
from .output import Cell, age, between, coloured, console, print_json, print_table, short
from .query import Query
from .session import with_log

#: Agents that a person is shown; JSON has them all.
SHOWN = 30

LISTED = ("id", "name", "status", "steps", "age", "duration")
STEPS = ("step", "status", "tasks", "agents", "duration")
AGENTS = ("agent", "image", "status", "runtime", "container", "duration")


def show_list(query: Query, *, limit: int, as_json: bool) -> None:
    query.check()
    found = with_log(lambda log: query.find(log, limit))
    if as_json:
        print_json(found)
    elif found:
        print_list(found)
    else:
        asked = [word for word in (query.status, query.name, *(query.tags or [])) if word]
        console().print("no workflows" + (f" that are {' '.join(asked)}" if asked else ""))


def print_list(found: Sequence[Summary], *, out: Console | None = None) -> None:
    print_table(LISTED, map(_row, found), whole=["id", "status"], out=out)


def _row(one: Summary) -> list[Cell]:
    return [
        one.id,
        one.name,
        coloured(one.status).append(" (archived)" if one.archived else "", style="dim"),
        f"{one.steps_done}/{len(one.steps)}",
        age(one.created_at),
        between(one.started_at, one.ended_at),
    ]


def show_status(id: str, *, as_json: bool) -> None:
    history = open_history(id)
    view = history.fold()
    forks = [] if is_file(id) else with_log(lambda log: list_forks(log, view.id))
    print_workflow(view, history, as_json=as_json, forks=forks)
    if not as_json:
        say_problems(history)


def print_workflow(
    view: WorkflowView,
    history: History,
    *,
    as_json: bool,
    until: str | None = None,
    forks: Sequence[str] = (),
) -> None:
    """Its steps and agents, and why it failed, when it has; `until` is the moment shown, or now."""
    workflow = document(view, history.shown_definition(view))
    agents = [job_document(view, job) for job in view.jobs.values()]
    if as_json:
        whole: dict[str, Any] = {**msgspec.structs.asdict(workflow), "jobs": agents}
        whole |= {"forks": forks, "problems": history.problems}
        print_json(whole)
        return
    out = console()
    out.print(title(workflow, until), soft_wrap=True)
    if source := workflow.forked_from:
        text = f"forked from {source.workflow} after event {source.version}"
        out.print(", ".join([text, *source.rerun, *source.changed]), soft_wrap=True)
    if forks:
        out.print(f"forks: {' '.join(forks)}", soft_wrap=True)
    out.print()
    print_table(STEPS, [_step_row(step, until) for step in workflow.steps])
    if agents:
        out.print()
        _print_agents(agents, until)
    if workflow.error:
        out.print()
        out.print(_error(workflow, workflow.error), soft_wrap=True)


def title(workflow: WorkflowDocument, until: str | None, word: str = "") -> Text:
    """One line about a workflow, as of now or until a moment, behind a word."""
    took = between(workflow.started_at, workflow.ended_at or until)
    status = coloured(workflow.status)
    head = (f"{word:<8}", "dim") if word else ""
    return Text.assemble(head, (workflow.name, "bold"), f"  {workflow.id}  ", status, f"  {took}")


def _step_row(step: StepDocument, until: str | None) -> list[Cell]:
    return [
        step.id,
        coloured(step.status),
        _tasks(step.tasks),
        str(len(step.jobs) or ""),
        between(step.started_at, step.ended_at or until),
    ]


def _tasks(tasks: dict[str, int]) -> str:
    if not tasks["total"]:
        return ""
    parts = [f"{tasks['completed']}/{tasks['total']} done"]
    parts += [f"{tasks[word]} {word}" for word in ("running", "failed") if tasks[word]]
    return ", ".join(parts)


def _print_agents(agents: Sequence[JobDocument], until: str | None) -> None:
    """What has not succeeded comes first."""
    chosen = sorted(agents, key=lambda agent: agent.status == "succeeded")[:SHOWN]
    rows = [_agent_row(agent, until) for agent in chosen]
    print_table(AGENTS, rows, whole=["agent", "status"], spare=["runtime", "container"])
    if len(agents) > SHOWN:
        console().print(f"and {len(agents) - SHOWN} more; --json shows all")


def _agent_row(agent: JobDocument, until: str | None) -> list[Cell]:
    return [
        agent.id,
        agent.image,
        coloured(agent.status),
        agent.runtime,
        short(agent.container),
        between(agent.launched_at, agent.ended_at or until),
    ]


def _error(workflow: WorkflowDocument, error: Failure) -> Text:
    failed = next((step for step in workflow.steps if step.status == "failed"), None)
    place = f"step {failed.id}: " if failed else ""
    text = Text(f"{place}{error.type}: {error.message}", style="red")
    for line in error.last_lines or error.traceback.splitlines():
        text.append(f"\n  | {line}", style="default")
    return text
