"""Threads that take turns with their loop: while a plain body runs, the loop stands still.

One of them has the baton at any time. The loop gives it to a body and takes it back when the body
has ended or waits for the loop. So plain bodies run in one order, and take no virtual time but what
they wait for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ...core.errors import ClaimLost, FlowError
from ...core.threads import Done, Threads, as_result

T = TypeVar("T")

_current: contextvars.ContextVar[_Body | None] = contextvars.ContextVar("body", default=None)


class LockStep(Threads):
    """The threads of one virtual loop."""

    def submit(self, body: Callable[[], Any], done: Done) -> None:
        context = contextvars.copy_context()
        self._loop.call_soon(_Body(self._loop, body, done, context).go_on)

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        if self._loop.is_closed():
            raise ClaimLost("the worker that ran this step has stopped")
        body = _current.get()
        if body is None or body.hand is not threading.current_thread():
            raise FlowError(
                "a thread that a step has started cannot use the step's context on virtual time: "
                "do that in the step itself, or test it on a real Redis (the fixture flow_redis)"
            )
        result: T = body.wait(function, args)
        return result


class _Hand(threading.Thread):
    """A thread that runs one body after the other; starting one costs more than most bodies do."""

    def __init__(self) -> None:
        super().__init__(name="agentainer step", daemon=True)
        self._work: Callable[[], None] | None = None
        self._gate = threading.Lock()
        self._gate.acquire()

    def begin(self, work: Callable[[], None]) -> None:
        self._work = work
        if self.is_alive():
            self._gate.release()
        else:
            self.start()

    def run(self) -> None:
        while work := self._work:
            self._work = None  # whoever waits here holds on to nothing
            work()
            del work
            self._gate.acquire()


#: Those of the process that have nothing to do. A process that is forked has no threads.
_idle: list[_Hand] = []
os.register_at_fork(after_in_child=_idle.clear)


class _Body:
    """A plain body, and the thread that it runs in."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        body: Callable[[], Any],
        done: Done,
        context: contextvars.Context,
    ) -> None:
        self._loop = loop
        self._body = body
        self._done = done
        self._context = context
        self.hand: _Hand | None = None
        #: Released by who passes the baton: to the body, to the loop.
        self._to_body, self._to_loop = threading.Lock(), threading.Lock()
        self._to_body.acquire()
        self._to_loop.acquire()
        #: What the body waits for, as a task to make. None: it has ended.
        self._wish: Callable[[], asyncio.Task[Any]] | None = None
        self._answer: asyncio.Task[Any] | None = None
        self._end: tuple[Any, BaseException | None] = (None, None)

    def go_on(self, answer: asyncio.Task[Any] | None = None) -> None:
        """On the loop: let the body run until it ends or waits for something."""
        self._wish, self._answer = None, answer
        if self.hand is None:
            self.hand = _idle.pop() if _idle else _Hand()
            self.hand.begin(self._run)
        else:
            self._to_body.release()
        self._to_loop.acquire()
        if self._wish is None:
            _idle.append(self.hand)
            self._done(*self._end)
        else:
            self._wish().add_done_callback(self.go_on)

    def _run(self) -> None:
        self._context.run(_current.set, self)
        try:
            self._end = (self._context.run(self._body), None)
        except BaseException as raised:  # SystemExit of a body ends its task, not the thread
            self._end = (None, as_result(raised))
        self._to_loop.release()

    def wait(self, function: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> Any:
        """In the body's thread: have the loop do something, and wait for it."""
        context = contextvars.copy_context()
        self._wish = lambda: self._loop.create_task(function(*args), context=context)
        self._to_loop.release()
        self._to_body.acquire()
        answer = self._answer
        if answer is None or answer.cancelled():
            raise concurrent.futures.CancelledError
        return answer.result()
