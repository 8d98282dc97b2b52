"""Say what is wrong with an installation and what waits for what, one sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from ..core.keys import SHARED
from ..core.sizes import say_size
from ..projections.queues import ALL_QUEUES, QueueView
from .facts import COUNTED, Facts, LaneFacts, Unread, Waiting, WaitingAgent

#: Seconds that things may take before somebody is missing.
PATIENCE = 5.0
#: Age (s) from which an unread entry of the feed is overdue.
OVERDUE = 2.0


class Finding(msgspec.Struct, frozen=True):
    #: A problem needs an operator; what waits does so by somebody's wish.
    kind: Literal["problem", "waiting"]
    text: str
    workflow: str = ""
    step: str = ""


def diagnose(facts: Facts, later: Sequence[Unread]) -> list[Finding]:
    """What there is to say; `later` is how far each lane's engine was behind a moment after."""
    return [
        *(Finding("problem", text) for text in _problems(facts, later)),
        *_of_agents(facts),
        *(Finding("waiting", f"Workflow {name} is paused.", name) for name in facts.paused),
        *(_finding(facts, step) for step in facts.waiting if step.status != "paused"),
        *(Finding("waiting", text) for queue in facts.queues for text in _of_queue(queue)),
    ]


def _problems(facts: Facts, later: Sequence[Unread]) -> Iterator[str]:
    roles = {one.role for one in facts.members if one.lives and one.lane == SHARED}
    yield from say_unowned(facts)
    for lane, after in zip(facts.lanes, later, strict=True):
        if lane.owner:
            yield from _lag(lane, _lanes(facts, [lane]), after)
    if facts.jobs_waiting and "launcher" not in roles:
        yield (
            f"No launcher runs; {_count(facts.jobs_waiting, 'agent waits', 'agents wait')}; "
            "start `agentainer launcher`."
        )
    if facts.timers_due and facts.timer_late_s > PATIENCE:
        yield (
            f"{_count(facts.timers_due, 'timer is', 'timers are')} due, the first since "
            f"{facts.timer_late_s:.0f} s; "
            + (
                "no clock runs."
                if "clock" not in roles
                else "the clock that runs lets none happen."
            )
        )
    for one in facts.members:
        if one.lease_left_s < -PATIENCE and one.claimed:
            yield (
                f"{one.role} {one.host}:{one.pid} is silent since {-one.lease_left_s:.0f} s and "
                f"holds {_count(one.claimed, 'task or agent', 'tasks and agents')}; "
                + ("no janitor runs." if "janitor" not in roles else "the janitor takes none back.")
            )


def say_unowned(facts: Facts) -> Iterator[str]:
    """What waits because no engine is there, in words."""
    unowned = [lane for lane in facts.lanes if lane.workflows and not lane.owner]
    if unowned:
        waiting = sum(lane.workflows for lane in unowned)
        yield (
            f"No engine owns {_lanes(facts, unowned)}; "
            f"{_count(waiting, 'workflow waits', 'workflows wait')}; "
            "start `agentainer reactors` or `agentainer up`."
        )


def _lanes(facts: Facts, lanes: Sequence[LaneFacts]) -> str:
    """How a person calls some of the lanes."""
    if len(facts.lanes) == 1:
        return "the lane"
    numbers = ", ".join(str(lane.partition) for lane in lanes)
    return (
        f"the lane of partition {numbers}"
        if len(lanes) == 1
        else f"the lanes of partitions {numbers}"
    )


def _lag(lane: LaneFacts, name: str, later: Unread) -> Iterator[str]:
    """An engine that holds a lane has to get on."""
    before = lane.unread
    if later.oldest_s < OVERDUE or not later.entries:
        return
    entries = f"{later.entries}{'+' if later.entries == COUNTED else ''} entries"
    if later.position == before.position:
        yield (
            f"The engine {lane.owner} owns {name} and does not get on: {entries} of the feed "
            f"wait, the first since {later.oldest_s:.0f} s; restart it."
        )
    elif later.oldest_s > before.oldest_s:
        yield (
            f"The engine {lane.owner} of {name} falls behind: {entries} of the feed wait, the "
            f"first since {later.oldest_s:.0f} s."
        )


def _of_agents(facts: Facts) -> Iterator[Finding]:
    """Agents that are larger than every launcher, and one that waits for memory."""
    launchers = [one for one in facts.members if one.lives and one.role == "launcher"]
    sizes = [one.memory_bytes for one in launchers if one.lane == SHARED]
    most = max((size for size in sizes if size is not None), default=0)
    if sizes and None not in sizes:
        too_large = [agent for agent in facts.agents if agent.memory_bytes > most]
        if too_large:
            yield _of_too_large(too_large, most)
    for agent in facts.agents:
        if agent.awaited:
            needs = f"{_agent(agent)} waits until {say_size(agent.memory_bytes)} of memory are free"
            yield Finding("waiting", f"{needs}.", agent.workflow)


def _of_too_large(agents: list[WaitingAgent], most: int) -> Finding:
    first, *others = agents
    also = f", and {_count(len(others), 'more agent')} like it" if others else ""
    return Finding(
        "problem",
        f"{_agent(first)} needs {say_size(first.memory_bytes)} of memory and no launcher has more "
        f"than {say_size(most)}{also}; start one with `agentainer launcher --memory`, or ask for "
        "less.",
        first.workflow,
    )


def _agent(agent: WaitingAgent) -> str:
    return f"Agent {agent.job} of workflow {agent.workflow}"


def _finding(facts: Facts, step: Waiting) -> Finding:
    kind, why = say_waiting(facts, step)
    what = f"Workflow {step.workflow} step {step.step}: {why}."
    return Finding(kind, what, step.workflow, step.step)


def say_waiting(facts: Facts, step: Waiting) -> tuple[Literal["problem", "waiting"], str]:
    """What ready tasks wait for, in words."""
    kind, why = _why(facts, step)
    return kind, f"{_count(step.ready, 'task')} ready, {why}"


def _why(facts: Facts, step: Waiting) -> tuple[Literal["problem", "waiting"], str]:
    workers = [
        one
        for one in facts.members
        if one.lives and one.lane == SHARED and step.definition in one.definitions
    ]
    if step.limit:
        return "waiting", f"and {step.limit}"
    for queue in facts.queues:
        if queue.name in (step.queue, ALL_QUEUES) and queue.is_limited:
            return "waiting", f"and {_running(queue)}"
    if not workers:
        return "problem", f"but no worker serves definition {step.definition!r}"
    workers = [one for one in workers if one.has(step.definition, step.step)]
    if not workers:
        return "problem", f"but no worker that serves {step.definition!r} has the code of this step"
    slots, claimed = sum(one.slots for one in workers), sum(one.claimed for one in workers)
    if claimed >= slots:
        return "waiting", f"and all {slots} slots of {_count(len(workers), 'worker')} are taken"
    if step.oldest_s > PATIENCE:
        return "problem", (
            f"for {step.oldest_s:.0f} s, and {_count(len(workers), 'worker')} with free slots "
            "take none"
        )
    return "waiting", "about to be taken"


def _of_queue(queue: QueueView) -> Iterator[str]:
    if queue.is_full:
        yield (
            f"New workflows are refused: {_name(queue)} is full, {queue.waiting} tasks wait and "
            f"{queue.depth} may."
        )


def _running(queue: QueueView) -> str:
    return f"{_name(queue)} is limited: {queue.running} of {queue.limit} run"


def _name(queue: QueueView) -> str:
    return "all queues together" if queue.name == ALL_QUEUES else f"queue {queue.name!r}"


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
