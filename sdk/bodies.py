"""Run the bodies of claimed tasks: async ones on the loop, plain ones in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio

from ..core.errors import ClaimLost, FlowError
from ..core.threads import Threads
from . import tracing
from .execution import (
    Body,
    Outcome,
    Runs,
    complete,
    completed_now,
    execute,
    failed,
    plain_body,
    step_of,
)
from .runners import Runners
from .task import Task

#: Takes a body and how it ended; None when its task is no longer ours.
Ended = Callable[[Body, Outcome | None], None]


class Bodies:
    """The bodies that run in this process. Each one is told of once, when it has ended."""

    def __init__(self, runs: Runs, threads: Threads, ended: Ended) -> None:
        self._runs = runs
        self._threads = threads
        self._tell = ended
        self._runners = Runners()
        #: What runs, and the asyncio task that it runs in, if it does.
        self._running: dict[Body, asyncio.Task[Any] | None] = {}

    def __len__(self) -> int:
        return len(self._running)

    def tasks(self) -> list[Task]:
        """Those that have not ended."""
        return [body.task for body in self._running]

    async def run(self) -> None:
        """Host them until cancelled."""
        await self._runners.run()

    def begin(self, body: Body) -> None:
        self._running[body] = None
        try:
            plain = plain_body(body, self._runs)
        except FlowError as error:
            self._end(body, failed(body.task, error))
            return
        if plain is None:
            self._runners.submit(partial(self._execute, body))
        elif body.is_traced:
            token = tracing.enter(body.task)  # the thread gets a copy of this context
            try:
                self._threads.submit(plain, partial(self._returned, body))
            finally:
                tracing.leave(token)
        else:
            self._threads.submit(plain, partial(self._returned, body))

    def revoke(self, workflow: str, step: str) -> None:
        """Cancel the tasks of a step: they are no longer ours."""
        for body, runner in list(self._running.items()):
            if (body.task.workflow, body.task.step) == (workflow, step):
                body.task.revoked = True
                if runner:
                    runner.cancel()
                else:
                    self._end(body, None)

    def _end(self, body: Body, outcome: Outcome | None) -> None:
        """Tell of a body, unless that was done when it was revoked."""
        if body in self._running:
            del self._running[body]
            self._tell(body, None if body.task.revoked else outcome)

    async def _execute(self, body: Body) -> None:
        if body not in self._running:  # revoked before it began
            return
        self._running[body] = asyncio.current_task()
        outcome = None
        try:
            outcome = await execute(body, self._runs)
        except anyio.get_cancelled_exc_class():
            if not body.task.revoked:
                raise
        finally:
            self._end(body, outcome)

    def _returned(self, body: Body, value: Any, error: BaseException | None) -> None:
        """A plain body has ended in its thread."""
        task = body.task
        if error is not None:
            self._end(body, self._failure(task, error))
            return
        step = step_of(body.code, task)
        try:
            outcome = completed_now(task, step, value)
        except Exception as problem:  # user types may fail to encode in any way
            self._end(body, failed(task, problem))
            return
        if outcome:
            self._end(body, outcome)
        else:
            self._runners.submit(partial(self._complete, body, value))

    @staticmethod
    def _failure(task: Task, error: BaseException) -> Outcome | None:
        return None if isinstance(error, ClaimLost) else failed(task, error)

    async def _complete(self, body: Body, value: Any) -> None:
        outcome = await complete(body.task, step_of(body.code, body.task), value)
        self._end(body, outcome)
