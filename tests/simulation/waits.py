"""Work that could go on and had to wait: what a missing ring of a bell, or a lost slot, costs.

Nothing breaks by that, for everybody looks for themselves now and then. So where no fault lasts,
nothing may wait for long that a free worker could do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec

from agentainer_flow.projections.invariants import Entry

from .graphs import Graph, Step
from .plan import Node, Plan

#: What may lie between what makes something possible and its being done, ms: a few calls.
SLACK, SLACK_PER_FAULT = 300, 700


def slack_of(plan: Plan) -> float:
    """How long something may take that nothing holds up, ms."""
    late_ms = sum(1000 * fault.for_s for fault in plan.calls if "delay" in fault.kind)
    return SLACK + late_ms + SLACK_PER_FAULT * len(plan.calls)


class _Ready(msgspec.Struct):
    """A task that nobody has."""

    #: When it may be claimed at the earliest, and when it may wait no longer, ms.
    from_ms: float
    until_ms: float
    #: Since when it could have been claimed; None: something is against it.
    since_ms: float | None = None


class _Run:
    """A workflow, as its log says that it stands."""

    def __init__(self, name: str, graph: Graph) -> None:
        self.name = name
        self.graph = graph
        self.steps = {step.id: step for step in graph.steps}
        self.is_going_on = False
        self.ready: dict[tuple[str, int], _Ready] = {}
        #: The node that each claimed task is on.
        self.running: dict[tuple[str, int], str] = {}


class Floor:
    """All workflows of a run, their events in the order of time."""

    def __init__(self, plan: Plan, graphs: Mapping[str, Graph]) -> None:
        self._plan = plan
        self._runs = {name: _Run(name, graph) for name, graph in graphs.items()}
        self._slack = slack_of(plan)
        self._workers = [node for node in plan.nodes if "worker" in node.roles]

    def judge(self, logs: Mapping[str, Sequence[Entry]]) -> Iterator[str]:
        events = sorted(
            ((entry.ts, name, entry) for name, log in logs.items() for entry in log),
            key=itemgetter(0),
        )
        for now_ms, group in groupby(events, itemgetter(0)):
            for _, name, entry in group:
                yield from self._add(self._runs[name], entry)
            self._look(now_ms)

    def _add(self, run: _Run, entry: Entry) -> Iterator[str]:
        data = entry.data
        place = (data.get("step", ""), data.get("index") or 0)
        match entry.type:
            case "workflow.started" | "workflow.resumed":
                run.is_going_on = True
                for one in run.ready.values():
                    one.until_ms = max(one.until_ms, entry.ts)
            case "workflow.paused" | "workflow.timed_out" | "workflow.cancel_requested":
                run.is_going_on = False
            case "step.scheduled":
                self._queue(run, entry, range(data["queued"]))
            case "tasks.queued":
                self._queue(run, entry, range(data["first"], data["first"] + data["count"]))
            case "step.failed":
                run.is_going_on = False
            case "task.retried":
                self._queue(run, entry, [place[1]], data.get("delay_ms", 0))
            case "task.started":
                yield from self._leave(run, place, entry)
                run.running[place] = _node_of(self._plan, data["worker"])
            case "task.completed" | "task.failed" | "task.cancelled" | "task.lost":
                yield from self._leave(run, place, entry)
                run.running.pop(place, None)
            case _:
                pass

    def _queue(self, run: _Run, entry: Entry, indexes: Iterable[int], delay_ms: int = 0) -> None:
        step = run.steps[entry.data["step"]]
        from_ms = entry.ts + delay_ms
        until_ms = from_ms + 1000 * step.queue_timeout if step.queue_timeout else float("inf")
        run.ready |= {(step.id, index): _Ready(from_ms, until_ms) for index in indexes}

    def _leave(self, run: _Run, place: tuple[str, int], entry: Entry) -> Iterator[str]:
        """A task is claimed, or nobody needs to claim it any more."""
        ready = run.ready.pop(place, None)
        if ready is None or not run.is_going_on:
            return
        task = f"{run.name}: {place[0]}[{place[1]}]"
        waited_ms = entry.ts - (entry.ts if ready.since_ms is None else ready.since_ms)
        if waited_ms > self._slack:
            yield f"{task} could have been claimed {waited_ms / 1000:.2f} s before {entry.version}"
        if entry.ts > ready.until_ms + self._slack:
            yield f"{task} waited on at {entry.version}, it was to fail {ready.until_ms:.0f}"
        gave_up = entry.data.get("error", {}).get("type") == "QueueTimeout"
        if gave_up and entry.ts < ready.until_ms:
            yield f"{task} was given up at {entry.version}, before it had waited that long"

    def _look(self, now_ms: int) -> None:
        """Note which tasks could be claimed from now on."""
        on_node = Counter(node for run in self._runs.values() for node in run.running.values())
        shared = Counter(
            limit
            for run in self._runs.values()
            for step, _ in run.running
            for limit in _shared_limits(run.steps[step])
        )
        for run in self._runs.values():
            free: dict[str, bool] = {}
            for (name, _), ready in run.ready.items():
                if name not in free:
                    free[name] = self._is_free(run, run.steps[name], on_node, shared)
                if not free[name]:
                    ready.since_ms = None
                elif ready.since_ms is None:
                    ready.since_ms = max(now_ms, ready.from_ms)

    def _is_free(self, run: _Run, step: Step, on_node: Counter[str], shared: Counter[str]) -> bool:
        most: dict[str, int | None] = {f"queue:{name}": n for name, n in self._plan.queues.items()}
        if step.concurrency:
            most[f"key:{step.concurrency[0]}"] = step.concurrency[1]
        of_step = sum(name == step.id for name, _ in run.running)
        return (
            run.is_going_on
            and any(_has_room(node, step, on_node) for node in self._workers)
            and _is_below(of_step, step.max_workers)
            and _is_below(len(run.running), run.graph.max_parallel)
            and all(_is_below(shared[limit], most.get(limit)) for limit in _shared_limits(step))
        )


def _node_of(plan: Plan, session: str) -> str:
    """The node of a session: its process ids begin with its number."""
    return plan.nodes[int(session.split(":")[-2]) // 1000 - 1].name


def _has_room(node: Node, step: Step, on_node: Counter[str]) -> bool:
    return node.lacks != step.id and on_node[node.name] < node.slots


def _is_below(number: int, most: int | None) -> bool:
    return not most or number < most


def _shared_limits(step: Step) -> list[str]:
    keys = [f"key:{step.concurrency[0]}"] if step.concurrency else []
    return [f"queue:{step.queue or 'default'}", "queue:*", *keys]
