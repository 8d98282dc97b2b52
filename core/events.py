"""The facts of a workflow's log: one frozen struct per event type, one table of them all.

Names are `noun.verb` in the past tense. JSON of an event is its struct without the type, which is
a field of its own in the stream entry. Fields may be added with defaults; an entry of an unknown
type is kept as `Unknown` and shown, never dropped.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from .payloads import NULL, is_json
from .tracing import Trace as Trace


class Blob(msgspec.Struct, frozen=True):
    """A payload that lives beside the log, in `workflow:<id>:blobs` under its digest."""

    digest: str
    size: int


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why something failed, in words a person can act on."""

    #: Exception class or kind of outcome: `ValueError`, `oom_killed`, `image_missing` …
    type: str
    message: str
    traceback: str = ""
    #: Names of the exception's base classes, for retry rules.
    bases: list[str] = []
    job: str | None = None
    #: Of an agent: `failed`, `oom_killed`, `timed_out` …
    kind: str = ""
    exit_code: int | None = None
    last_lines: list[str] = []


class ForkedFrom(msgspec.Struct, frozen=True, omit_defaults=True):
    """The run that another one was forked from, and what is different."""

    workflow: str
    #: Version of the last event that the fork goes by.
    version: int
    #: What was asked to run again: `load`, or `load[3]` for one task.
    rerun: list[str] = []
    #: What was given anew: `input.k`, `output.step`, `state.k`, `definition`.
    changed: list[str] = []
    #: Its trace, when that is not the one of its id.
    trace_id: str = ""


class ReusedTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a task ended in the run that another one was forked from."""

    index: int
    attempt: int = 1
    result: msgspec.Raw = NULL
    blob: Blob | None = None
    #: It failed, and its step may do without it.
    error: Failure | None = None


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of all events. They hold plain values only, so no garbage collector has to look."""

    type: ClassVar[str] = ""
    #: Grows when what a type's fields mean changes; new fields with defaults leave it.
    schema: ClassVar[int] = 1


class WorkflowCreated(Event, frozen=True):
    """A run was asked for. The graph is in `flow:definitions` under its digest."""

    type: ClassVar[str] = "workflow.created"
    name: str
    definition: str
    #: `module:class`, for people; code is loaded only from what a worker was started with.
    code: str = ""
    #: Arguments of the class's `__init__`: `{"args": […], "kwargs": {…}}`.
    init: msgspec.Raw = NULL
    input: msgspec.Raw = msgspec.Raw(b"{}")
    #: Inputs too large for the event.
    blobs: dict[str, Blob] = {}
    #: Items of fan-outs over a callable, by step.
    items: msgspec.Raw = msgspec.Raw(b"{}")
    tags: dict[str, str] = {}
    forked_from: ForkedFrom | None = None
    #: None: it has a trace of its own, which is exported.
    trace: Trace | None = None


class WorkflowStarted(Event, frozen=True):
    """The run may schedule steps."""

    type: ClassVar[str] = "workflow.started"


class WorkflowAdopted(Event, frozen=True):
    """The process that ran the workflow is gone; the engine of its partition goes on with it."""

    type: ClassVar[str] = "workflow.adopted"
    lane: str


class WorkflowPaused(Event, frozen=True):
    """No task or agent starts until the run is resumed; what runs goes on to its end."""

    type: ClassVar[str] = "workflow.paused"
    #: Running agents are frozen, too.
    freeze: bool = False


class WorkflowResumed(Event, frozen=True):
    """The run goes on."""

    type: ClassVar[str] = "workflow.resumed"


class WorkflowTimedOut(Event, frozen=True):
    """The run took longer than its definition allows; it fails."""

    type: ClassVar[str] = "workflow.timed_out"


class WorkflowCancelRequested(Event, frozen=True):
    """Somebody wants the run to end; its tasks are cancelled and its agents stopped."""

    type: ClassVar[str] = "workflow.cancel_requested"
    reason: str = ""


class WorkflowCompleted(Event, frozen=True):
    """All steps completed; the result of the run."""

    type: ClassVar[str] = "workflow.completed"
    result: msgspec.Raw = NULL
    blob: Blob | None = None


class WorkflowFailed(Event, frozen=True):
    """The run ended because a step failed, and nothing of it runs any more."""

    type: ClassVar[str] = "workflow.failed"
    error: Failure
    #: The step and task that failed; none when the run took too long.
    step: str | None = None
    index: int | None = None


class WorkflowCancelled(Event, frozen=True):
    """The run was cancelled, and nothing of it runs any more."""

    type: ClassVar[str] = "workflow.cancelled"
    reason: str = ""


class WorkflowDeleted(Event, frozen=True):
    """All that was stored of the run is gone. Only on the feed: there is no log left to hold it."""

    type: ClassVar[str] = "workflow.deleted"


class StepScheduled(Event, frozen=True):
    """The step's dependencies are met. `queued` of its `tasks` are ready now, the rest follows."""

    type: ClassVar[str] = "step.scheduled"
    step: str
    tasks: int
    queued: int


class TasksQueued(Event, frozen=True):
    """More tasks of a large fan-out are ready: `count` from index `first` on."""

    type: ClassVar[str] = "tasks.queued"
    step: str
    first: int
    count: int


class TasksReused(Event, frozen=True):
    """Tasks need not run: how they ended is taken over from the run this one is forked from."""

    type: ClassVar[str] = "tasks.reused"
    step: str
    tasks: list[ReusedTask]


class StepReused(Event, frozen=True):
    """The step need not run: all of its `tasks` were taken over."""

    type: ClassVar[str] = "step.reused"
    step: str
    tasks: int


class StepCompleted(Event, frozen=True):
    """All tasks of the step ended well, or as well as its rule for failures asks."""

    type: ClassVar[str] = "step.completed"
    step: str
    #: Tasks that failed.
    failed: int = 0


class StepFailed(Event, frozen=True):
    """A task failed for good; tasks that had not started never will."""

    type: ClassVar[str] = "step.failed"
    step: str
    error: Failure
    #: The task that failed; none when the step could not be scheduled.
    index: int | None = None


class StepCancelled(Event, frozen=True):
    """The step was under way when the run failed or was cancelled."""

    type: ClassVar[str] = "step.cancelled"
    step: str


class TaskStarted(Event, frozen=True):
    """A worker claimed the task."""

    type: ClassVar[str] = "task.started"
    step: str
    index: int
    attempt: int
    worker: str


class TaskCompleted(Event, frozen=True):
    """The task returned; its result."""

    type: ClassVar[str] = "task.completed"
    step: str
    index: int
    attempt: int
    result: msgspec.Raw = NULL
    blob: Blob | None = None


class TaskFailed(Event, frozen=True):
    """The task raised, or its result cannot be stored."""

    type: ClassVar[str] = "task.failed"
    step: str
    index: int
    attempt: int
    error: Failure


class TaskRetried(Event, frozen=True):
    """The failed task is ready again as attempt `attempt`, after a delay in ms."""

    type: ClassVar[str] = "task.retried"
    step: str
    index: int
    attempt: int
    delay_ms: int = 0


class TaskLost(Event, frozen=True):
    """The worker that had claimed the task fell silent or stopped; the task is ready again."""

    type: ClassVar[str] = "task.lost"
    step: str
    index: int
    attempt: int
    worker: str


class TaskCancelled(Event, frozen=True):
    """The task was running when its step failed or its run was cancelled."""

    type: ClassVar[str] = "task.cancelled"
    step: str
    index: int
    attempt: int


class EffectRecorded(Event, frozen=True):
    """A step did something once: when its body runs again, the value is taken from here."""

    type: ClassVar[str] = "effect.recorded"
    step: str
    index: int
    name: str
    value: msgspec.Raw = NULL
    #: `sleep`: the value is when the task wakes up, seconds since the epoch.
    kind: str = ""


class StateUpdated(Event, frozen=True):
    """State changed. `set`, `delete`, `incr` (with the new value), `append` (with the item)."""

    type: ClassVar[str] = "state.updated"
    changes: list[StateChange]


class StateChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key, changed."""

    op: Literal["set", "delete", "incr", "append"]
    key: str
    #: New value (set, incr) or the appended item.
    value: msgspec.Raw = NULL
    by: float | int = 0
    #: In place of a value that is too large for the event.
    blob: Blob | None = None


class JobEvent(Event, frozen=True):
    """Base of what happens to one agent."""

    step: str
    index: int
    job: str


class JobRequested(JobEvent, frozen=True):
    """A step asked for an agent. `spec` is what a runtime needs to launch it."""

    type: ClassVar[str] = "job.requested"
    attempt: int
    name: str
    spec: JobSpec


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the user asked to run. Sizes are bytes, durations seconds."""

    image: str
    command: list[str] | None = None
    env: dict[str, str] = {}
    #: Variables whose values only the launcher knows: what it calls them.
    secrets: dict[str, str] = {}
    input: msgspec.Raw = NULL
    network: str = "none"
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    timeout_s: float | None = None
    grace_s: float = 10.0
    #: The trace that what it does belongs to, W3C.
    traceparent: str = ""


class JobLaunched(JobEvent, frozen=True):
    """The agent runs, in a container or process."""

    type: ClassVar[str] = "job.launched"
    container: str
    host: str
    runtime: str
    #: True when a container that was already there was taken over.
    adopted: bool = False


class JobStopRequested(JobEvent, frozen=True):
    """The agent is to be stopped: its task ended, or asked for it."""

    type: ClassVar[str] = "job.stop_requested"


class JobSucceeded(JobEvent, frozen=True):
    """The agent ended well; its answer."""

    type: ClassVar[str] = "job.succeeded"
    result: msgspec.Raw = NULL
    blob: Blob | None = None


class JobFailed(JobEvent, frozen=True):
    """The agent did not end well, or could not be started."""

    type: ClassVar[str] = "job.failed"
    error: Failure


class JobCancelled(JobEvent, frozen=True):
    """The agent was stopped, or was cancelled before it began."""

    type: ClassVar[str] = "job.cancelled"


class Unknown(Event, frozen=True):
    """An event of a type that this release does not know, kept as it is."""

    name: str
    data: msgspec.Raw


EVENTS: dict[str, type[Event]] = {
    event.type: event
    for event in (
        WorkflowCreated,
        WorkflowStarted,
        WorkflowAdopted,
        WorkflowPaused,
        WorkflowResumed,
        WorkflowTimedOut,
        WorkflowCancelRequested,
        WorkflowCompleted,
        WorkflowFailed,
        WorkflowCancelled,
        WorkflowDeleted,
        StepScheduled,
        TasksQueued,
        TasksReused,
        StepReused,
        StepCompleted,
        StepFailed,
        StepCancelled,
        TaskStarted,
        TaskCompleted,
        TaskFailed,
        TaskRetried,
        TaskLost,
        TaskCancelled,
        EffectRecorded,
        StateUpdated,
        JobRequested,
        JobLaunched,
        JobStopRequested,
        JobSucceeded,
        JobFailed,
        JobCancelled,
    )
}

#: The events that end a workflow.
TERMINAL = frozenset({"workflow.completed", "workflow.failed", "workflow.cancelled"})


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event as the log holds it. Times are ms of the Redis server's clock."""

    version: int
    ts: int
    event: Event
    by: str = ""
    #: Version of the event that led to this one.
    cause: int | None = None
    digest: str = ""
    #: Schema number that the entry says its data has.
    schema: int = 1

    @property
    def type(self) -> str:
        return type_of(self.event)


_encode = msgspec.json.Encoder().encode
_decoders = {name: msgspec.json.Decoder(event).decode for name, event in EVENTS.items()}


def type_of(event: Event) -> str:
    return event.name if isinstance(event, Unknown) else event.type


def encode_event(event: Event) -> str:
    """The JSON of an entry's `data`, as text: Redis' Lua has no binary type in MessagePack."""
    return _encode(json_of(event)).decode()


def decode_event(name: str, data: bytes | msgspec.Raw, schema: int = 1) -> Event:
    """Decode the JSON of one entry; what this release cannot read comes back as Unknown."""
    decode = _decoders.get(name)
    # Most are 1, which each release knows: that saves the look.
    if decode is None or (schema > 1 and schema > EVENTS[name].schema):
        return Unknown(name=name, data=msgspec.Raw(bytes(data)))
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown(name=name, data=msgspec.Raw(bytes(data)))


def why_unknown(name: str, data: bytes | msgspec.Raw, schema: int = 1) -> str:
    """Why `decode_event` does not know an event: what was expected, and what there is."""
    if name not in EVENTS:
        return f"its type {name!r} is none that this release knows"
    if schema > EVENTS[name].schema:
        known = EVENTS[name].schema
        return f"it has schema {schema} of {name}, this release knows those up to {known}"
    try:
        _decoders[name](data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"its data cannot be read as {name}: {error}"
    return ""


def json_of(event: Event) -> Event | msgspec.Raw | str:
    """What stands for an event in JSON; the data of one that is no JSON comes as text."""
    if not isinstance(event, Unknown):
        return event
    return event.data if is_json(bytes(event.data)) else bytes(event.data).decode(errors="replace")
