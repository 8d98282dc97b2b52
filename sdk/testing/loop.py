"""An event loop without a system around it: its time jumps to whatever is due next.

It has no sockets, no signals and no threads, so that nothing happens in it but what its tasks do,
in the same order each time. What anyio keeps in sets ordered by address is ordered by age here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from heapq import heappush
from itertools import count
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack

import anyio._backends._asyncio as anyio_backend

from ...core.clock import Clock
from ...core.errors import FlowError
from ...core.threads import Threads
from .lockstep import LockStep

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: When virtual time begins, unless somebody says otherwise: 2026-01-01, UTC.
BEGINNING = 1_767_225_600.0


class Deadlock(FlowError):
    """Raised when nothing is ready and no timer is set: nothing can ever happen again."""


class NoSystem(FlowError):
    """Raised when a task on a virtual loop wants a socket or a process."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop of virtual time; `now` is the time of day, in seconds since 1970.

    Subclasses say in which order things go (`arrange`) and for how long (`begin_turn`).
    """

    def __init__(self, now: float = BEGINNING) -> None:
        super().__init__()
        _order_anyio()
        self._beginning = now
        self._elapsed = 0.0
        self._numbers = count()
        self.set_task_factory(self._make_task)
        self._selector = self
        # A timer is due within this; less is nothing to a number of seconds after some months.
        self._clock_resolution = 1e-6
        #: Where time stops (s since the loop began), and how far ahead a timer is one at all.
        self.limit = math.inf
        self.horizon = math.inf
        #: It is no deadlock when nothing happens until the limit.
        self.may_idle = False
        #: For `use_clock`.
        self.clock = Clock(self.now, self.time)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._elapsed

    def now(self) -> float:
        """The time of day, in seconds since 1970."""
        return self._beginning + self._elapsed

    def begin_turn(self) -> None:
        """Called before each turn; what it raises ends the loop."""

    def arrange(self, ready: deque[asyncio.Handle]) -> None:
        """May change the order of what is ready, in place. `steps_of` tells which are tasks'."""

    def make_threads(self) -> Threads:
        """For the bodies of plain steps: see `core.threads.make_threads`."""
        return LockStep()

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Those that have not ended, oldest first."""
        return sorted(asyncio.all_tasks(self), key=_number_of)

    def _make_task(self, _: object, coro: Any, **options: Any) -> Any:
        task: Any = asyncio.Task(coro, loop=self, **options)
        task.number = next(self._numbers)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call it here and now: there are no threads, and time stands still meanwhile."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except (Exception, SystemExit) as error:
            future.set_exception(error)
        return future

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As any loop; of two timers for the same moment the first one set is the first one due."""
        self._check_closed()
        timer = _Timer(when, callback, args, self, context)
        timer.order = (when, next(self._numbers))
        heappush(self._scheduled, timer)
        timer._scheduled = True  # pyright: ignore[reportPrivateUsage] - as BaseEventLoop does
        return timer

    def end(self) -> None:
        """Cancel what is left, oldest first, and close."""
        while left := self.tasks():
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def close(self) -> None:
        self._ready.clear()
        self._scheduled.clear()
        super().close()

    # What BaseEventLoop asks of those that have a system: we are our own selector.

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool
    _check_closed: Callable[[], None]

    def select(self, timeout: float | None) -> tuple[()]:
        """Once per turn: see to the order of what is ready, or go to the next timer."""
        self.begin_turn()
        if self._ready:
            self.arrange(self._ready)
        elif not self._stopping:
            self._go_to(self._scheduled[0].when() if self._scheduled else math.inf)
        return ()

    def _go_to(self, due: float) -> None:
        is_never = due == math.inf or due - self._elapsed > self.horizon
        if is_never and not self.may_idle:
            raise Deadlock(self._say_waiting())
        if due > self.limit:
            self._elapsed = self.limit
            self.stop()
        else:
            self._elapsed = max(self._elapsed, due)

    def _say_waiting(self) -> str:
        waiting = "\n".join(f"  {_place(task)}" for task in self.tasks())
        return f"nothing is ready and no timer is set; these wait for ever:\n{waiting}"

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody has to be woken: whoever calls from a thread does so in lock-step."""

    def _refuse(self, *_args: Any, **_options: Any) -> NoReturn:
        raise NoSystem(
            "there are no sockets and no processes on virtual time. Give the step something else "
            "to talk to, or test it on a real Redis in real time (the fixture flow_redis)"
        )

    create_connection = create_datagram_endpoint = create_server = _refuse
    create_unix_connection = create_unix_server = getaddrinfo = _refuse
    subprocess_exec = subprocess_shell = _refuse


class _Timer(asyncio.TimerHandle):
    order: tuple[float, int]
    _scheduled: bool

    def __lt__(self, other: Any) -> bool:
        is_first: bool = self.order < other.order
        return is_first


def _number_of(task: Any) -> int:
    number: int = task.number
    return number


def steps_of(ready: deque[asyncio.Handle]) -> list[int]:
    """Positions of what goes on with a task; all else is between tasks, and keeps its order."""
    return [
        position
        for position, handle in enumerate(ready)
        if isinstance(getattr(getattr(handle, "_callback", None), "__self__", None), asyncio.Task)
    ]


def _place(task: asyncio.Task[Any]) -> str:
    """What a task is, and where it waits: the functions that wait for each other."""
    names: list[str] = []
    inner: Any = task.get_coro()
    while getattr(inner, "cr_frame", None):
        names.append(f"{inner.__qualname__}:{inner.cr_frame.f_lineno}")
        inner = inner.cr_await
    return f"{task.get_name()}: {' > '.join(names)}"


class _Ordered(dict[Any, None]):
    """A set that goes through its members in the order in which they came."""

    def add(self, member: object) -> None:
        self[member] = None

    def remove(self, member: object) -> None:
        del self[member]

    def discard(self, member: object) -> None:
        self.pop(member, None)


_is_ordered = False


def _order_anyio() -> None:
    """Let anyio keep scopes and tasks in order, and call at once what it has threads for.

    On virtual loops; others see nothing of it.
    """
    global _is_ordered  # once per process, like the library
    if _is_ordered:
        return
    _is_ordered = True
    _order(anyio_backend.CancelScope, "_child_scopes", "_tasks")
    _order(anyio_backend.TaskGroup, "_tasks")
    backend: Any = anyio_backend.AsyncIOBackend
    threaded = backend.run_sync_in_worker_thread

    async def run_sync(func: Callable[..., T], args: tuple[Any, ...], *rest: Any, **more: Any) -> T:
        if _is_virtual():
            await backend.checkpoint()
            return func(*args)
        result: T = await threaded(func, args, *rest, **more)
        return result

    backend.run_sync_in_worker_thread = staticmethod(run_sync)


def _is_virtual() -> bool:
    try:
        return isinstance(asyncio.get_running_loop(), VirtualLoop)
    except RuntimeError:
        return False


def _order(kind: Any, *names: str) -> None:
    begin = kind.__init__

    def begin_ordered(self: Any, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        if _is_virtual():
            for name in names:
                setattr(self, name, _Ordered())

    kind.__init__ = begin_ordered
