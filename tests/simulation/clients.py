"""Those who create workflows and give commands, and what they were told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import msgspec

from agentainer_flow.core.answers import Ended, Missing
from agentainer_flow.core.errors import Refused, WorkflowNotFound
from agentainer_flow.core.log import EventLog
from agentainer_flow.sdk import client
from agentainer_flow.sdk.graph import WorkflowCode
from agentainer_flow.sdk.task import incr_change

from .plan import Command, Start

if TYPE_CHECKING:
    from .world import World


class Told(msgspec.Struct, frozen=True):
    """A command and how it was answered: `done`, or the status that was against it."""

    workflow: str
    verb: str
    answer: str


class Client:
    """One for each workflow. It asks again until it has an answer."""

    def __init__(self, world: World, log: EventLog, number: int, start: Start) -> None:
        self._world = world
        self._log = log
        self._number = number
        self._start = start
        #: Of the workflow, once it was acknowledged.
        self.workflow = ""

    async def run(self, code: WorkflowCode) -> None:
        await anyio.sleep(self._start.at_s)
        run = client.prepare(
            code, {"args": [], "kwargs": {}}, {}, self._log.settings, key=f"start {self._number}"
        )
        workflow = self.workflow = run.workflow
        if self._start.alone:
            self._world.run_alone(self._number, run)
            await self._give_all()
            return
        try:
            for _ in range(1 + (self._world.plan.seed + self._number) % 2):
                await client.create(self._log, run)
        except Refused as error:
            self._world.recorder.complain(f"workflow {self._number} was not created: {error}")
            return
        self._world.story.tell(f"workflow {self._number} is {workflow}")
        await self._give_all()

    async def _give_all(self) -> None:
        for command in self._start.commands:
            await anyio.sleep(max(0.0, command.at_s - self._world.loop.time()))
            await self._give(command)

    async def _give(self, command: Command) -> None:
        key = f"{command.verb} {self._number}"
        answer = "done"
        try:
            await self._verb(command)(key)
        except Refused as error:
            answer = error.status
        except WorkflowNotFound:
            if not (self._world.plan.loses_writes or self._start.alone):
                raise
            answer = "lost"
        self._world.told.append(Told(self.workflow, command.verb, answer))
        self._world.story.tell(f"{command.verb} of workflow {self._number}: {answer}")

    def _verb(self, command: Command) -> Callable[[str], Awaitable[object]]:
        log, workflow = self._log, self.workflow
        match command.verb:
            case "pause" | "freeze":
                freeze = command.verb == "freeze"
                return lambda key: client.pause(log, workflow, key=key, freeze=freeze)
            case "resume":
                return lambda key: client.resume(log, workflow, key=key)
            case "cancel":
                return lambda key: client.cancel(log, workflow, key=key)
            case "write":
                return self._write

    async def _write(self, key: str) -> None:
        """Count something in the state, and say so twice. Raises Refused, WorkflowNotFound."""
        answers = [
            await self._log.scripts.change_state(
                self.workflow, by="client", changes=[incr_change("told", 1)], key=key
            )
            for _ in range(2)
        ]
        match answers[0]:
            case Ended(status=status):
                raise Refused("it has ended", status=status)
            case Missing():
                raise WorkflowNotFound(self.workflow)
            case _:
                pass
