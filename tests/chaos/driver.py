"""The users of a run: they start, pause, resume and cancel workflows through a bad connection.

Each call has a key of its own, so the library may send it again when its reply was lost.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

import anyio

from agentainer_flow.core.errors import Refused, WorkflowNotFound
from agentainer_flow.core.ids import new_workflow_id
from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk import client
from agentainer_flow.sdk.registry import code_of

from . import flows
from .fleet import now_ms
from .journal import Journal, Told
from .schedule import Command, Start, Verb

VERBS: dict[Verb, Callable[..., Awaitable[object]]] = {
    "pause": client.pause,
    "resume": client.resume,
    "cancel": client.cancel,
}


class Driver:
    def __init__(self, log: EventLog, seed: int, journal: Journal) -> None:
        self._log = log
        self._seed = seed
        self._journal = journal
        self._calls = anyio.CapacityLimiter(16)

    def key(self, number: int) -> str:
        return f"chaos-{self._seed}-{number}"

    def workflow(self, number: int) -> str:
        """Its id, which follows from its key."""
        return new_workflow_id(self.key(number))

    async def carry_out(
        self, starts: Sequence[Start], commands: Sequence[Command], begun: float
    ) -> None:
        """Everything at its time; `begun` is when the run began, by the monotonic clock."""
        calls: list[Start | Command] = sorted([*starts, *commands], key=lambda one: one.at_s)
        async with anyio.create_task_group() as tasks:
            for one in calls:
                await anyio.sleep(max(0.0, begun + one.at_s - time.monotonic()))
                tasks.start_soon(self._in_turn, one)

    async def _in_turn(self, one: Start | Command) -> None:
        async with self._calls:
            if isinstance(one, Start):
                await self.start(one)
            else:
                await self.tell(one.verb, one.number)

    async def start(self, start: Start) -> str:
        """Start a workflow; returns when that is acknowledged."""
        code = code_of(getattr(flows, start.flow))
        inputs = {"size": start.size}
        prepared = client.prepare(
            code, None, inputs, self._log.settings, key=self.key(start.number)
        )
        workflow = await client.create(self._log, prepared)
        self._journal.started[start.number] = workflow
        return workflow

    async def tell(self, verb: Verb, number: int) -> None:
        """Give a command; what is against it is noted."""
        workflow = self.workflow(number)
        answer = "done"
        try:
            await VERBS[verb](self._log, workflow, key=f"{verb}-{number}")
        except (Refused, WorkflowNotFound) as error:
            answer = str(error)
        self._journal.told.append(Told(now_ms(), verb, workflow, answer))

    async def has_ended(self, workflow: str) -> bool:
        return await self._log.status(workflow) in ("completed", "failed", "cancelled")

    async def resume_all(self) -> None:
        """After the faults: nothing is to stay paused."""
        for number, workflow in self._journal.started.items():
            if await self._log.status(workflow) == "paused":
                await VERBS["resume"](self._log, workflow, key=f"last-resume-{number}")
