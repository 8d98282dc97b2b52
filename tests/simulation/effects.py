"""What really happened, against what the logs say of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from agentainer_flow.projections.invariants import Entry

from .graphs import POISON
from .recorder import Container, Ran, Recorder

Logs = Mapping[str, Sequence[Entry]]

#: What settles a job.
SETTLED = ("job.succeeded", "job.failed", "job.cancelled")


def judge_effects(
    recorder: Recorder, logs: Logs, counts: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """`counts`: how often a body changes the state, by workflow and step."""
    for workflow, log in logs.items():
        yield from _states(workflow, log, counts[workflow])
        yield from _poison(workflow, log)
    yield from _bodies(recorder.bodies, logs)
    yield from _calls(recorder.calls, logs)
    yield from _containers(recorder.containers, logs)


def _bodies(bodies: Sequence[Ran], logs: Logs) -> Iterator[str]:
    """A claim runs its body once, and what completed was run by who settled it."""
    claims = Counter((ran.workflow, ran.step, ran.index, ran.token) for ran in bodies)
    for (workflow, step, index, claim), times in claims.items():
        if times > 1:
            yield f"{workflow}: {step}[{index}] ran {times} times by the claim {claim}"
    ran = {(one.workflow, one.step, one.index, one.attempt, one.session) for one in bodies}
    starts = Counter(
        (workflow, entry.data["step"], entry.data["index"], entry.data["attempt"], entry.by)
        for workflow, log in logs.items()
        for entry in log
        if entry.type == "task.started"
    )
    for place in sorted(ran):
        if place[0] in logs and not starts[place]:
            yield f"{place[0]}: {place[1]}[{place[2]}] ran at {place[4]}, its log does not say so"
    for workflow, log in logs.items():
        yield from _foreign(workflow, log)
        for entry in log:
            if entry.type == "task.completed":
                data = entry.data
                if (workflow, data["step"], data["index"], data["attempt"], entry.by) not in ran:
                    task = f"{data['step']}[{data['index']}]"
                    yield f"{workflow}: {task} was completed by {entry.by}, where it never ran"


def _foreign(workflow: str, log: Sequence[Entry]) -> Iterator[str]:
    """What a task does is done by who had claimed it."""
    by = {entry.version: entry.by for entry in log if entry.type == "task.started"}
    for entry in log:
        if entry.type not in ("task.completed", "task.failed", "state.updated"):
            continue
        holder = by.get(entry.cause or 0, entry.by)
        if holder != entry.by and entry.by not in ("janitor", "clock"):
            yield f"{workflow}: {entry.type} at {entry.version} is by {entry.by}, not by {holder}"


def _states(workflow: str, log: Sequence[Entry], counts: Mapping[str, int]) -> Iterator[str]:
    """A claim changes the state as often as its body does."""
    steps = {entry.version: entry.data["step"] for entry in log if entry.type == "task.started"}
    changes = Counter(
        entry.cause for entry in log if entry.type == "state.updated" and entry.by != "client"
    )
    for cause, times in changes.items():
        step = steps.get(cause or 0, "")
        if times > counts.get(step, 0):
            yield f"{workflow}: the claim of {step} at {cause} changed the state {times} times"


def _poison(workflow: str, log: Sequence[Entry]) -> Iterator[str]:
    """A task that fails for the workers that it took was lost with two before."""
    lost: Counter[tuple[str, int, int]] = Counter()
    for entry in log:
        if entry.type not in ("task.lost", "task.failed"):
            continue
        place = (entry.data["step"], entry.data["index"], entry.data["attempt"])
        if entry.type == "task.lost":
            lost[place] += entry.by == "janitor"
        elif entry.data["error"]["type"] == "Poison" and lost[place] < POISON - 1:
            yield f"{workflow}: {place[0]}[{place[1]}] is poison after {lost[place] + 1} losses"


def _calls(calls: Sequence[Ran], logs: Logs) -> Iterator[str]:
    """A value that is recorded is not made again by who claimed the task later."""
    claims = Counter((ran.workflow, ran.step, ran.index, ran.token, ran.name) for ran in calls)
    for (workflow, step, index, token, name), times in claims.items():
        if times > 1:
            yield f"{workflow}: {name!r} of {step}[{index}] was made {times} times by {token}"
    for workflow, log in logs.items():
        yield from _twice(workflow, log)
        recorded: set[tuple[str, int, str]] = set()
        late: set[tuple[str, int, str, int, str]] = set()
        for entry in log:
            if entry.type == "effect.recorded":
                recorded.add((entry.data["step"], entry.data["index"], entry.data["name"]))
            elif entry.type == "task.started":
                data = entry.data
                late |= {
                    (step, index, name, data["attempt"], entry.by)
                    for step, index, name in recorded
                    if (step, index) == (data["step"], data["index"])
                }
        again = Counter(
            (ran.step, ran.index, ran.name, ran.attempt, ran.session)
            for ran in calls
            if ran.workflow == workflow
        )
        for place in late & set(again):
            if not _claimed_before(log, place):
                yield f"{workflow}: {place[2]!r} of {place[0]}[{place[1]}] was recorded, made again"


def _twice(workflow: str, log: Sequence[Entry]) -> Iterator[str]:
    """No body of ours does anything of one name twice."""
    names = Counter(
        (entry.data["step"], entry.data["index"], entry.data["name"])
        for entry in log
        if entry.type == "effect.recorded"
    )
    for (step, index, name), times in names.items():
        if times > 1:
            yield f"{workflow}: {name!r} of {step}[{index}] was recorded {times} times"


def _claimed_before(log: Sequence[Entry], place: tuple[str, int, str, int, str]) -> bool:
    """Whether the same session had the task in the same attempt before the record, too."""
    step, index, name, attempt, session = place
    for entry in log:
        data = entry.data
        where = (data.get("step"), data.get("index"))
        if where != (step, index):
            continue
        if entry.type == "effect.recorded" and data["name"] == name:
            return False
        if entry.type == "task.started" and (data["attempt"], entry.by) == (attempt, session):
            return True
    return False


def _containers(containers: Sequence[Container], logs: Logs) -> Iterator[str]:
    """A job has one container that is set going once; of a settled job nothing is left."""
    jobs = Counter((one.workflow, one.job) for one in containers if one.starts)
    for (workflow, job), times in jobs.items():
        if times > 1:
            yield f"{workflow}: {times} containers were started for job {job}"
    for one in containers:
        if one.starts > 1:
            yield f"{one.workflow}: the container of job {one.job} was started {one.starts} times"
    ends = {
        (workflow, str(entry.data["job"])): entry.type
        for workflow, log in logs.items()
        for entry in log
        if entry.type in SETTLED
    }
    known = {
        (workflow, str(entry.data["job"]))
        for workflow, log in logs.items()
        for entry in log
        if entry.type == "job.requested"
    }
    for one in containers:
        name = (one.workflow, one.job)
        is_left = not one.removed_ms and not one.is_lost
        if name not in known:
            yield f"{one.workflow}: a container was made for job {one.job}, nobody asked for it"
        elif is_left and name in ends:
            how = "is there" if one.ended_ms or not one.starts else "runs"
            yield f"{one.workflow}: the container of job {one.job} {how}, {ends[name]} is recorded"
    for name, end in ends.items():
        if end == "job.succeeded" and not jobs[name]:
            yield f"{name[0]}: job {name[1]} succeeded, its container never ran"
