"""Hosts with containers, which outlive the launchers that started them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from random import Random

import anyio

from agentainer_flow.core.errors import RuntimeUnavailable
from agentainer_flow.reactors.runtimes.contract import (
    Launch,
    LogLine,
    Outcome,
    OutcomeKind,
    Permit,
    Sink,
    Started,
    always,
)
from agentainer_flow.reactors.runtimes.patience import patiently

from .plan import Node
from .recorder import Container, Recorder

#: Lines that an agent writes.
LINES = 2
#: A program that was killed.
KILLED = 137

Name = tuple[str, str]


class Box:
    """A container: made, then running, then ended; there until it is removed."""

    def __init__(self, launch: Launch, record: Container, now_s: Callable[[], float]) -> None:
        self.launch = launch
        self.record = record
        record.heeds = launch.env["DEAF"] == "0"
        self.outcome: Outcome | None = None
        self.ended = asyncio.Event()
        self.is_frozen = False
        #: Why it is being stopped, when it is.
        self.stopping: OutcomeKind | None = None
        self._now_s = now_s
        self._left_s = float(launch.env["SECONDS"])
        self._since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self.record.starts > 0 and self.outcome is None

    def start(self) -> None:
        self.record.starts += 1
        self.record.started_ms = self.record.started_ms or self._now_s() * 1000
        self._go_on()

    def _go_on(self) -> None:
        self._since_s = self._now_s()
        self._timer = asyncio.get_running_loop().call_later(self._left_s, self._finish)

    def freeze(self) -> None:
        if self.is_running and not self.is_frozen and self._timer:
            self.is_frozen = True
            self._timer.cancel()
            self._left_s -= self._now_s() - self._since_s

    def thaw(self) -> None:
        if self.is_frozen:
            if not self.stopping:
                self.record.thawed_ms.append(self._now_s() * 1000)
            self.is_frozen = False
            self._go_on()

    def _finish(self) -> None:
        if self.launch.attempt <= int(self.launch.env["FAILS"]):
            self.end(Outcome(kind="failed", reason="exited with code 1", exit_code=1))
        else:
            self.end(Outcome(kind="succeeded", exit_code=0, result=self.launch.env["ANSWER"]))

    def kill(self) -> None:
        kind = self.stopping or "failed"
        self.end(Outcome(kind=kind, reason=f"exited with code {KILLED}", exit_code=KILLED))

    def end(self, outcome: Outcome) -> None:
        if self._timer:
            self._timer.cancel()
        if self.outcome is None:
            self.outcome = outcome
            self.record.ended_ms = self._now_s() * 1000
            self.ended.set()


class Host:
    """A machine with its containers by workflow and job."""

    def __init__(self, name: str, recorder: Recorder, now_s: Callable[[], float]) -> None:
        self.name = name
        self.recorder = recorder
        self.now_s = now_s
        self.boxes: dict[Name, Box] = {}
        self.locks: dict[Name, asyncio.Lock] = {}
        #: The daemon answers.
        self.is_up = True

    def crash(self) -> None:
        """Lose power: what ran is there and has ended when the machine is back."""
        for box in self.boxes.values():
            if box.is_running:
                box.kill()

    def vanish(self) -> None:
        """Go for good, with all that was on it."""
        self.crash()
        for box in self.boxes.values():
            box.record.is_lost = True
        self.boxes.clear()

    def running(self) -> list[Box]:
        return [box for box in self.boxes.values() if box.is_running]


class SimulatedRuntime:
    """What a launcher has in hand of a host. Every call takes time, and may be its last."""

    name = "simulated"

    def __init__(
        self,
        host: Host,
        chance: Random,
        is_alive: Callable[[], bool],
        bounds: Node | None = None,
    ) -> None:
        """`bounds`: a node that may not start more agents than it has room for."""
        self._host = host
        self._bounds = bounds
        #: What it has made.
        self._made: list[Box] = []
        self._chance = chance
        self._is_alive = is_alive

    async def open(self) -> str:
        return f"simulated {self._host.name}"

    async def _reach(self) -> None:
        """Take the time of a call; who died in it asks nothing more."""
        await anyio.sleep(self._chance.uniform(0.001, 0.05))
        while not self._is_alive():
            await anyio.sleep_forever()
        if not self._host.is_up:
            raise RuntimeUnavailable("the daemon does not answer")

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        name = (launch.workflow, launch.job)
        async with self._host.locks.setdefault(name, asyncio.Lock()):
            await self._reach()
            box = self._host.boxes.get(name)
            if box and box.stopping == "cancelled" and await may_begin():
                await self._clear(name)
                box = None
            adopted = box is not None
            if not (box and box.record.starts) and not await may_begin():
                await self._clear(name)
                return None
            if box is None:
                await self._reach()
                box = Box(
                    launch,
                    self._host.recorder.created(*name, self._host.name),
                    self._host.now_s,
                )
                self._host.boxes[name] = box
                self._check_room(box)
            if not box.record.starts:
                await self._reach()
                box.start()
            await self._reach()
        return Started(
            f"{self._host.name}/{launch.workflow}/{launch.job}", self._host.name, adopted
        )

    def _check_room(self, made: Box) -> None:
        self._made = [one for one in [*self._made, made] if not one.record.removed_ms]
        if self._bounds is None:
            return
        memory = sum(one.launch.limits.memory_bytes or 0 for one in self._made) // 2**20
        if len(self._made) > self._bounds.agent_slots or memory > (self._bounds.memory or memory):
            self._host.recorder.complain(
                f"{len(self._made)} agents of {memory} MB are on {self._bounds.name} at a time"
            )

    async def follow(self, launch: Launch, sink: Sink) -> Outcome:
        await patiently(self._reach)
        box = self._host.boxes.get((launch.workflow, launch.job))
        if box is None:
            return Outcome(kind="lost", reason="its container is gone")
        await sink([self._says("at work")])
        await box.ended.wait()
        await patiently(self._reach)
        await sink([self._says("at an end")])
        if self._host.boxes.get((launch.workflow, launch.job)) is not box or not box.outcome:
            return Outcome(kind="lost", reason="its container is gone")
        return box.outcome

    def _says(self, text: str) -> LogLine:
        return LogLine(int(self._host.now_s() * 1000), "stdout", text)

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        name = (launch.workflow, launch.job)
        await patiently(self._reach)
        async with self._host.locks.setdefault(name, asyncio.Lock()):
            box = self._host.boxes.get(name)
            if box is None or not box.is_running or not await may_stop():
                return
            box.stopping = "cancelled"
        box.thaw()
        if launch.env.get("DEAF") == "1" or box.launch.env["DEAF"] == "1":
            with anyio.move_on_after(launch.limits.grace_s):
                await box.ended.wait()
        box.kill()

    async def freeze(self, launch: Launch) -> None:
        await self._switch(launch, Box.freeze)

    async def thaw(self, launch: Launch) -> None:
        await self._switch(launch, Box.thaw)

    async def _switch(self, launch: Launch, do: Callable[[Box], None]) -> None:
        await patiently(self._reach)
        if box := self._host.boxes.get((launch.workflow, launch.job)):
            do(box)

    async def remove(self, launch: Launch, may_remove: Permit = always) -> bool:
        name = (launch.workflow, launch.job)
        async with self._host.locks.setdefault(name, asyncio.Lock()):
            permitted = await may_remove()
            await patiently(self._reach)
            if permitted:
                await self._clear(name)
        return permitted

    async def _clear(self, name: Name) -> None:
        if box := self._host.boxes.pop(name, None):
            if box.is_running:
                box.kill()
            box.record.removed_ms = self._host.now_s() * 1000

    async def leftovers(self) -> list[tuple[str, str]]:
        await patiently(self._reach)
        return sorted(self._host.boxes)

    async def close(self) -> None:
        pass


#: Of the node that asks for it.
RUNTIME: ContextVar[SimulatedRuntime] = ContextVar("runtime")
