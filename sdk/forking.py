"""Fork a run: create another one that takes over what the plan says, and runs the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ..core import events as e
from ..core.errors import Refused
from ..core.ids import new_workflow_id
from ..core.log import EventLog
from ..core.payloads import decode
from ..projections.state import Extended, StateValue, whole
from ..projections.workflow import WorkflowView
from .client import check_outcome, items_of_code
from .containers import EXECUTOR
from .creation import NewRun, create_run
from .fork_plan import ForkPlan, PlannedStep, Wish, plan_fork
from .graph import WorkflowCode
from .histories import read_history
from .tracing import current_traceparent

#: What Redis answers for the lifetime of a key that is not there.
NO_KEY = -2
#: Tasks that one event takes over, and bytes of their results.
TAKEN, TAKEN_BYTES = 1000, 256 * 1024


async def plan(
    log: EventLog, workflow: str, wish: Wish, *, code: WorkflowCode | None = None
) -> ForkPlan:
    """Say what a fork would be; with `code` it goes by the definition of that class.

    Raises WorkflowNotFound, InputError, Refused.
    """
    history = await read_history(log, workflow, entries=False)
    view = history.fold()
    if history.problems or history.definition is None:
        raise Refused(
            f"workflow {workflow} is damaged and cannot be forked: {history.problems[0]}",
            status=view.status,
            version=view.version,
        )
    events, then = history.events, history.definition
    if code is None:
        return plan_fork(workflow, events, then, wish)
    inputs = {**await _inputs(log, view), **wish.inputs}
    plain = {name: decode(value) for name, value in inputs.items()}
    items = items_of_code(code, plain, log.settings)
    return plan_fork(workflow, events, then, wish, now=code.definition, items=items)


async def fork(
    log: EventLog,
    plan: ForkPlan,
    wish: Wish,
    *,
    code: WorkflowCode | None = None,
    key: str | None = None,
    tags: dict[str, str] | None = None,
    start: bool = True,
) -> str:
    """Create the fork and return its id; the same idempotency key means the same fork.

    Raises IdempotencyConflict, QueueFull.
    """
    source = plan.source
    run = await _new_run(log, plan, wish, code, key)
    run.start, run.tags = start, {**source.tags, **(tags or {})}
    await _copy_payloads(log, source.id, run.workflow, plan)
    await _note_fork(log, source.id, run.workflow)
    check_outcome(run.workflow, await create_run(log, run))
    return run.workflow


async def _new_run(
    log: EventLog, plan: ForkPlan, wish: Wish, code: WorkflowCode | None, key: str | None
) -> NewRun:
    source = plan.source
    inputs = {**await _inputs(log, source), **wish.inputs}
    items = source.items
    if code is not None:
        plain = {name: decode(value) for name, value in inputs.items()}
        code.check_inputs(plain)
        items = items_of_code(code, plain, log.settings)
    run = NewRun(
        workflow=new_workflow_id(key),
        definition=plan.definition,
        reference=code.reference if code else source.code,
        init=source.init,
        inputs=inputs,
        items=items,
        key=key,
        forked_from=plan.forked_from,
        traceparent=current_traceparent(),
    )
    if any(spec.kind == "container" for spec in plan.definition.steps):
        run.executor = EXECUTOR
    values = {name: await _json(log, source.id, value) for name, value in plan.state.items()}
    run.state = {name: value.decode() for name, value in values.items()}
    run.reused = [*_taken_over(plan.steps), *await _state_events(log, run.workflow, values)]
    return run


async def _inputs(log: EventLog, view: WorkflowView) -> dict[str, msgspec.Raw]:
    values = {name: await _json(log, view.id, value) for name, value in view.input.items()}
    return {name: msgspec.Raw(value) for name, value in values.items()}


def _taken_over(steps: Sequence[PlannedStep]) -> Iterator[e.Event]:
    for step in steps:
        for tasks in _portions(step.reused):
            yield e.TasksReused(step.id, tasks)
        if step.is_reused:
            yield e.StepReused(step.id, len(step.reused))


def _portions(tasks: Sequence[e.ReusedTask]) -> Iterator[list[e.ReusedTask]]:
    """Tasks that one event takes over: neither too many nor too large together."""
    some: list[e.ReusedTask] = []
    size = 0
    for task in tasks:
        if some and (len(some) == TAKEN or size + len(task.result) > TAKEN_BYTES):
            yield some
            some, size = [], 0
        some.append(task)
        size += len(task.result)
    if some:
        yield some


async def _state_events(
    log: EventLog, workflow: str, values: dict[str, bytes]
) -> list[e.StateUpdated]:
    """The events that set state; what is large lies beside the log of the fork."""
    found: list[e.StateUpdated] = []
    for name, value in values.items():
        if len(value) > log.settings.inline_limit:
            change = e.StateChange("set", name, blob=await log.put_blob(workflow, value))
        else:
            change = e.StateChange("set", name, msgspec.Raw(value))
        found.append(e.StateUpdated([change]))
    return found


async def _json(log: EventLog, workflow: str, value: StateValue) -> bytes:
    payloads = {name: await log.get_blob(workflow, name) for name in _digests(value)}
    return whole(value, payloads)


def _digests(value: StateValue) -> Iterator[str]:
    match value:
        case e.Blob(digest=name):
            yield name
        case Extended(base, appended):
            for part in (base, *appended):
                yield from _digests(part)
        case _:
            pass


async def _copy_payloads(log: EventLog, source: str, fork: str, plan: ForkPlan) -> None:
    """Put results that lie beside the log of the source beside that of the fork."""
    blobs = {task.blob.digest for step in plan.steps for task in step.reused if task.blob}
    for name in blobs:
        await log.put_blob(fork, await log.get_blob(source, name))


async def _note_fork(log: EventLog, source: str, fork: str) -> None:
    """List the fork with its source, for as long as that is kept.

    Before the fork is created: a list with one that never came to be only loses it on reading.
    """
    key = log.keys.workflow(source, "forks")
    left_ms: int = await log.connection.call(lambda: log.redis.pttl(log.keys.events(source)))
    if left_ms == NO_KEY:  # it is archived, and its file stays as it is
        return
    seconds, micros = await log.connection.call(lambda: log.redis.time())
    await log.connection.call(
        lambda: log.redis.zadd(key, {fork: seconds * 1000 + micros // 1000}, nx=True)
    )
    if left_ms > 0:
        await log.connection.call(lambda: log.redis.pexpire(key, left_ms))
