"""What a step gets as `context`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Unpack

import structlog
from msgspec.structs import replace

from ..core import clock
from .agents import Agent, AgentOptions, AsyncAgent, check_agent_name, job_spec
from .state import AsyncState, State
from .task import Task
from .tracing import task_context


class _Place:
    """Where a step body runs."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.workflow_id = task.workflow
        self.step_id = task.step
        #: Position in the fan-out; 0 in a plain step.
        self.index = task.index
        #: 1 on the first try.
        self.attempt = task.attempt
        #: All inputs of the run, by name.
        self.input: Mapping[str, Any] = task.inputs

    @property
    def traceparent(self) -> str:
        """The span of this attempt, W3C, for what it calls."""
        return task_context(self._task).traceparent

    @cached_property
    def log(self) -> Any:
        """A structlog logger that says where it logs from."""
        task = self._task
        return structlog.get_logger().bind(
            workflow=task.workflow,
            step=task.step,
            index=task.index,
            attempt=task.attempt,
            trace_id=task_context(task).trace_id,
        )


def task_of(context: _Place) -> Task:
    """The task whose body has this context."""
    return context._task  # pyright: ignore[reportPrivateUsage] - for the test kit


class AsyncContext(_Place):
    """The context of an `async def` step."""

    @cached_property
    def state(self) -> AsyncState:
        """The workflow's state."""
        return AsyncState(self._task)

    async def run(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function once: a body that runs again gets the value recorded by this name.

        The function may be async. Its value must have a JSON form.
        """

        async def make() -> Any:
            value = function(*args)
            return await value if inspect.isawaitable(value) else value

        return await self._task.once(name, make)

    async def now(self, name: str = "now") -> datetime:
        """The time, in UTC, the same when the body runs again."""
        seconds: float = await self.run(name, clock.now)
        return datetime.fromtimestamp(seconds, UTC)

    async def sleep(self, seconds: float, name: str = "sleep") -> None:
        """Sleep; a body that runs again sleeps only what is left. Others may run meanwhile."""
        if not math.isfinite(seconds):
            raise ValueError(f"sleep() takes a number of seconds, got {seconds}")
        await self._task.sleep(name, seconds)

    async def deploy_agent(
        self,
        name: str,
        image: str,
        env: Mapping[str, Any] | None = None,
        command: Sequence[str] | str | None = None,
        **options: Unpack[AgentOptions],
    ) -> AsyncAgent:
        """Launch an agent and return its handle at once.

        `name` says which agent of this task it is: when the step body runs again after a crash,
        the agent of that name is found instead of launched twice. `command` replaces the image's;
        a text runs in a shell. Options are those of `AgentOptions`.
        """
        limit = self._task.log.settings.payload_limit
        spec = job_spec(image, env, command, limit=limit, **options)
        spec = replace(spec, traceparent=self.traceparent)
        job, effect = await self._task.request_agent(check_agent_name(name), spec)
        return AsyncAgent(self._task, job, effect)


class Context(_Place):
    """The context of a plain `def` step, which runs in a thread of its own."""

    @cached_property
    def _async(self) -> AsyncContext:
        return AsyncContext(self._task)

    @cached_property
    def state(self) -> State:
        """The workflow's state."""
        return State(self._async.state, self._task.threads.call)

    def run(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function once: a body that runs again gets the value recorded by this name.

        Its value must have a JSON form.
        """

        async def make() -> Any:
            return await self._task.threads.run(lambda: function(*args))

        return self._task.threads.call(self._task.once, name, make)

    def now(self, name: str = "now") -> datetime:
        """The time, in UTC, the same when the body runs again."""
        moment: datetime = self._task.threads.call(self._async.now, name)
        return moment

    def sleep(self, seconds: float, name: str = "sleep") -> None:
        """Sleep; a body that runs again sleeps only what is left."""
        self._task.threads.call(self._async.sleep, seconds, name)

    def deploy_agent(
        self,
        name: str,
        image: str,
        env: Mapping[str, Any] | None = None,
        command: Sequence[str] | str | None = None,
        **options: Unpack[AgentOptions],
    ) -> Agent:
        """Launch an agent and return its handle at once; see `AsyncContext.deploy_agent`."""
        deploy = partial(self._async.deploy_agent, name, image, env, command, **options)
        return Agent(self._task.threads.call(deploy), self._task.threads.call)
