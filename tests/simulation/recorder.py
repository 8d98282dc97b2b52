"""What really happened outside of Redis: bodies that ran, functions called, agents that worked.

A missing fence is invisible in the log, which other guards protect; here it is seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec

from agentainer_flow import AsyncContext, Context

from .lives import LIFE, Life


class Ran(msgspec.Struct):
    """A body that began, or a function that `context.run` called."""

    at_ms: float
    workflow: str
    step: str
    index: int
    attempt: int
    #: The claim that it ran under.
    token: str
    #: Of a function, by its name.
    name: str = ""
    #: When a body ended, in whatever way; 0: it has not, or its process died.
    ended_ms: float = 0
    #: It is no thread.
    can_be_cancelled: bool = False

    @property
    def session(self) -> str:
        """Of the worker."""
        return self.token.rpartition("/")[0]


class Container(msgspec.Struct):
    """An agent as it really was. Times are ms; 0 as long as it did not come to that."""

    workflow: str
    job: str
    host: str
    created_ms: float
    #: How often it was set going.
    starts: int = 0
    started_ms: float = 0
    ended_ms: float = 0
    removed_ms: float = 0
    #: When it was let go on, after it had stood still.
    thawed_ms: list[float] = []
    #: It ends at once when it is asked to.
    heeds: bool = True
    #: The host was lost with it.
    is_lost: bool = False


class Answer(msgspec.Struct):
    """A task that waited for an agent, until it heard of its end or was stopped itself."""

    workflow: str
    job: str
    asked_ms: float
    heard_ms: float


class Recorder:
    def __init__(self, now_ms: Callable[[], float], crash: Callable[[Life, float], None]) -> None:
        self.now_ms = now_ms
        self._crash = crash
        #: The claims whose bodies have a slot at the moment.
        self._slots: defaultdict[Life, set[str]] = defaultdict(set)
        self.bodies: list[Ran] = []
        self.calls: list[Ran] = []
        self.containers: list[Container] = []
        self.answers: list[Answer] = []
        #: When nodes were asked to stop.
        self.stops_ms: list[float] = []
        #: Whole sentences about what cannot be.
        self.complaints: list[str] = []

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    @contextmanager
    def body(self, context: AsyncContext | Context) -> Generator[None]:
        ran = self._ran(context)
        ran.can_be_cancelled = isinstance(context, AsyncContext)
        self.bodies.append(ran)
        try:
            yield
        finally:
            ran.ended_ms = self.now_ms()

    @contextmanager
    def slot(self, context: AsyncContext) -> Generator[None]:
        """A body that keeps its slot to its end, or to its first sleep."""
        life = LIFE.get()
        if life is None:
            yield
            return
        claim, taken = self._claim_of(context), self._slots[life]
        taken.add(claim)
        if len(taken) > life.slots:
            self.complain(f"{len(taken)} bodies run on {life}, it has {life.slots} slots")
        try:
            yield
        finally:
            taken.discard(claim)

    def sleeps(self, context: AsyncContext) -> None:
        """From now on others may have the slot; who wakes up goes on whether one is free or not."""
        if life := LIFE.get():
            self._slots[life].discard(self._claim_of(context))

    @staticmethod
    def _claim_of(context: AsyncContext) -> str:
        task = context._task  # pyright: ignore[reportPrivateUsage] - users have no use for it
        return f"{task.token} {task.workflow} {task.step} {task.index}"

    @contextmanager
    def waiting(self, workflow: str, job: str) -> Generator[None]:
        """A task waits for an agent."""
        asked_ms = self.now_ms()
        try:
            yield
        finally:
            self.answers.append(Answer(workflow, job, asked_ms, self.now_ms()))

    def times_begun(self, context: AsyncContext | Context) -> int:
        """How often the body of this task has begun, this time included."""
        place = (context.workflow_id, context.step_id, context.index)
        return sum((ran.workflow, ran.step, ran.index) == place for ran in self.bodies)

    def kill(self) -> None:
        """The process that asks for it dies."""
        if life := LIFE.get():
            self._crash(life, 0.2)

    def once(self, context: AsyncContext | Context, name: str, answer: int) -> int:
        """What `context.run` is to call once."""
        self.calls.append(self._ran(context, name))
        return answer

    def _ran(self, context: AsyncContext | Context, name: str = "") -> Ran:
        token = context._task.token  # pyright: ignore[reportPrivateUsage] - users have no use for it
        place = (context.workflow_id, context.step_id, context.index, context.attempt)
        return Ran(self.now_ms(), *place, token, name)

    def created(self, workflow: str, job: str, host: str) -> Container:
        container = Container(workflow, job, host, self.now_ms())
        self.containers.append(container)
        return container
