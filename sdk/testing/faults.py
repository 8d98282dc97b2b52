"""Faults of steps: those that a test asks for, and the methods that they happen in."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any, Literal

import anyio

from ..context import AsyncContext, Context, task_of
from ..graph import WorkflowCode
from ..task import Task
from .props import Prop

Kind = Literal["fail", "slow", "lose_worker"]


INJECTED = RuntimeError("injected by the test")


class Fault(Prop):
    """Something that goes wrong where a step body begins; see `fail`, `slow`, `lose_worker`."""

    made_by = "fail(…), slow(…) or lose_worker(…)"

    def __init__(
        self,
        kind: Kind,
        step: str,
        *,
        index: int | None,
        attempt: int | None,
        times: float = math.inf,
        error: BaseException = INJECTED,
        seconds: float = 0.0,
    ) -> None:
        super().__init__()
        _check("index", index, least=0)
        _check("attempt", attempt, least=1)
        self.kind = kind
        self.step = step
        self.index = index
        self.attempt = attempt
        self._times = times
        self.error = error
        self.seconds = seconds
        #: Where it happened: (workflow, index, attempt), oldest first.
        self.happened: list[tuple[str, int, int]] = []

    def __repr__(self) -> str:
        return f"{self.name}, happened {len(self.happened)} times"

    @property
    def name(self) -> str:
        place = self.step if self.index is None else f"{self.step}[{self.index}]"
        return f"{self.kind}({place!r})"

    def is_of(self, step: str) -> bool:
        return fnmatchcase(step, self.step)

    def take(self, task: Task) -> bool:
        """Whether it happens to this task now; it counts as happened then."""
        if not self.is_of(task.step) or len(self.happened) >= self._times:
            return False
        if self.index not in (None, task.index) or self.attempt not in (None, task.attempt):
            return False
        self.happened.append((task.workflow, task.index, task.attempt))
        return True


def _check(name: str, given: object, *, least: int) -> None:
    if given is not None and (not isinstance(given, int) or given < least):
        raise ValueError(f"{name} is a number from {least} on, got {given!r}")


def _check_seconds(takes: object) -> None:
    if not isinstance(takes, int | float) or not takes >= 0:
        raise ValueError(f"takes= is seconds, got {takes!r}")


def _error_of(error: object) -> BaseException:
    match error:
        case BaseException():
            return error
        case str():
            return RuntimeError(error)
        case type() if issubclass(error, BaseException):
            return error(*INJECTED.args)
        case _:
            raise TypeError(f"error= is an exception or a text, got {error!r}")


def fail(
    step: str,
    *,
    index: int | None = None,
    attempt: int | None = None,
    times: int | None = None,
    error: BaseException | type[BaseException] | str = INJECTED,
) -> Fault:
    """Have a step raise instead of running: all of its tasks, or one, all attempts, or one.

    A text is raised as RuntimeError. With `times` only the first so many tasks fail.
    """
    _check("times", times, least=1)
    most = math.inf if times is None else times
    return Fault("fail", step, index=index, attempt=attempt, times=most, error=_error_of(error))


def slow(
    step: str, *, takes: float = math.inf, index: int | None = None, attempt: int | None = None
) -> Fault:
    """Have a step take so many seconds more before it begins: for ever, unless told how long."""
    _check_seconds(takes)
    return Fault("slow", step, index=index, attempt=attempt, seconds=takes)


def lose_worker(
    step: str, *, index: int | None = None, attempt: int | None = None, times: int = 1
) -> Fault:
    """Have the worker die, with all that it runs, when it begins a task of this step.

    Another worker is there at once; it gets the tasks when the lease of the dead one is over.
    """
    _check("times", times, least=1)
    return Fault("lose_worker", step, index=index, attempt=attempt, times=times)


Find = Callable[[Task], Fault | None]
Lose = Callable[[], None]


class Staged:
    """Stands for an instance of a workflow class whose methods meet with faults."""

    def __init__(self, instance: object, code: WorkflowCode, find: Find, lose: Lose) -> None:
        self._instance = instance
        self._code = code
        self._find = find
        self._lose = lose

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._instance, name)
        step = next((one for one in self._code.steps.values() if one.attribute == name), None)
        if step is None:
            return method
        return self._async(method) if step.is_async else self._plain(method)

    def _plain(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def run(context: Context, **arguments: Any) -> Any:
            task = task_of(context)
            if fault := self._find(task):
                task.threads.call(self._meet, fault)
            return method(context, **arguments)

        return run

    def _async(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def run(context: AsyncContext, **arguments: Any) -> Any:
            if fault := self._find(task_of(context)):
                await self._meet(fault)
            return await method(context, **arguments)

        return run

    async def _meet(self, fault: Fault) -> None:
        match fault.kind:
            case "fail":
                raise fault.error.with_traceback(None)
            case "slow":
                await _sleep(fault.seconds)
            case _:
                self._lose()
                await anyio.sleep_forever()


async def _sleep(seconds: float) -> None:
    await (anyio.sleep(seconds) if seconds < math.inf else anyio.sleep_forever())
