"""What happened in one run, read from its log: while it runs, when it has ended, or from a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

from ...core import events as e
from ...core.errors import FlowError, WorkflowCancelled
from ...core.payloads import decode
from ...core.settings import Settings, load_settings
from ...projections.brief import brief
from ...projections.bundle import decode_history, encode_history
from ...projections.documents import StepDocument, step_document
from ...projections.histories import History
from ...projections.state import whole
from ...projections.workflow import Result, WorkflowView
from ..connections import shared
from ..handle import failure_of
from ..histories import read_history
from ..portal import call
from ..why import why
from .agents import AgentCall

__tracebackhide__ = True  # for pytest: what a test did is in other frames

#: Events of a story that a failing test shows; of a longer one the middle is left out.
SHOWN = 60


class NotSo(AssertionError):
    """Raised when a run is not as a test has it; the text ends in the story of the run."""

    def __init__(self, text: str, *runs: WorkflowRun) -> None:
        stories = [f"{run!r}\n{run.story(most=SHOWN)}" for run in runs]
        super().__init__("\n\n".join([text, *stories]))


_UNKNOWN = e.WorkflowFailed(e.Failure("Unknown", "the log does not tell"))


class Graph(dict[str, StepDocument]):
    """The steps of a run by name, in order, as they are at the moment."""

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(f"there is no step {name!r}; steps are {', '.join(self)}")

    def __str__(self) -> str:
        wide = max(map(len, self), default=0)
        return "\n".join(f"{name:<{wide}}  {_say_step(step)}" for name, step in self.items())

    @property
    def edges(self) -> list[tuple[str, str]]:
        """(step, step that depends on it)."""
        return [(before, step.id) for step in self.values() for before in step.dependencies]


def _say_step(step: StepDocument) -> str:
    after = f", after {', '.join(step.dependencies)}" if step.dependencies else ""
    tasks = step.tasks
    of = f" {tasks['completed']}/{tasks['total']}" if step.type == "parallel" else ""
    return f"{step.status}{of}{after}"


class Effect(msgspec.Struct, frozen=True):
    """A value that `context.run`, `now` or `sleep` recorded."""

    step: str
    index: int
    name: str
    value: Any


class Source(Protocol):
    """Where a run is read from."""

    @property
    def history(self) -> History: ...

    @property
    def view(self) -> WorkflowView: ...


class _Kept:
    """A history that nothing is added to."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.view = history.fold()


class WorkflowRun:
    """One run, as its log tells it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def history(self) -> History:
        """Its log, and what lies beside it."""
        return self._source.history

    @property
    def id(self) -> str:
        return self.history.workflow

    @property
    def events(self) -> list[e.Recorded]:
        """All events so far, oldest first."""
        return self.history.events

    @property
    def view(self) -> WorkflowView:
        """The fold of the events: all that the engine goes by."""
        return self._source.view

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def status(self) -> str:
        """`running`, `paused`, `completed`, `failed`, `cancelled` …"""
        return self.view.status

    @property
    def has_ended(self) -> bool:
        return self.view.ended

    @property
    def result(self) -> Any:
        """What `run()` returns. Raises what it raises: WorkflowFailed, WorkflowCancelled."""
        view = self.view
        match view.status:
            case "completed":
                return self.value(view.result)
            case "failed":
                raise failure_of(view.id, view.name, view.error or _UNKNOWN)
            case "cancelled":
                because = f": {view.reason}" if view.reason else ""
                text = f"workflow {view.name} ({view.id}) was cancelled{because}"
                raise WorkflowCancelled(view.id, text)
            case status:
                raise FlowError(f"workflow {view.name} is {status}, it has no result yet")

    @property
    def error(self) -> e.Failure | None:
        """Why it failed."""
        return self.view.error.error if self.view.error else None

    @property
    def state(self) -> dict[str, Any]:
        blobs = self.history.blobs
        return {name: decode(whole(one, blobs)) for name, one in self.view.state.items()}

    @property
    def inputs(self) -> dict[str, Any]:
        return {name: self.value(one) for name, one in self.view.input.items()}

    @property
    def graph(self) -> Graph:
        view = self.view
        definition = self.history.shown_definition(view)
        return Graph({one.id: step_document(view.step(one.id), one) for one in definition.steps})

    @property
    def calls(self) -> list[AgentCall]:
        """The agents that were deployed, oldest first."""
        return list(_calls(self))

    @property
    def effects(self) -> list[Effect]:
        """What `context.run`, `now` and `sleep` recorded, oldest first."""
        return [
            Effect(one.event.step, one.event.index, one.event.name, decode(one.event.value))
            for one in self.events
            if isinstance(one.event, e.EffectRecorded)
        ]

    @property
    def took(self) -> float:
        """Seconds from its creation to its end, or to its last event, of its own time."""
        return (self.events[-1].ts - self.events[0].ts) / 1000 if self.events else 0.0

    def results(self, step: str) -> list[Any]:
        """Results of a step's tasks that completed, in order of the items. Raises KeyError."""
        _ = self.graph[step]
        found = sorted(self.view.step(step).results.items())
        return [self.value(one) for _, one in found]

    def value(self, result: Result | None) -> Any:
        """The plain value of a result, wherever it lies."""
        if isinstance(result, e.Blob):
            return decode(self.history.blobs[result.digest])
        return None if result is None else decode(result)

    def story(self, *, most: int | None = None) -> str:
        """What happened, one event a line with the seconds since the beginning; then why.

        That of a run that failed ends with the traceback of what its step raised. `most` lines of
        events: what is left out of a longer story is in the middle.
        """
        return tell(self.history, most)

    def export(self, path: str | Path) -> None:
        """Write it as a file (`.agflow`), which every command takes in the place of an id."""
        Path(path).write_bytes(encode_history(self.history))

    def __repr__(self) -> str:
        return f"<run of {self.name}: {self.status}, {len(self.events)} events>"


def load_run(path: str | Path) -> WorkflowRun:
    """The run of an exported history. Raises BundleDamaged, OSError."""
    history = decode_history(Path(path).read_bytes())
    return WorkflowRun(_Kept(history))


def read_run(workflow: str, settings: Settings | None = None) -> WorkflowRun:
    """The run of this id on the Redis of the settings, as it is now. Raises WorkflowNotFound."""

    async def read() -> History:
        return await read_history(await shared(settings or load_settings()), workflow, blobs=True)

    return WorkflowRun(_Kept(call(read)))


def tell(history: History, most: int | None = None) -> str:
    """The story of a run, in lines."""
    events = history.events
    if not events:
        return "nothing happened"
    lines = [event_line(one, events[0].ts) for one in events]
    if most is not None and len(lines) > most:
        half = most // 2
        left_out = f"      … {len(lines) - 2 * half} more events …"
        lines = [*lines[:half], left_out, *lines[-half:]]
    reasons = [f"step {one.step}: {one.text}" if one.step else one.text for one in why(history)]
    return "\n".join([*lines, *reasons, *_traceback(history)])


def _traceback(history: History) -> list[str]:
    """Where the step failed that the run failed of."""
    failed = [one.event for one in history.events if isinstance(one.event, e.WorkflowFailed)]
    return failed[-1].error.traceback.splitlines() if failed else []


def event_line(recorded: e.Recorded, beginning_ms: int) -> str:
    seconds = (recorded.ts - beginning_ms) / 1000
    line = f"{recorded.version:>5} {seconds:>+9.3f}s  {recorded.type:<18}  {brief(recorded.event)}"
    return line.rstrip()


def _calls(run: WorkflowRun) -> Iterator[AgentCall]:
    calls: dict[str, AgentCall] = {}
    for one in run.events:
        match one.event:
            case e.JobRequested(spec=spec) as asked:
                calls[asked.job] = AgentCall(
                    name=asked.name,
                    image=spec.image,
                    env=spec.env,
                    input=decode(spec.input),
                    command=spec.command,
                    workflow=run.id,
                    step=asked.step,
                    index=asked.index,
                    attempt=asked.attempt,
                    job=asked.job,
                    outcome="requested",
                    started=one.ts / 1000,
                    number=len(calls) + 1,
                )
            case e.JobEvent(job=job) if job in calls:
                _advance(run, calls[job], one)
            case _:
                pass
    yield from calls.values()


def _advance(run: WorkflowRun, call: AgentCall, recorded: e.Recorded) -> None:
    at = recorded.ts / 1000
    match recorded.event:
        case e.JobLaunched():
            call.outcome, call.started = "running", at
        case e.JobSucceeded(result=result, blob=blob):
            call.outcome, call.ended = "succeeded", at
            call.result = run.value(blob or result)
        case e.JobFailed(error=error):
            call.outcome, call.ended, call.error = error.type, at, error.message
        case e.JobCancelled():
            call.outcome, call.ended = "cancelled", at
        case _:
            pass
