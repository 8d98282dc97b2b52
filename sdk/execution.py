"""Run the body of one step and say how it ended."""

from __future__ import annotations

import functools
import math
import traceback
from collections import OrderedDict
from collections.abc import Iterator
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
from .context import AsyncContext, Context
from .graph import StepCode, WorkflowCode
from .task import Task

#: Runs whose instance and inputs a worker keeps at hand.
CACHED = 1000

_PACKAGE = Path(__file__).parent.parent

_decode_args = msgspec.json.Decoder(Args).decode
_decode_map = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Run(msgspec.Struct):
    """What all tasks of one workflow share in this process."""

    instance: Any
    inputs: dict[str, Any]


class Runs:
    """The instances of workflow classes, made from what `workflow.created` recorded."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._runs: OrderedDict[str, Run] = OrderedDict()

    def keep(self, workflow: str, run: Run) -> None:
        self._runs[workflow] = run
        if len(self._runs) > CACHED:
            self._runs.popitem(last=False)

    async def get(self, workflow: str, code: WorkflowCode) -> Run:
        if workflow not in self._runs:
            self.keep(workflow, await self._make(workflow, code))
        return self._runs[workflow]

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
        return Run(instance, inputs)


async def load(log: EventLog, workflow: str, value: Result) -> Any:
    """The plain value of a result, wherever it lies."""
    if isinstance(value, e.Blob):
        return decode(await log.get_blob(workflow, value.digest))
    return decode(value)


async def execute(
    task: Task, runs: Runs, code: WorkflowCode, args: str, item: msgspec.Raw
) -> tuple[str, str] | None:
    """Run a task; (event type, event data) of how it ended, None when it is no longer ours."""
    try:
        step = _step_of(code, task)
        run = await runs.get(task.workflow, code)
        task.inputs = run.inputs
        arguments = await _arguments(task, step, args, item)
        value = await _call(task, step, run.instance, arguments)
        event: e.TaskCompleted | e.TaskFailed = await _completed(task, step, value)
    except ClaimLost:
        return None
    except anyio.get_cancelled_exc_class() as error:
        if anyio.current_effective_deadline() == -math.inf:
            raise  # it is the task that is cancelled, not something that its body waits for
        event = _failed(task, error)
    except (Exception, SystemExit) as error:  # whatever user code raises is how the task ended
        event = _failed(task, error)
    return event.type, e.encode_event(event)


def _step_of(code: WorkflowCode, task: Task) -> StepCode:
    if task.step not in code.steps:
        raise DefinitionError(
            code.name,
            f"this worker's code has no such step; it has {', '.join(code.steps)}. Start a worker "
            "with the code that the run was started with",
            step=task.step,
        )
    return code.steps[task.step]


async def _arguments(task: Task, step: StepCode, args: str, item: msgspec.Raw) -> dict[str, Any]:
    shared = _decode_args(args)
    values = {name: decode(value) for name, value in shared.values.items()}
    for parameter, position, digest in shared.blobs:
        payload = decode(await task.log.get_blob(task.workflow, digest))
        if position < 0:
            values[parameter] = payload
        else:
            values[parameter][position] = payload
    if shared.item:
        values[shared.item] = decode(item)
    accepted = {name: step.accept(name, value) for name, value in values.items()}
    for parameter, position in shared.errors:
        if isinstance(accepted[parameter][position], dict):
            accepted[parameter][position] = _task_error(values[parameter][position])
    return accepted


def _task_error(value: Any) -> TaskError:
    error: TaskError = convert(value, TaskError, what="the error of a task")
    return error


async def _call(task: Task, step: StepCode, instance: Any, arguments: dict[str, Any]) -> Any:
    method = getattr(instance, step.attribute)
    with anyio.move_on_after(step.timeout_s) as scope:
        if step.is_async:
            return await method(AsyncContext(task), **arguments)
        body = functools.partial(method, Context(task), **arguments)
        return await task.threads.run(body)
    if scope.cancelled_caught:
        raise TaskTimeout(f"the task ran longer than {step.timeout_s} s")


async def _completed(task: Task, step: StepCode, value: Any) -> e.TaskCompleted:
    settings = task.log.settings
    result = encode(value, what=f"the result of step {step.id!r}", limit=settings.payload_limit)
    step.check_result(result)
    if len(bytes(result)) > settings.inline_limit:
        blob = await task.log.put_blob(task.workflow, bytes(result))
        return e.TaskCompleted(task.step, task.index, task.attempt, blob=blob)
    return e.TaskCompleted(task.step, task.index, task.attempt, result)


def _failed(task: Task, error: BaseException) -> e.TaskFailed:
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
