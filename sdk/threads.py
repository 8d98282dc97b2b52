"""Run plain step bodies in threads that nobody has to wait for.

A step that was cancelled cannot be interrupted in its thread. Daemon threads, unlike those of
anyio and of concurrent.futures, do not keep the process from ending for as long as such a body
sleeps; what it still tries to do to its workflow is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

from ..core.errors import ClaimLost

T = TypeVar("T")

#: Runs an async function from the thread of a plain step: `Threads.call`.
Blocking = Callable[..., Any]

#: A body in its context, and where its outcome goes.
_Order = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Threads:
    """Threads of one event loop, reused; as many as there are bodies running at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: list[SimpleQueue[_Order]] = []

    async def run(self, body: Callable[[], T]) -> T:
        """Run a body in a thread. When cancelled, the thread is left to itself."""
        queue = self._idle.pop() if self._idle else self._start()
        future: asyncio.Future[T] = self._loop.create_future()
        context = contextvars.copy_context()
        queue.put((lambda: context.run(body), future))
        return await future

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run an async function on the loop, from a body's thread.

        Raises ClaimLost when the loop has ended: nobody waits for the body any more.
        """
        awaitable = function(*args)
        try:
            return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result()
        except RuntimeError as error:
            if not self._loop.is_closed():
                raise
            awaitable.close()
            raise ClaimLost("the worker that ran this step has stopped") from error

    def _start(self) -> SimpleQueue[_Order]:
        queue: SimpleQueue[_Order] = SimpleQueue()
        thread = threading.Thread(
            target=self._work, args=(queue,), name="agentainer step", daemon=True
        )
        thread.start()
        return queue

    def _work(self, queue: SimpleQueue[_Order]) -> None:
        while True:
            body, future = queue.get()
            try:
                report = _returned(future, body())
            except BaseException as error:  # SystemExit of a body ends its task, not the thread
                report = _raised(future, error)
            try:
                self._loop.call_soon_threadsafe(report)
                self._loop.call_soon_threadsafe(self._idle.append, queue)
            except RuntimeError:  # the loop has ended; so does its thread
                return


def _returned(future: asyncio.Future[Any], value: Any) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(value)


def _raised(future: asyncio.Future[Any], error: BaseException) -> Callable[[], None]:
    if not isinstance(error, Exception) or isinstance(error, StopIteration):
        # Neither may end a future: the one would end the loop, the other looks like its end.
        error = RuntimeError(f"the step raised {type(error).__name__}: {error}")
    return lambda: None if future.done() else future.set_exception(error)
