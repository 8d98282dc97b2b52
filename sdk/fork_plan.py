"""Plan a fork: what a new run takes over of an earlier one, and what it runs again. Pure.

A step runs again when it was asked for, was not done, reads something that is given anew, or
depends on one that runs again. Everything else is taken over. State is what those tasks and outside
writers wrote: the writes of a task that runs again are left out, for it will make them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

import msgspec
from msgspec.structs import replace

from ..core import events as e
from ..core.definition import Definition, Fan, StepSpec
from ..core.errors import InputError, Refused
from ..core.payloads import encode
from ..core.settings import Settings
from ..core.tracing import trace_id_of
from ..projections.history import Moment, look_back, parse_moment
from ..projections.state import StateValue, apply_change
from ..projections.workflow import StepView, WorkflowView
from .templates import references

_decode = msgspec.json.decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different in a fork. Without `at` it goes by the whole log."""

    #: Version of the last event to go by, or a time; see `parse_moment`.
    at: str | None = None
    #: Run this step again, or one of its tasks.
    step: str | None = None
    index: int | None = None
    #: Run again what failed.
    from_failure: bool = False
    #: Given anew: inputs, results of steps, state.
    inputs: dict[str, msgspec.Raw] = {}
    outputs: dict[str, msgspec.Raw] = {}
    state: dict[str, msgspec.Raw] = {}


class Changes(TypedDict, total=False):
    """What a fork does differently, as callers say it; all of it may be left out."""

    #: Run this step again, or one of its tasks, and all that depends on it.
    step: str
    index: int
    #: Run again what failed.
    from_failure: bool
    #: Go by the log up to this version, or time by ISO 8601.
    at: int | str
    #: Values given anew: inputs, results of steps, state.
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    state: dict[str, Any]


def wish_of(changes: Changes, settings: Settings) -> Wish:
    """Raises PayloadError for a value that is no JSON or too large."""

    def encoded(kind: str, values: dict[str, Any]) -> dict[str, msgspec.Raw]:
        limit = settings.payload_limit
        return {
            name: encode(value, what=f"{kind} {name!r}", limit=limit)
            for name, value in values.items()
        }

    at = changes.get("at")
    return Wish(
        at=None if at is None else str(at),
        step=changes.get("step"),
        index=changes.get("index"),
        from_failure=changes.get("from_failure", False),
        inputs=encoded("input", changes.get("inputs", {})),
        outputs=encoded("output", changes.get("outputs", {})),
        state=encoded("state", changes.get("state", {})),
    )


class PlannedStep(msgspec.Struct, frozen=True):
    """What becomes of one step: how many tasks are taken over, and why the others run."""

    id: str
    #: All of its tasks are taken over; otherwise it runs.
    is_reused: bool
    reused: list[e.ReusedTask]
    #: Tasks that it had, or has by what was given; None when it never began.
    tasks: int | None
    why: str


class ForkPlan(msgspec.Struct, frozen=True):
    """What a fork would be."""

    source: WorkflowView
    definition: Definition
    forked_from: e.ForkedFrom
    steps: list[PlannedStep]
    state: dict[str, StateValue]
    #: What a person should know before.
    notes: list[str]

    @property
    def runs(self) -> list[PlannedStep]:
        return [step for step in self.steps if not step.is_reused]


def plan_fork(
    workflow: str,
    events: Sequence[e.Recorded],
    then: Definition,
    wish: Wish,
    *,
    now: Definition | None = None,
    items: Mapping[str, msgspec.Raw] | None = None,
) -> ForkPlan:
    """Say what a fork takes over and what it runs.

    `then` is the definition of the run, `now` another one for the fork; `items` are those of its
    computed fan-outs, where the code is at hand. Raises InputError for a wish that names what
    is not there, Refused when nothing would run again.
    """
    try:
        moment = parse_moment(wish.at) if wish.at is not None else Moment()
        view = look_back(workflow, events, moment)
    except ValueError as error:
        raise InputError(str(error)) from None
    past = [recorded for recorded in events if recorded.version <= view.version]
    return _Planner(view, past, then, now or then, wish, items).plan()


class _Planner:
    def __init__(
        self,
        view: WorkflowView,
        events: Sequence[e.Recorded],
        then: Definition,
        now: Definition,
        wish: Wish,
        items: Mapping[str, msgspec.Raw] | None,
    ) -> None:
        self._view, self._events, self._wish = view, events, wish
        self._then, self._now, self._items = then, now, items
        #: Steps that run again as a whole, and why.
        self._again: dict[str, str] = {}
        #: Tasks that run again, of steps that keep the others.
        self._tasks: dict[str, set[int]] = {}

    def plan(self) -> ForkPlan:
        self._check_names()
        self._ask()
        self._compare_definitions()
        self._look_for_readers()
        self._spread()
        steps = [self._planned(spec) for spec in self._now.steps]
        if all(step.is_reused for step in steps):
            raise Refused(
                f"nothing of workflow {self._view.id} would run again: it has done all of its "
                "steps; say where to begin, such as --from STEP",
                status=self._view.status,
                version=self._view.version,
            )
        kept = {(step.id, task.index) for step in steps for task in step.reused}
        state, left_out = _state_of(self._events, kept)
        state.update(self._wish.state)
        return ForkPlan(
            self._view,
            self._now,
            self._source(),
            steps,
            state,
            list(self._notes(left_out)),
        )

    def _check_names(self) -> None:
        wish, known = self._wish, self._now.by_id
        for name in [*([wish.step] if wish.step else []), *wish.outputs]:
            if name not in known:
                raise InputError(
                    f"{self._now.name} has no step {name!r}; it has {', '.join(known)}"
                )
        if wish.step in wish.outputs:
            raise InputError(f"step {wish.step!r} is to run again and its output is set: choose")

    def _ask(self) -> None:
        wish = self._wish
        if wish.step is not None and wish.index is None:
            self._again[wish.step] = "it was asked for"
        elif wish.step is not None and wish.index is not None:
            total = self._view.step(wish.step).total
            if not 0 <= wish.index < total:
                has = f"tasks 0 to {total - 1}" if total else "no tasks yet"
                raise InputError(f"step {wish.step!r} has {has}, got {wish.index}")
            self._tasks[wish.step] = {wish.index}
        if wish.from_failure:
            self._ask_failed()

    def _ask_failed(self) -> None:
        steps = [step for step in self._view.steps.values() if step.id in self._now.by_id]
        if any(step.status == "failed" for step in steps):
            return  # it is not done, so it runs; its dependents never began
        for step in steps:
            if step.failures:
                self._tasks[step.id] = set(step.failures)
        if not self._tasks:
            raise InputError(
                f"nothing of workflow {self._view.id} failed; say where to begin: --from STEP"
            )

    def _compare_definitions(self) -> None:
        for spec in self._now.steps:
            before = self._then.by_id.get(spec.id)
            if before is None:
                self._again.setdefault(spec.id, "it is new in the definition")
            elif _essence(before) != _essence(spec):
                self._again.setdefault(spec.id, "it is another in the definition")

    def _look_for_readers(self) -> None:
        """Steps that read an input which is given anew."""
        if not self._wish.inputs:
            return
        for spec in self._now.steps:
            read = [name for name in self._wish.inputs if _reads(spec, name)]
            if read:
                self._again.setdefault(spec.id, f"it reads input {read[0]}")
            elif spec.kind == "function" and spec.id in self._view.items:
                self._compare_items(spec)

    def _compare_items(self, spec: StepSpec) -> None:
        if self._items is None:
            raise InputError(
                f"the items of step {spec.id!r} are computed from the inputs by its code; "
                "give it: --definition MODULE:CLASS"
            )
        if bytes(self._items.get(spec.id, b"")) != bytes(self._view.items[spec.id]):
            self._again.setdefault(spec.id, "its items are computed from the inputs")

    def _spread(self) -> None:
        """Whatever depends on what runs again, or on what is given, runs again as a whole."""
        roots = [*self._again, *self._tasks, *self._wish.outputs]
        while roots:
            root = roots.pop()
            for name in self._now.dependents[root]:
                if name not in self._again and name not in self._wish.outputs:
                    self._again[name] = f"it depends on {root}"
                    roots.append(name)

    def _planned(self, spec: StepSpec) -> PlannedStep:
        step = self._view.step(spec.id)
        if spec.id in self._wish.outputs:
            given = _given(spec, self._wish.outputs[spec.id])
            return PlannedStep(spec.id, True, given, len(given), "its output is given")
        if spec.id in self._again:
            return PlannedStep(spec.id, False, [], step.total or None, self._again[spec.id])
        again = self._tasks.get(spec.id, set())
        reused = list(_ended_tasks(step, again))
        if step.status == "completed" and not again:
            return PlannedStep(spec.id, True, reused, step.total, "it completed")
        return PlannedStep(spec.id, False, reused, step.total or None, _why(step, again))

    def _source(self) -> e.ForkedFrom:
        view = self._view
        trace_id = trace_id_of(view.id, view.trace)
        own = trace_id == trace_id_of(view.id)
        known = "" if own else trace_id
        return e.ForkedFrom(view.id, view.version, self._rerun(), self._changed(), known)

    def _rerun(self) -> list[str]:
        wish = self._wish
        if wish.step is not None:
            return [wish.step if wish.index is None else f"{wish.step}[{wish.index}]"]
        return [f"{name}[{index}]" for name, found in self._tasks.items() for index in found][:100]

    def _changed(self) -> list[str]:
        wish = self._wish
        return [
            *(f"input.{name}" for name in wish.inputs),
            *(f"output.{name}" for name in wish.outputs),
            *(f"state.{name}" for name in wish.state),
            *(["definition"] if self._now.digest != self._then.digest else []),
        ]

    def _notes(self, left_out: Mapping[str, list[str]]) -> Iterator[str]:
        for key, writers in left_out.items():
            yield f"state {key} goes without what {', '.join(writers)} wrote"
        if self._wish.inputs:
            yield "steps that read context.input cannot be told: only those that name the input run"
        if self._wish.state:
            yield "steps that read state cannot be told: name the first with --from"
        gone = [one.id for one in self._then.steps if one.id not in self._now.by_id]
        if gone:
            yield f"not in the new definition, so left out: {', '.join(gone)}"


def _essence(spec: StepSpec) -> StepSpec:
    """What a step's results depend on."""
    fan = Fan(spec.parallel.over) if spec.parallel else None
    return replace(
        spec,
        parallel=fan,
        retry=None,
        timeout_s=None,
        queue_timeout_s=None,
        queue="",
        concurrency=None,
    )


def _reads(spec: StepSpec, name: str) -> bool:
    if any(bind.input == name for bind in spec.binds.values()):
        return True
    if spec.parallel and spec.parallel.over.input == name:
        return True
    if spec.container is None:
        return False
    if spec.container.input is None:
        return True  # it is handed all of them
    given = [spec.container.command, spec.container.env, _decode(spec.container.input)]
    used = [parts for _, parts in references([spec.container.image, *given])]
    return any(parts[0] == "input" and parts[1:2] in ([], [name]) for parts in used)


def _given(spec: StepSpec, value: msgspec.Raw) -> list[e.ReusedTask]:
    """The tasks of a step whose output is given; of a fan-out it is a list."""
    if not spec.parallel:
        return [e.ReusedTask(0, result=value)]
    try:
        results = _decode_list(value)
    except msgspec.DecodeError:
        raise InputError(
            f"step {spec.id!r} fans out: expected its output as a list of results, "
            f"got {bytes(value)[:60].decode(errors='replace')}"
        ) from None
    return [e.ReusedTask(index, result=result) for index, result in enumerate(results)]


def _why(step: StepView, again: set[int]) -> str:
    """Why a step runs that nothing makes run again as a whole."""
    if again:
        listed = ", ".join(map(str, sorted(again)[:5])) + (" …" if len(again) > 5 else "")
        return f"of its tasks {listed} run again"
    return "it had not begun" if step.status == "pending" else f"it was {step.status}"


def _ended_tasks(step: StepView, again: set[int]) -> Iterator[e.ReusedTask]:
    """Those that ended well, and those that a completed step does without."""
    lost = set(step.failures) if step.status == "completed" else set[int]()
    for index in sorted(step.tasks):
        task = step.tasks[index]
        if index in again:
            continue
        if index in step.results:
            result = step.results[index]
            if isinstance(result, e.Blob):
                yield e.ReusedTask(index, task.attempt, blob=result)
            else:
                yield e.ReusedTask(index, task.attempt, result)
        elif index in lost:
            yield e.ReusedTask(index, task.attempt, error=task.error)


def _state_of(
    events: Sequence[e.Recorded], kept: set[tuple[str, int]]
) -> tuple[dict[str, StateValue], dict[str, list[str]]]:
    """State without the writes of tasks that are not kept, and by key whose were left out."""
    state: dict[str, StateValue] = {}
    left_out: dict[str, list[str]] = {}
    claims: dict[int, tuple[str, int]] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, e.TaskStarted):
            claims[recorded.version] = (event.step, event.index)
        elif isinstance(event, e.StateUpdated):
            writer = claims.get(recorded.cause or 0)
            for change in event.changes:
                if writer is None or writer in kept:
                    apply_change(state, _as_it_adds_up(state, change, left_out))
                else:
                    writers = left_out.setdefault(change.key, [])
                    name = f"{writer[0]}[{writer[1]}]"
                    if name not in writers:
                        writers.append(name)
    return state, left_out


def _as_it_adds_up(
    state: Mapping[str, StateValue], change: e.StateChange, left_out: Mapping[str, list[str]]
) -> e.StateChange:
    """An increment, recorded with its sum, where an earlier write of its key was left out."""
    if change.op != "incr" or change.key not in left_out:
        return change
    before = state.get(change.key, msgspec.Raw(b"0"))
    number = _decode(before) if isinstance(before, msgspec.Raw) else None
    if not isinstance(number, int | float):
        return change
    total = number + change.by
    return replace(change, value=msgspec.Raw(msgspec.json.encode(total)))
