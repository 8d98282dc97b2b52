"""What only costs time, or work that is done again, and breaks no other rule.

Whoever misses a ring of a bell finds its work a while later, and what was lost is done once more.
So nothing may take long, and where nobody dies or stands still nothing may be lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec.structs import replace

from agentainer_flow.projections.invariants import Entry

from .graphs import Graph
from .pace import judge_pace
from .plan import Plan
from .recorder import Container, Recorder
from .waits import Floor, slack_of

Logs = Mapping[str, Sequence[Entry]]

#: The longest time without any event, ms: as a step takes, and with faults until others take over.
LONGEST, LONGEST_WITH_FAULTS = 5_500, 11_000
#: How long a node that is to stop lets its tasks run, ms.
GRACE_MS = 3_000
#: Faults after which somebody acts on what it read long before.
STANDSTILLS = {"freeze", "partition", "daemon", "redis", "delay", "delay_reply"}
#: From the look whether an agent is still wanted to its start, at most, ms.
LOOKED_MS = 300
#: What an order to freeze or to end takes to get there, ms.
ON_THE_WAY = 1_000


def judge_calm(
    plan: Plan, graphs: Mapping[str, Graph], logs: Logs, recorder: Recorder, taken_back: int
) -> Iterator[str]:
    """`taken_back`: how often somebody's claims were."""
    yield from _gaps(plan, logs)
    kinds = {fault.kind for fault in plan.timed} | {fault.kind for fault in plan.calls}
    if not kinds & STANDSTILLS:
        for workflow, log in logs.items():
            yield from _let_go_on(workflow, log, recorder.containers)
    if not kinds & (STANDSTILLS - {"daemon"} | {"clock"}):
        for workflow, log in logs.items():
            yield from _unwanted(workflow, log, recorder.containers)
    if _only_stops(plan):
        yield from _handed_over(logs, recorder)
    if not plan.is_calm:
        return
    if not any(node.skew_s for node in plan.nodes):
        yield from judge_pace(plan, graphs, logs, recorder)
        yield from Floor(plan, graphs).judge(logs)
    if taken_back:
        yield f"{taken_back} times something claimed was taken back, and nobody died"
    for workflow, log in logs.items():
        for entry in log:
            if entry.type == "task.lost":
                yield f"{workflow}: a task was lost at {entry.version}, and nobody died"
            if entry.data.get("adopted"):
                yield f"{workflow}: an agent was adopted at {entry.version}, and nobody died"
        yield from _thawed(workflow, log, recorder.containers)
        yield from _stopped(workflow, log, recorder)
    yield from _cancelled(logs, recorder, slack_of(plan))


def _only_stops(plan: Plan) -> bool:
    """Nothing goes wrong in it, but nodes are asked to stop."""
    is_calm = replace(plan, timed=()).is_calm
    return is_calm and bool(plan.timed) and all(fault.kind == "stop" for fault in plan.timed)


def _handed_over(logs: Logs, recorder: Recorder) -> Iterator[str]:
    """Who is to stop lets its tasks end as long as it may, and hands on what is left."""
    begun = {
        (one.workflow, one.step, one.index, one.attempt, one.session) for one in recorder.bodies
    }
    first_ms = min(recorder.stops_ms, default=math.inf)
    for workflow, log in logs.items():
        for entry in log:
            if entry.type != "task.lost":
                continue
            data = entry.data
            task = f"{workflow}: {data['step']}[{data['index']}]"
            if entry.by == "janitor":
                yield f"{task} was lost at {entry.version}, and nobody died"
            place = (workflow, data["step"], data["index"], data["attempt"], data["worker"])
            if place in begun and entry.ts < first_ms + GRACE_MS - ON_THE_WAY:
                yield f"{task} was given up at {entry.version}, it might have ended"


def _gaps(plan: Plan, logs: Logs) -> Iterator[str]:
    """Clocks that are off, and hosts that are gone, are waited for."""
    skewed = any(node.skew_s for node in plan.nodes)
    if skewed or any(fault.kind in ("clock", "host") for fault in plan.timed):
        return
    longest = LONGEST if plan.is_calm else LONGEST_WITH_FAULTS
    times = sorted(entry.ts for log in logs.values() for entry in log)
    for one, next_one in pairwise(times):
        if next_one - one > longest:
            yield f"nothing happened for {(next_one - one) / 1000:.1f} s"


def _cancelled(logs: Logs, recorder: Recorder, slack_ms: float) -> Iterator[str]:
    """A body ends when its task is cancelled."""
    cancelled_ms = {
        (workflow, entry.data["step"], entry.data["index"]): entry.ts
        for workflow, log in logs.items()
        for entry in log
        if entry.type == "task.cancelled"
    }
    for ran in recorder.bodies:
        place = (ran.workflow, ran.step, ran.index)
        latest_ms = cancelled_ms.get(place, math.inf) + slack_ms
        if ran.can_be_cancelled and latest_ms < (ran.ended_ms or recorder.now_ms()):
            yield f"{ran.workflow}: {ran.step}[{ran.index}] was cancelled, and ran on"


def _stopped(workflow: str, log: Sequence[Entry], recorder: Recorder) -> Iterator[str]:
    """An agent ends when it is asked to, or as soon as it is there."""
    asked_ms: dict[str, int] = {}
    launched_ms: dict[str, int] = {}
    for entry in log:
        if entry.type in ("job.stop_requested", "job.launched"):
            times = asked_ms if entry.type == "job.stop_requested" else launched_ms
            times[entry.data["job"]] = entry.ts
    for one in recorder.containers:
        if one.workflow != workflow or one.job not in asked_ms or not one.heeds:
            continue
        latest_ms = max(asked_ms[one.job], launched_ms.get(one.job, math.inf)) + ON_THE_WAY
        if latest_ms < (one.ended_ms or recorder.now_ms()):
            yield f"{workflow}: agent {one.job} was to be stopped, and ran on"


def _let_go_on(
    workflow: str, log: Sequence[Entry], containers: Sequence[Container]
) -> Iterator[str]:
    """No agent is let go on in a pause that stops agents, by whoever launched or adopted it."""
    frozen_ms = 0
    for entry in log:
        if entry.type == "workflow.paused" and entry.data.get("freeze"):
            frozen_ms = entry.ts
        elif entry.type in ("workflow.resumed", "workflow.cancel_requested") and frozen_ms:
            for one in containers:
                if one.workflow == workflow and any(
                    frozen_ms + ON_THE_WAY < at_ms < entry.ts for at_ms in one.thawed_ms
                ):
                    yield f"{workflow}: agent {one.job} was let go on in a pause"
            frozen_ms = 0


def _unwanted(
    workflow: str, log: Sequence[Entry], containers: Sequence[Container]
) -> Iterator[str]:
    """No agent is set going that was to be stopped before: its launcher asks just before."""
    asked_ms = {entry.data["job"]: entry.ts for entry in log if entry.type == "job.stop_requested"}
    for one in containers:
        if (
            one.workflow == workflow
            and one.started_ms > asked_ms.get(one.job, math.inf) + LOOKED_MS
        ):
            yield f"{workflow}: agent {one.job} was to be stopped, and began after that"


def _thawed(workflow: str, log: Sequence[Entry], containers: Sequence[Container]) -> Iterator[str]:
    """No agent comes to its end in a pause that stops agents."""
    ended_ms = {one.job: one.ended_ms for one in containers if one.workflow == workflow}
    launched: set[str] = set()
    there: set[str] = set()
    frozen_ms = 0
    for entry in log:
        match entry.type:
            case "job.launched":
                launched.add(entry.data["job"])
            case "workflow.paused" if entry.data.get("freeze"):
                frozen_ms = entry.ts
                there = set(launched)
            case "workflow.resumed" | "workflow.cancel_requested" if frozen_ms:
                for job in sorted(there):
                    if frozen_ms + ON_THE_WAY < ended_ms.get(job, 0) < entry.ts:
                        yield f"{workflow}: agent {job} ran on in the pause that ended then"
                frozen_ms = 0
            case _:
                pass
