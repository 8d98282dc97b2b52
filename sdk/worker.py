"""Claim tasks of the workflow classes at hand, run them, settle them in batches.

    claim ──▶ run (own task group) ──▶ outcome ──▶ settle, all that gathered while the last call ran

A worker holds its claims by a lease that it renews as a whole. One that fell silent longer finds
its claims given to others: what its tasks still do to their workflow is refused.

One that is to stop is drained first, and ends its session then, which hands back what it still has.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import anyio.abc
import msgspec
import structlog

from ..core.answers import ClaimedStep, ClaimedTask
from ..core.bell import Bell
from ..core.keys import SHARED
from ..core.log import EventLog
from ..reactors.session import Session
from .execution import Runs, execute
from .graph import WorkflowCode
from .task import News, Task
from .threads import Threads

log = structlog.get_logger()

#: Tasks settled by one script call.
SETTLED = 200

_decode_entry = msgspec.json.Decoder(tuple[int, int, int, int, msgspec.Raw]).decode

#: (workflow, step), (index, token, event type, data)
Settlement = tuple[tuple[str, str], tuple[int, str, str, str]]


class Worker:
    """Run tasks of one lane, `slots` at a time."""

    def __init__(
        self,
        event_log: EventLog,
        bell: Bell,
        codes: Iterable[WorkflowCode],
        *,
        partition: int = 0,
        lane: str = SHARED,
        slots: int = 100,
    ) -> None:
        self._log = event_log
        self._codes = {code.name: code for code in codes}
        self.partition = partition
        self.lane = lane
        self.slots = slots
        self._session = Session(
            event_log,
            "worker",
            partition=partition,
            lane=lane,
            slots=slots,
            definitions=self._codes,
        )
        self.runs = Runs(event_log)
        self._news = News()
        self._threads = Threads()
        self._running: dict[tuple[str, str, int], tuple[Task, anyio.CancelScope]] = {}
        self._outcomes: list[Settlement] = []
        self._claims = 0
        #: Claims under way, and tasks that are neither settled nor given up.
        self._begun = 0
        self._draining = False
        self._drained = anyio.Event()
        #: The last claim took all it could, so there may be more to take.
        self._is_full = False
        self._wake = anyio.Event()
        self._gathered = anyio.Event()
        bell.listen(self._hear)

    @property
    def session(self) -> str:
        return self._session.name

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._session.keep)
            tasks.start_soon(self._settle_forever)
            await self._claim_forever(tasks)

    async def drain(self) -> None:
        """Begin no more tasks; return when those that run are settled."""
        self._draining = True
        self._wake.set()
        self._count(0)
        await self._drained.wait()

    async def hand_back(self) -> None:
        """After `run`: others may claim at once what is still claimed."""
        await self._session.hand_back()

    def _count(self, begun: int) -> None:
        self._begun += begun
        if self._draining and not self._begun:
            self._drained.set()

    def _hear(self, kind: str, workflow: str, subject: str) -> None:
        match kind:
            case "task":
                self._wake.set()
            case "settled":
                self._news.tell(workflow, subject)
            case "cancel":
                self._revoke(workflow, subject)
            case "recheck":
                self._wake.set()
                self._news.tell_all()
            case _:
                pass

    def _revoke(self, workflow: str, step: str) -> None:
        for name, (task, scope) in self._running.items():
            if name[:2] == (workflow, step):
                task.revoked = True
                scope.cancel()

    async def _claim_forever(self, tasks: anyio.abc.TaskGroup) -> None:
        while not self._draining:
            self._wake = anyio.Event()
            free = self.slots - len(self._running)
            self._count(+1)
            claimed = await self._claim(free) if free else []
            for step, token in [] if self._draining else claimed:
                for task in step.tasks:
                    self._spawn(tasks, step, task, token)
            self._count(-1)
            # Less than was asked for: the queues are empty until the bell rings.
            self._is_full = sum(len(step.tasks) for step, _ in claimed) >= free
            if not self._draining and (not self._is_full or len(self._running) >= self.slots):
                await self._wake.wait()

    async def _claim(self, want: int) -> list[tuple[ClaimedStep, str]]:
        self._claims += 1
        token = f"{self.session}/{self._claims}"
        steps = await self._log.scripts.claim(
            self.partition,
            lane=self.lane,
            session=self.session,
            token=token,
            want=want,
            definitions={code.name: list(code.steps) for code in self._codes.values()},
            lease_ms=int(self._log.settings.lease * 1000),
        )
        return [(step, token) for step in steps]

    def _spawn(
        self, tasks: anyio.abc.TaskGroup, step: ClaimedStep, claimed: ClaimedTask, token: str
    ) -> None:
        index, attempt, _, _, item = _decode_entry(claimed.entry)
        task = Task(
            self._log,
            self._news,
            self._threads,
            workflow=step.workflow,
            step=step.step,
            index=index,
            attempt=attempt,
            token=token,
            worker=self.session,
            retry_from_scratch=self._from_scratch(step),
        )
        scope = anyio.CancelScope()
        self._count(+1)
        self._running[(step.workflow, step.step, index)] = (task, scope)
        tasks.start_soon(self._execute, task, scope, self._codes[step.name], step.args, item)

    def _from_scratch(self, claimed: ClaimedStep) -> bool:
        code = self._codes[claimed.name].steps.get(claimed.step)
        return bool(code and code.retry_from_scratch)

    async def _execute(
        self,
        task: Task,
        scope: anyio.CancelScope,
        code: WorkflowCode,
        args: str,
        item: msgspec.Raw,
    ) -> None:
        outcome = None
        with scope:
            outcome = await execute(task, self.runs, code, args, item)
        name = (task.workflow, task.step, task.index)
        if self._running.get(name, (None,))[0] is task:
            del self._running[name]
        if outcome and not task.revoked:
            kind, data = outcome
            self._outcomes.append(
                ((task.workflow, task.step), (task.index, task.token, kind, data))
            )
            self._gathered.set()
        else:
            self._count(-1)
        if self._is_full:
            self._wake.set()

    async def _settle_forever(self) -> None:
        while True:
            await self._gathered.wait()
            self._gathered = anyio.Event()
            while self._outcomes:
                batch, self._outcomes = self._outcomes[:SETTLED], self._outcomes[SETTLED:]
                await self._settle(batch)
                self._count(-len(batch))

    async def _settle(self, batch: list[Settlement]) -> None:
        groups: dict[tuple[str, str], list[tuple[int, str, str, str]]] = {}
        for group, settlement in batch:
            groups.setdefault(group, []).append(settlement)
        refused = await self._log.scripts.settle(
            self.partition,
            session=self.session,
            groups=[(workflow, step, results) for (workflow, step), results in groups.items()],
        )
        for workflow, step, index in refused:
            log.info("worker.result_refused", workflow=workflow, step=step, index=index)
