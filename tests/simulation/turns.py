"""Who is served first: workflows of a higher priority, and of one priority each in its turn."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import msgspec

from agentainer_flow.core.keys import Keys
from agentainer_flow.projections.invariants import Entry

from .graphs import Graph, Step
from .pace import HALTS
from .plan import Plan

#: How often others of the same priority are served before one that waits: in the call before it
#: joined the ring, and in one that had the ring's order from before that.
PASSED_OVER = 2


class _Waiting(msgspec.Struct):
    """A workflow with tasks that nothing is against but that all slots are taken."""

    graph: Graph
    partition: int
    is_going_on: bool = False
    ready: set[tuple[str, int]] = msgspec.field(default_factory=set[tuple[str, int]])
    #: How often each other workflow was served since it last got something.
    passed: Counter[str] = msgspec.field(default_factory=Counter[str])


def judge_turns(
    plan: Plan, graphs: Mapping[str, Graph], logs: Mapping[str, Sequence[Entry]]
) -> Iterator[str]:
    if any(start.alone for start in plan.starts) or len(logs) < 2:
        return
    keys = Keys(partitions=plan.partitions)
    runs = {name: _Waiting(graph, keys.partition(name)) for name, graph in graphs.items()}
    events = sorted(
        ((entry.ts, name, entry) for name, log in logs.items() for entry in log),
        key=lambda one: one[0],
    )
    for _, group in groupby(events, lambda one: one[0]):
        some = [(name, entry) for _, name, entry in group]
        claims = [(name, entry) for name, entry in some if entry.type == "task.started"]
        halted = {name for name, entry in some if entry.type in HALTS}
        going_on = {name: run for name, run in runs.items() if name not in halted}
        yield from _served(runs, going_on, claims)
        for name, entry in some:
            _add(plan, runs[name], entry)
        for name, _ in claims:
            runs[name].passed.clear()


def _served(
    runs: Mapping[str, _Waiting],
    going_on: Mapping[str, _Waiting],
    claims: Sequence[tuple[str, Entry]],
) -> Iterator[str]:
    """Tasks were claimed at one moment: who of those that go on could have had them instead?"""
    started: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
    for name, entry in claims:
        started[name].add((entry.data["step"], entry.data["index"]))
    for (name, _), times in Counter((name, entry.by) for name, entry in claims).items():
        served = runs[name]
        for other, one in going_on.items():
            if not one.is_going_on or one.partition != served.partition:
                continue
            above = one.graph.priority - served.graph.priority
            if above > 0 and one.ready - started[other]:
                yield f"{name} was served before {other}, which has a higher priority"
            elif above == 0 and one.ready and other not in started:
                one.passed[name] += 1
                if times > 1:
                    yield f"{name} was given {times} tasks at once, and {other} got none"
                if one.passed[name] > PASSED_OVER:
                    yield f"{name} was served {one.passed[name]} times, and {other} was waiting"


def _add(plan: Plan, run: _Waiting, entry: Entry) -> None:
    data = entry.data
    name = data.get("step", "")
    place = (name, data.get("index") or 0)
    match entry.type:
        case "workflow.started":
            run.is_going_on = True
        case kind if kind in HALTS:
            run.is_going_on = False
            run.ready.clear()
        case "step.scheduled" if _is_free(plan, run.graph, run.graph.step(name)):
            run.ready |= {(name, index) for index in range(data["queued"])}
            run.passed.clear()
        case "task.started" | "task.failed" | "task.cancelled":
            run.ready.discard(place)
        case _:
            pass


def _is_free(plan: Plan, graph: Graph, step: Step) -> bool:
    """Nothing but the slots of workers is against a task of the step."""
    limited = step.queue in plan.queues or "*" in plan.queues
    everywhere = all(node.lacks != step.id for node in plan.nodes)
    return everywhere and not (
        limited or graph.max_parallel or step.max_workers or step.concurrency
    )
