"""Run the body of one step and say how it ended."""

from __future__ import annotations

import functools
import math
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec

from ..core import events as e
from ..core.errors import AgentFailed, ClaimLost, DefinitionError, PayloadError, TaskTimeout
from ..core.log import EventLog
from ..core.outcomes import TaskError
from ..core.payloads import convert, decode, encode, plain_text
from ..projections.workflow import Result
from ..reactors.binding import Args
from . import tracing
from .context import AsyncContext, Context
from .graph import StepCode, WorkflowCode
from .task import Task

#: Runs whose instance and inputs a worker keeps at hand, and the JSON bytes of their inputs.
CACHED, CACHED_BYTES = 10_000, 32 * 1024 * 1024

_PACKAGE = Path(__file__).parent.parent

_decode_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Run(msgspec.Struct):
    """What all tasks of one workflow share in this process."""

    instance: Any
    inputs: dict[str, Any]
    #: JSON bytes of the inputs.
    size: int = 0
    trace: e.Trace | None = None


class Runs:
    """The instances of workflow classes, made from what `workflow.created` recorded."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._size = 0

    def keep(self, workflow: str, run: Run) -> None:
        """Keep a run at hand; those that were made first go first."""
        if old := self._runs.pop(workflow, None):
            self._size -= old.size
        self._runs[workflow] = run
        self._size += run.size
        while len(self._runs) > 1 and (len(self._runs) > CACHED or self._size > CACHED_BYTES):
            _, old = self._runs.popitem(last=False)
            self._size -= old.size

    def known(self, workflow: str) -> Run | None:
        return self._runs.get(workflow)

    async def get(self, workflow: str, code: WorkflowCode) -> Run:
        if run := self.known(workflow):
            return run
        run = await self._make(workflow, code)
        self.keep(workflow, run)
        return run

    async def _make(self, workflow: str, code: WorkflowCode) -> Run:
        created = (await self._log.read_one(workflow, 1)).event
        if not isinstance(created, e.WorkflowCreated):
            raise TypeError(f"the log of {workflow} begins with {e.type_of(created)}")
        init: dict[str, Any] = decode(created.init) or {}
        values: dict[str, Result] = {**_decode_map(created.input), **created.blobs}
        inputs = {name: await load(self._log, workflow, value) for name, value in values.items()}
        try:
            instance = code.cls(*init.get("args", []), **init.get("kwargs", {}))
        except TypeError as error:
            raise DefinitionError(
                code.name, f"cannot be made again from its recorded arguments {init}: {error}"
            ) from error
        size = len(created.input) + sum(blob.size for blob in created.blobs.values())
        return Run(instance, inputs, size, created.trace)


async def load(log: EventLog, workflow: str, value: Result) -> Any:
    """The plain value of a result, wherever it lies."""
    if isinstance(value, e.Blob):
        return decode(await log.get_blob(workflow, value.digest))
    return decode(value)


#: How a task ended.
Outcome = e.TaskCompleted | e.TaskFailed


class Body(msgspec.Struct, eq=False):
    """A claimed task with all that its body needs."""

    task: Task
    code: WorkflowCode
    args: Args
    item: msgspec.Raw
    #: Version of its `task.started`.
    version: int
    #: When it was taken (s, monotonic); 0: nobody asks.
    taken: float = 0.0
    #: Its attempt is to be the current span.
    is_traced: bool = False


decode_args = msgspec.json.Decoder(Args).decode


async def execute(body: Body, runs: Runs) -> Outcome | None:
    """Run a task; how it ended, None when it is no longer ours."""
    task = body.task
    try:
        step = step_of(body.code, task)
        run = runs.known(task.workflow) or await runs.get(task.workflow, body.code)
        task.inputs, task.trace = run.inputs, run.trace
        arguments = await _arguments(body, step)
        token = tracing.enter(task) if body.is_traced else None
        try:
            value = await _call(task, step, run.instance, arguments)
        finally:
            if token:
                tracing.leave(token)
        return completed_now(task, step, value) or await _completed(task, step, value)
    except ClaimLost:
        return None
    except anyio.get_cancelled_exc_class() as error:
        if task.revoked or anyio.current_effective_deadline() == -math.inf:
            raise  # it is the task that is cancelled, not something that its body waits for
        return failed(task, error)
    except (Exception, SystemExit) as error:  # whatever user code raises is how the task ended
        return failed(task, error)


def plain_body(body: Body, runs: Runs) -> Callable[[], Any] | None:
    """The call of a plain step for which nothing has to be waited for; None for all others.

    Raises what is wrong with the arguments.
    """
    task = body.task
    step, run = step_of(body.code, task), runs.known(task.workflow)
    if run is None or body.args.blobs or step.is_async or step.timeout_s is not None:
        return None
    task.inputs, task.trace = run.inputs, run.trace
    arguments = _accept(body, step, _values(body))
    method = getattr(run.instance, step.attribute)
    return functools.partial(method, Context(task), **arguments)


def step_of(code: WorkflowCode, task: Task) -> StepCode:
    if task.step not in code.steps:
        raise DefinitionError(
            code.name,
            f"this worker's code has no such step; it has {', '.join(code.steps)}. Start a worker "
            "with the code that the run was started with",
            step=task.step,
        )
    return code.steps[task.step]


def _values(body: Body) -> dict[str, Any]:
    """Plain values of the arguments, without those that lie beside the log."""
    shared = body.args
    values = {name: decode(value) for name, value in shared.values.items()}
    if shared.item:
        values[shared.item] = decode(body.item)
    return values


async def _arguments(body: Body, step: StepCode) -> dict[str, Any]:
    values, task = _values(body), body.task
    for parameter, position, digest in body.args.blobs:
        payload = decode(await task.log.get_blob(task.workflow, digest))
        if position < 0:
            values[parameter] = payload
        else:
            values[parameter][position] = payload
    return _accept(body, step, values)


def _accept(body: Body, step: StepCode, values: dict[str, Any]) -> dict[str, Any]:
    accepted = {name: step.accept(name, value) for name, value in values.items()}
    for parameter, position in body.args.errors:
        if isinstance(accepted[parameter][position], dict):
            accepted[parameter][position] = _task_error(values[parameter][position])
    return accepted


def _task_error(value: Any) -> TaskError:
    error: TaskError = convert(value, TaskError, what="the error of a task")
    return error


async def _call(task: Task, step: StepCode, instance: Any, arguments: dict[str, Any]) -> Any:
    method = getattr(instance, step.attribute)
    if step.timeout_s is None:
        return await _run(task, step, method, arguments)
    with anyio.move_on_after(step.timeout_s) as scope:
        return await _run(task, step, method, arguments)
    if scope.cancelled_caught:
        raise TaskTimeout(f"the task ran longer than {step.timeout_s} s")


def _run(task: Task, step: StepCode, method: Any, arguments: dict[str, Any]) -> Awaitable[Any]:
    if step.is_async:
        body: Awaitable[Any] = method(AsyncContext(task), **arguments)
        return body
    return task.threads.run(functools.partial(method, Context(task), **arguments))


def completed_now(task: Task, step: StepCode, value: Any) -> e.TaskCompleted | None:
    """The event of a result; None when it is so large that it has to be put beside the log."""
    result = _encode_result(task, step, value)
    if len(bytes(result)) > task.log.settings.inline_limit:
        return None
    return e.TaskCompleted(task.step, task.index, task.attempt, result)


async def _completed(task: Task, step: StepCode, value: Any) -> e.TaskCompleted:
    blob = await task.log.put_blob(task.workflow, bytes(_encode_result(task, step, value)))
    return e.TaskCompleted(task.step, task.index, task.attempt, blob=blob)


async def complete(task: Task, step: StepCode, value: Any) -> Outcome:
    """As `completed_now`, for large results, too; those that cannot be stored fail the task."""
    try:
        return await _completed(task, step, value)
    except PayloadError as error:
        return failed(task, error)


def _encode_result(task: Task, step: StepCode, value: Any) -> msgspec.Raw:
    limit = task.log.settings.payload_limit
    result = encode(value, what=f"the result of step {step.id!r}", limit=limit)
    step.check_result(result)
    return result


def failed(task: Task, error: BaseException) -> e.TaskFailed:
    agent = next((x for x in _chain(error) if isinstance(x, AgentFailed)), None)
    says_all = isinstance(error, PayloadError | TaskTimeout)
    failure = e.Failure(
        type(error).__name__,
        _message(error),
        traceback="" if says_all else plain_text(_traceback(error)),
        bases=[base.__name__ for base in type(error).__mro__[1:-2]],
        kind=agent.kind if agent else "",
        job=agent.job if agent else None,
        exit_code=agent.exit_code if agent else None,
        last_lines=agent.last_lines if agent else [],
    )
    return e.TaskFailed(task.step, task.index, task.attempt, failure)


def _message(error: BaseException) -> str:
    """What an exception says, whatever its class does; at most 8 KiB of it."""
    try:
        text = str(error)
    except Exception as broken:  # user classes may fail at anything
        text = f"(its text cannot be had: {type(broken).__name__})"
    return plain_text(text)[:8192] or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and what led to it; a cycle ends."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _traceback(error: BaseException) -> str:
    """The frames of the user's code, not ours around it. At most the last 8 KiB."""
    found = traceback.TracebackException.from_exception(error)
    ours = [_is_ours(frame.filename) for frame in found.stack]
    first = ours.index(False) if False in ours else len(ours)
    last = ours.index(True, first) if True in ours[first:] else len(ours)
    found.stack = traceback.StackSummary.from_list(found.stack[first:last])
    return "".join(found.format())[-8192:]


def _is_ours(filename: str) -> bool:
    return Path(filename).is_relative_to(_PACKAGE)
