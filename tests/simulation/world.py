"""One run: nodes, hosts, clients and a Redis in one process, on virtual time."""

from __future__ import annotations

from collections import Counter
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio

from agentainer_flow.core.errors import RedisUnavailable
from agentainer_flow.core.keys import Keys
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.memory import Server
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk import client
from agentainer_flow.sdk.client import Prepared
from agentainer_flow.sdk.graph import WorkflowCode

from .clients import Client, Told
from .flows import code_for
from .graphs import Agent, width_of
from .hosts import Host
from .lives import LIFE, Life
from .loop import SimulatedLoop
from .nemesis import Nemesis
from .network import Network
from .nodes import Alone, Member
from .plan import CLIENTS, Node, Plan
from .recorder import Recorder
from .story import Story

#: Faults of calls end so long after the last timed fault, s.
BUSY_S = 8.0
#: Every workflow has to have ended so long after the last fault, s.
PATIENCE_S = 45.0
#: As a job whose host is gone is waited for, and a bit.
HOST_S = 75.0


class World:
    def __init__(self, plan: Plan, loop: SimulatedLoop, server: Server, url: str) -> None:
        self.plan = plan
        self.loop = loop
        self.story = Story(loop.time)
        self.chance = Random(f"world/{plan.seed}")
        self.recorder = Recorder(lambda: loop.now() * 1000, self.crash)
        self.seen: Counter[str] = Counter()
        self.told: list[Told] = []
        self.network = Network(self, server, url)
        self.hosts: dict[str, Host] = {}
        self.members: dict[str, Member] = {
            node.name: Member(self, node, number) for number, node in enumerate(plan.nodes, 1)
        }
        self.members |= {
            f"r{n}": Alone(self, Node(f"r{n}", host=plan.launching_host), 50 + n)
            for n, start in enumerate(plan.starts)
            if start.alone
        }
        self.codes = [code_for(f"g{n}", start.graph) for n, start in enumerate(plan.starts)]
        self.clients: list[Client] = []
        self.problems: list[str] = []
        self._keys = Keys(partitions=plan.partitions)
        #: In which nodes begin.
        self.context = copy_context()

    @property
    def url(self) -> str:
        return self.network.url

    def host(self, name: str) -> Host:
        if name not in self.hosts:
            self.hosts[name] = Host(name, self.recorder, self.loop.now)
        return self.hosts[name]

    def codes_of(self, node: Node) -> list[WorkflowCode]:
        """The code that a node has."""
        return [
            replace(
                code, steps={name: one for name, one in code.steps.items() if name != node.lacks}
            )
            for code in self.codes
        ]

    def run_alone(self, number: int, run: Prepared) -> None:
        """Let a workflow run in a process of its own."""
        member = self.members[f"r{number}"]
        if isinstance(member, Alone):
            member.prepared = run
            member.start()

    def settings_of(self, node: Node | None = None) -> Settings:
        return Settings(
            redis_url=self.url,
            home=Path("/nonexistent"),
            runtime="process",
            lease=self.plan.lease,
            grace=3.0,
            partitions=self.plan.partitions,
            slots=node.slots if node else 1,
            agent_slots=node.agent_slots if node else 1,
            agent_memory=node.memory * 2**20 if node and node.memory else None,
            snapshot_every=self.plan.snapshot_every,
        )

    def crash(self, life: Life, away_s: float) -> None:
        """Kill a node, and start it again later."""
        for member in self.members.values():
            if member.life is life and member.is_alive:
                member.kill()
                self.loop.call_later(away_s, member.start)

    async def run(self) -> None:
        """Everything up to the rest after the faults. What was wrong is in `problems`."""
        self.context = copy_context()
        log = EventLog(self.settings_of(), self.url)
        try:
            await _open(log)
            for queue, limit in self.plan.queues.items():
                await log.scripts.set_queue(queue, limit=limit)
            for member in self.members.values():
                member.start()
            await self._play()
            await self._settle(log)
        finally:
            await log.close()

    async def _play(self) -> None:
        """Clients and faults, until both are done."""
        LIFE.set(Life(CLIENTS, 1))
        log = EventLog(self.settings_of(), self.url)
        try:
            await _open(log)
            self.clients = [
                Client(self, log, number, start) for number, start in enumerate(self.plan.starts)
            ]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Nemesis(self).run)
                for one, code in zip(self.clients, self.codes, strict=True):
                    tasks.start_soon(one.run, code)
        finally:
            await log.close()
            LIFE.set(None)

    async def _settle(self, log: EventLog) -> None:
        """Let everything come to its end without faults."""
        self.loop.call_later(max(0.0, BUSY_S - self.loop.time()), self.network.calm)
        with anyio.move_on_after(self._patience()) as scope:
            while not self._have_ended():
                await self._resume(log)
                await anyio.sleep(0.1)
        self.network.calm()
        if scope.cancelled_caught:
            self.problems.append(f"not everything has ended {self._patience():.0f} s later")
            return
        self.story.tell("every workflow has ended")
        with anyio.move_on_after(self._patience()):
            while not self._is_at_rest():  # noqa: ASYNC110 it tells nobody
                await anyio.sleep(0.1)
        if self.plan.stops:
            for member in self.members.values():
                await member.stop()

    async def _resume(self, log: EventLog) -> None:
        """Resume again what is paused because Redis forgot that it was resumed."""
        for one in self.clients if self.plan.loses_writes else ():
            if self._meta(one, b"status") == b"paused":
                await client.resume(log, one.workflow)

    def _patience(self) -> float:
        kinds = {fault.kind for fault in self.plan.timed}
        back_s = max(
            (-fault.for_s for fault in self.plan.timed if fault.kind == "clock"), default=0
        )
        return PATIENCE_S + self._agents_s() + max(0.0, back_s) + HOST_S * ("host" in kinds)

    def _agents_s(self) -> float:
        """How long the agents of all workflows take with the slots there are."""
        slots = sum(node.agent_slots for node in self.plan.nodes if "launcher" in node.roles)
        graphs = [start.graph for start in self.plan.starts]
        works = [
            width_of(graph, step) * act.s * (1 + act.fails)
            for graph in graphs
            for step in graph.steps
            for act in step.acts
            if isinstance(act, Agent)
        ]
        return sum(works) / max(1, slots)

    def _have_ended(self) -> bool:
        if self.network.server.is_away:  # it may come back without the ends
            return False
        ends: set[bytes | None] = {b"completed", b"failed", b"cancelled"}
        return all(
            (status := self._meta(one, b"status")) in ends
            or (status is None and not self._has_to_be_there(number))
            for number, one in enumerate(self.clients)
        )

    def _has_to_be_there(self, number: int) -> bool:
        """A workflow may never have been created when its process died, or Redis lost it."""
        alone = self.members.get(f"r{number}")
        return not self.plan.loses_writes and (alone is None or alone.is_alive)

    def _meta(self, one: Client, field: bytes) -> Any:
        key = self._keys.workflow(one.workflow, "meta").encode()
        return self.network.server.run([b"HGET", key, field])

    def _is_at_rest(self) -> bool:
        """Documents are written, containers removed, and the dead have been noticed.

        What was held up has come, too: it must not matter any more.
        """
        if self.loop.time() < self.network.late_s:
            return False
        if any(host.boxes for host in self.hosts.values()):
            return False
        if any(self._meta(one, b"v") != self._meta(one, b"doc_v") for one in self.clients):
            return False
        living = {member.process for member in self.members.values() if member.is_alive}
        for partition in range(self.plan.partitions):
            key = self._keys.flow(partition, "sessions").encode()
            sessions: Any = self.network.server.run([b"ZRANGE", key, b"0", b"-1"])
            names = [name.decode().partition("@")[2].rpartition(":")[0] for name in sessions]
            if not living.issuperset(names):
                return False
        return True

    def end(self) -> None:
        """Kill what still runs."""
        for member in self.members.values():
            member.kill()


async def _open(log: EventLog) -> None:
    """Wait for Redis: a fault may come before anybody has begun."""
    while True:
        try:
            return await log.open()
        except RedisUnavailable:
            await anyio.sleep(0.1)
