"""Say in a few words what an event is about."""

from __future__ import annotations

from ..core import events as e

#: Most that is shown of what users wrote.
LONGEST = 120

TaskEvent = (
    e.TaskStarted | e.TaskCompleted | e.TaskFailed | e.TaskRetried | e.TaskLost | e.TaskCancelled
)


def brief(event: e.Event) -> str:
    """One line: where it happened, and what a person would ask next."""
    match event:
        case e.WorkflowCreated(name=name, code=code, forked_from=source):
            past = f", forked from {source.workflow} at event {source.version}" if source else ""
            return f"{name} ({code}){past}" if code else f"{name}{past}"
        case e.WorkflowAdopted(lane=lane):
            return f"from {lane}"
        case e.WorkflowFailed(step=step, index=index, error=error):
            return f"{_place(step, index)}: {_failure(error)}" if step else _failure(error)
        case e.WorkflowPaused(freeze=freeze):
            return "agents frozen" if freeze else ""
        case e.WorkflowCancelRequested(reason=reason) | e.WorkflowCancelled(reason=reason):
            return cut(reason)
        case e.StateUpdated(changes=changes):
            return cut(", ".join(f"{change.op} {change.key}" for change in changes))
        case e.JobEvent():
            return _job(event)
        case e.Unknown(data=data):
            return cut(bytes(data).decode(errors="replace"))
        case _:
            return _step(event)


def _step(event: e.Event) -> str:
    match event:
        case e.StepScheduled(step=step, tasks=tasks):
            return f"{step}, {tasks} task{'s' if tasks != 1 else ''}"
        case e.TasksQueued(step=step, first=first, count=count):
            return f"{step}[{first}-{first + count - 1}]"
        case e.TasksReused(step=step, tasks=reused):
            return f"{step}, {len(reused)} of an earlier run"
        case e.StepReused(step=step, tasks=tasks):
            return f"{step}, {tasks} task{'s' if tasks != 1 else ''}"
        case e.StepFailed(step=step, index=index, error=error):
            return f"{_place(step, index)}: {_failure(error)}"
        case e.TaskFailed(error=error):
            return f"{_task(event)}: {_failure(error)}"
        case e.TaskLost(worker=worker):
            return f"{_task(event)}, {worker} fell silent"
        case e.TaskRetried(delay_ms=delay_ms):
            return f"{_task(event)} in {delay_ms / 1000:.1f} s"
        case e.EffectRecorded(step=step, index=index, name=name):
            return f"{_place(step, index)}: {name}"
        case e.TaskStarted() | e.TaskCompleted() | e.TaskCancelled():
            return _task(event)
        case e.StepCompleted(step=step) | e.StepCancelled(step=step):
            return step
        case _:
            return ""


def _job(event: e.JobEvent) -> str:
    match event:
        case e.JobRequested(job=job, spec=spec):
            return f"{job}, {spec.image}"
        case e.JobLaunched(job=job, container=container, host=host, adopted=adopted):
            return f"{job}, {container[:20]} on {host}" + (", adopted" if adopted else "")
        case e.JobFailed(job=job, error=error):
            return f"{job}: {_failure(error)}"
        case _:
            return event.job


def _task(event: TaskEvent) -> str:
    again = f" attempt {event.attempt}" if event.attempt > 1 else ""
    return f"{event.step}[{event.index}]{again}"


def _place(step: str, index: int | None) -> str:
    return step if index is None else f"{step}[{index}]"


def _failure(error: e.Failure) -> str:
    return cut(f"{error.type}: {error.message}")


def cut(text: str) -> str:
    """One line of what may be long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
