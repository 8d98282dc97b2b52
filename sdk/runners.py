"""Run async jobs of a queue, each as if in an asyncio task of its own.

Making a task costs more than most jobs do. So a runner takes one job after the other, and there is
always another runner on its way while jobs wait: where jobs do not wait for anything, the first
does them all; where one does, the next begins at once. A runner whose context or state of
cancellation a job changed takes no other.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
import anyio.abc

Job = Callable[[], Awaitable[None]]

#: Jobs in a row before others of the loop have a turn.
IN_A_ROW = 25


class Runners:
    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._idle: list[asyncio.Future[None]] = []
        #: A runner is on its way to the queue.
        self._is_coming = False
        self._tasks: anyio.abc.TaskGroup | None = None

    async def run(self) -> None:
        """Host the runners until cancelled, which cancels the jobs, too."""
        try:
            async with anyio.create_task_group() as self._tasks:
                if self._jobs:
                    self._call_one()
                await anyio.sleep_forever()
        finally:
            self._tasks = None

    def submit(self, job: Job) -> None:
        """Run a job soon. It must not raise, unless it is cancelled."""
        self._jobs.append(job)
        self._call_one()

    def _call_one(self) -> None:
        if self._is_coming or self._tasks is None:
            return
        self._is_coming = True
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():  # cancelled, when its runner was
                waiting.set_result(None)
                return
        self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        task = asyncio.current_task()
        context = contextvars.copy_context()
        while True:
            self._is_coming = False
            done = 0
            while self._jobs:
                job = self._jobs.popleft()
                if self._jobs:
                    self._call_one()
                await job()
                if contextvars.copy_context() != context or (task and task.cancelling()):
                    return
                done += 1
                if done % IN_A_ROW == 0:
                    await asyncio.sleep(0)
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle
