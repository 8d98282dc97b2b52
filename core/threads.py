"""Run plain step bodies, and what waits for a collector, in threads that nobody has to wait for.

A step that was cancelled cannot be interrupted in its thread. Daemon threads, unlike those of
anyio and of concurrent.futures, do not keep the process from ending for as long as such a body
sleeps; what it still tries to do to its workflow is refused.

Waking a thread costs more than most bodies do. So all threads take bodies from one queue, and there
is always one on its way to it while bodies wait: where a body takes no time the next ones are done
before that thread gets to run, and where it blocks the next one begins at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, runtime_checkable

from .errors import ClaimLost

T = TypeVar("T")

#: Runs an async function from the thread of a plain step: `Threads.call`.
Blocking = Callable[..., Any]

#: Gets what a body returned, or what it raised.
Done = Callable[[Any, BaseException | None], None]

_Order = tuple[Callable[[], Any], Done]


class Threads:
    """Threads of one event loop, reused; as many as there are bodies running at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._orders: deque[_Order] = deque()
        #: Gates of the threads that wait for orders.
        self._idle: list[threading.Lock] = []
        #: A thread is on its way to the queue.
        self._is_coming = False
        self._ended: deque[tuple[Done, Any, BaseException | None]] = deque()
        self._is_reporting = False

    def submit(self, body: Callable[[], Any], done: Done) -> None:
        """Run a body in a thread, in a copy of this context; `done` is called on the loop."""
        context = contextvars.copy_context()
        with self._lock:
            self._orders.append((lambda: context.run(body), done))
            self._call_one()

    async def run(self, body: Callable[[], T]) -> T:
        """Run a body in a thread. When cancelled, the thread is left to itself."""
        future: asyncio.Future[T] = self._loop.create_future()

        def done(value: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self.submit(body, done)
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

    def _call_one(self) -> None:
        """See to it that a thread is on its way; with the lock held."""
        if self._is_coming:
            return
        self._is_coming = True
        if self._idle:
            self._idle.pop().release()
        else:
            gate = threading.Lock()
            gate.acquire()
            threading.Thread(
                target=self._work, args=(gate,), name="agentainer step", daemon=True
            ).start()

    def _work(self, gate: threading.Lock) -> None:
        is_called = True
        while True:
            body, done = self._next(gate, is_called)
            is_called = False
            try:
                value, error = body(), None
            except BaseException as raised:  # SystemExit of a body ends its task, not the thread
                value, error = None, as_result(raised)
            if not self._report(done, value, error):
                return

    def _next(self, gate: threading.Lock, is_called: bool) -> _Order:
        """Wait for an order; whoever was called says that it has come."""
        while True:
            with self._lock:
                if is_called:
                    self._is_coming = False
                if self._orders:
                    order = self._orders.popleft()
                    if self._orders:
                        self._call_one()
                    return order
                self._idle.append(gate)
            gate.acquire()
            is_called = True

    def _report(self, done: Done, value: Any, error: BaseException | None) -> bool:
        """Hand over how a body ended; False when the loop has ended, too."""
        with self._lock:
            self._ended.append((done, value, error))
            if self._is_reporting:
                return True
            self._is_reporting = True
        try:
            self._loop.call_soon_threadsafe(self._hand_over)
        except RuntimeError:
            return False
        return True

    def _hand_over(self) -> None:
        with self._lock:
            self._is_reporting = False
            ended, self._ended = self._ended, deque()
        for done, value, error in ended:
            done(value, error)


@runtime_checkable
class BringsThreads(Protocol):
    """An event loop with threads of its own kind."""

    def make_threads(self) -> Threads: ...


def make_threads() -> Threads:
    """Threads for the bodies of the running loop."""
    loop = asyncio.get_running_loop()
    return loop.make_threads() if isinstance(loop, BringsThreads) else Threads()


def as_result(error: BaseException) -> Exception:
    """What may end a future: SystemExit would end the loop, StopIteration looks like its end."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(f"the step raised {type(error).__name__}: {error}")
