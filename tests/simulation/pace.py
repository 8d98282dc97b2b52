"""How soon things follow on what calls for them, where no fault lasts.

Whoever is not woken finds out by itself after a while, so what is late is all there is to see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from agentainer_flow.projections.invariants import Entry

from .graphs import Graph, Step
from .plan import Plan
from .recorder import Recorder
from .waits import slack_of

Logs = Mapping[str, Sequence[Entry]]
Place = tuple[str, int]

#: What it takes to make and start a container, ms.
LAUNCH = 400
ENDS = ("workflow.completed", "workflow.failed", "workflow.cancelled")
SETTLED = ("task.completed", "task.failed", "task.cancelled", "task.lost")
#: Events that hold up an engine, or leave it nothing to do.
HALTS = ("workflow.paused", "workflow.cancel_requested", "workflow.timed_out", "step.failed")


def judge_pace(
    plan: Plan, graphs: Mapping[str, Graph], logs: Logs, recorder: Recorder
) -> Iterator[str]:
    slack_ms = slack_of(plan)
    for workflow, log in logs.items():
        graph = graphs[workflow]
        for text in (
            *_decisions(graph, log, slack_ms),
            *_end(log, slack_ms),
            *_timeouts(graph, log, slack_ms),
        ):
            yield f"{workflow}: {text}"
    yield from _bodies(recorder, logs, slack_ms)
    yield from _agents(recorder, logs, slack_ms)
    yield from _launches(plan, logs, slack_ms)


def _place(entry: Entry) -> Place:
    return (entry.data.get("step", ""), entry.data.get("index") or 0)


def _decisions(graph: Graph, log: Sequence[Entry], slack_ms: float) -> Iterator[str]:
    """What follows from the end of a task, or of a step, is decided at once."""
    steps = {step.id: step for step in graph.steps}
    due_ms: dict[str, float] = {}
    open_tasks: dict[str, int] = {}
    completed: set[str] = set()
    is_going_on = False
    for entry in log:
        name = entry.data.get("step", "")
        decides = entry.type in ("step.scheduled", "step.completed", "task.retried", *HALTS, *ENDS)
        for called, since_ms in due_ms.items() if decides and is_going_on else ():
            late_ms = entry.ts - since_ms
            if late_ms > slack_ms and (called == name or entry.type in (*HALTS, *ENDS)):
                yield f"{called} called for {entry.type} {late_ms:.0f} ms before {entry.version}"
        match entry.type:
            case "workflow.started" | "workflow.resumed":
                is_going_on = True
                due_ms = {step: float(entry.ts) for step in due_ms}
                if entry.type == "workflow.started":
                    due_ms = {step.id: float(entry.ts) for step in graph.steps if not _needs(step)}
            case kind if kind in HALTS:
                is_going_on = False
            case "step.scheduled":
                due_ms.pop(name, None)
                open_tasks[name] = entry.data["tasks"]
                if not entry.data["tasks"]:
                    due_ms[name] = float(entry.ts)
            case "task.completed" | "task.failed":
                open_tasks[name] -= 1
                retries = steps[name].retries
                if not open_tasks[name] or (
                    entry.type == "task.failed" and entry.data["attempt"] <= retries
                ):
                    due_ms.setdefault(name, float(entry.ts))
            case "task.retried":
                open_tasks[name] += 1
                due_ms.pop(name, None)
            case "step.completed":
                due_ms.pop(name, None)
                completed.add(name)
                for step in graph.steps:
                    if name in _needs(step) and _needs(step) <= completed:
                        due_ms[step.id] = float(entry.ts)
            case _:
                pass


def _needs(step: Step) -> set[str]:
    return {*step.after, *([step.over] if step.over else [])}


def _end(log: Sequence[Entry], slack_ms: float) -> Iterator[str]:
    """The end of a workflow follows on the last event before it."""
    for last, entry in pairwise(log):
        if entry.type in ENDS and entry.ts - last.ts > slack_ms:
            yield f"{entry.type} came {(entry.ts - last.ts) / 1000:.2f} s after all was over"


def _timeouts(graph: Graph, log: Sequence[Entry], slack_ms: float) -> Iterator[str]:
    """A task, and a run, end when they have taken too long, and not before."""
    steps = {step.id: step for step in graph.steps}
    until_ms = log[0].ts + 1000 * graph.timeout if graph.timeout else math.inf
    tasks: dict[Place, float] = {}
    is_going_on = True
    for entry in log:
        place = _place(entry)
        if is_going_on and entry.ts > until_ms + slack_ms and entry.type not in ENDS:
            yield f"it went on at {entry.version}, it was to time out {until_ms:.0f}"
            return
        match entry.type:
            case "workflow.timed_out" if entry.ts < until_ms:
                yield f"it timed out at {entry.version}, before its time was over"
            case "workflow.resumed":
                is_going_on = True
                until_ms = max(until_ms, entry.ts)
            case kind if kind in HALTS:
                is_going_on = False
            case "task.started" if limit := steps[place[0]].timeout:
                tasks[place] = entry.ts + 1000 * limit
            case kind if kind in SETTLED and tasks.pop(place, math.inf) + slack_ms < entry.ts:
                yield f"{place[0]}[{place[1]}] ran past its timeout up to {entry.version}"
            case _:
                pass


def _bodies(recorder: Recorder, logs: Logs, slack_ms: float) -> Iterator[str]:
    """A body begins when its task was claimed, and its end is in the log when it has ended."""
    began: dict[tuple[str, str, int, int], tuple[float, float]] = {}
    for ran in recorder.bodies:
        place = (ran.workflow, ran.step, ran.index, ran.attempt)
        began[place] = (ran.at_ms, ran.ended_ms)
    for workflow, log in logs.items():
        for entry in log:
            place = (workflow, *_place(entry), entry.data.get("attempt", 0))
            begun_ms, ended_ms = began.get(place, (0.0, 0.0))
            if entry.type == "task.started" and begun_ms - entry.ts > slack_ms:
                yield f"{workflow}: {place[1]}[{place[2]}] ran long after its claim"
            elif entry.type == "task.completed" and entry.ts - ended_ms > slack_ms:
                yield f"{workflow}: {place[1]}[{place[2]}] had ended long before it was said"


def _agents(recorder: Recorder, logs: Logs, slack_ms: float) -> Iterator[str]:
    """Whoever waits for an agent hears of its end."""
    ended_ms = {
        (workflow, entry.data["job"]): entry.ts
        for workflow, log in logs.items()
        for entry in log
        if entry.type in ("job.succeeded", "job.failed", "job.cancelled")
    }
    for one in recorder.answers:
        late_ms = one.heard_ms - max(one.asked_ms, ended_ms.get((one.workflow, one.job), math.inf))
        if late_ms > slack_ms:
            yield f"{one.workflow}: the end of agent {one.job} was heard {late_ms:.0f} ms later"


def _launches(plan: Plan, logs: Logs, slack_ms: float) -> Iterator[str]:
    """An agent is launched at once as long as there is room for all of them."""
    launchers = [node for node in plan.nodes if "launcher" in node.roles]
    if any(node.memory for node in launchers):
        return
    slots = sum(node.agent_slots for node in launchers)
    events = sorted(
        ((entry.ts, workflow, entry) for workflow, log in logs.items() for entry in log),
        key=lambda one: one[0],
    )
    paused: set[str] = set()
    waiting: dict[tuple[str, str], float] = {}
    under_way: set[tuple[str, str]] = set()
    for now_ms, workflow, entry in events:
        job = (workflow, entry.data.get("job") or "")
        if len(under_way) > slots:
            waiting.update((one, now_ms) for one in waiting)
        if entry.type == "workflow.paused":
            paused.add(workflow)
        elif entry.type in ("workflow.resumed", "workflow.cancel_requested"):
            paused.discard(workflow)
            waiting.update((one, now_ms) for one in waiting if one[0] == workflow)
        elif entry.type == "job.requested":
            under_way.add(job)
            waiting[job] = now_ms
        elif entry.type in ("job.launched", "job.succeeded", "job.failed", "job.cancelled"):
            since_ms = waiting.pop(job, math.inf)
            if entry.type != "job.launched":
                under_way.discard(job)
            if now_ms - since_ms > slack_ms + LAUNCH and workflow not in paused:
                yield f"{workflow}: {job[1]} waited {now_ms - since_ms:.0f} ms for a free launcher"
