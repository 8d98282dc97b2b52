"""The ways from nodes to Redis, and Redis itself as the plan has it: slow, cut, away, forgetful."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import suppress
from functools import cache
from math import inf
from random import Random
from typing import TYPE_CHECKING

from agentainer_flow.core.memory import Server, Session
from agentainer_flow.core.memory.values import Args, Failure, Reply
from tests.chaos.proxy import SIGHTS

from .ledger import judge_books
from .lives import LIFE, Life
from .plan import CallFault
from .waits import slack_of

if TYPE_CHECKING:
    from .world import World

#: Calls of scripts from one look at what Redis keeps to the next.
LOOK = 8
#: Writes that Redis forgets when it does so at a call.
FORGOTTEN = 4
#: What documents may lag where nothing goes wrong, ms.
LAG = 1_000
#: How the answer of `sweep` begins when it took nothing back.
NOTHING = b"\x93\x93\x00\x00\x00"
FUNCTION = re.compile(rb"agentainer_[0-9a-f]+_(\w+)")


class Network:
    def __init__(self, world: World, server: Server, url: str) -> None:
        self.url = url
        self.server = server
        self._world = world
        self._chance = Random(f"network/{world.plan.seed}")
        self._calls: dict[tuple[str, str, int], list[CallFault]] = {}
        for fault in world.plan.calls:
            place = (fault.node, fault.script, fault.call)
            self._calls.setdefault(place, []).append(fault)
        #: Calls that each node has made of each script, and of all ("").
        self.made: Counter[tuple[str, str]] = Counter()
        self._ways: dict[Life, list[Way]] = {}
        #: Until when nothing passes, by life.
        self._parted: dict[Life, float] = {}
        self._heard = 0
        #: Until when calls are on their way that a fault holds up, or nodes stand still by one.
        self.late_s = 0.0
        self._forgetting: asyncio.Task[None] | None = None
        #: How far Redis' clock is off, s.
        self.shift_s = 0.0
        #: How old documents may be, ms.
        self._lag_ms = LAG + slack_of(world.plan) if world.plan.is_calm else inf
        server.faults = self._connect

    def _connect(self, session: Session) -> Way | None:
        life = LIFE.get()
        if life is None:
            return None
        if life.is_dead:
            raise asyncio.CancelledError  # it is on its way out
        way = Way(self, life, session)
        self._ways.setdefault(life, []).append(way)
        return way

    def cut(self, life: Life) -> None:
        for way in self._ways.pop(life, []):
            way.session.cut()

    def part(self, life: Life, for_s: float) -> None:
        self._parted[life] = self._world.loop.time() + for_s

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self._calls.clear()

    async def take_away(self, for_s: float, *, lost: int) -> None:
        """Redis is away for a while, and comes back without the last writes."""
        self.server.go_away()
        await asyncio.sleep(for_s)
        if lost:
            self._world.seen["writes lost"] += lost
            self.server.lose(lost)
        self.server.come_back()
        self._world.seen["Redis away"] += 1

    def shift_clock(self, by_s: float) -> None:
        self.shift_s += by_s

    def faults_of(self, life: Life, script: str) -> list[CallFault]:
        """Those of the call that this life makes now."""
        found: list[CallFault] = []
        for kind in ("", script):
            self.made[(life.node, kind)] += 1
            found += self._calls.pop((life.node, kind, self.made[(life.node, kind)]), [])
        return found

    def travel(self, life: Life) -> float:
        """How long a way takes, s."""
        lot = self._chance.random()
        seconds = 0.0
        if lot < 0.02:
            seconds = 0.05 * self._chance.random()
        elif lot < 0.2:
            seconds = 0.002 * self._chance.random()
        if self._parted:
            seconds = max(seconds, self._parted.get(life, 0.0) - self._world.loop.time())
        return seconds

    def strike(self, fault: CallFault, life: Life, script: str) -> None:
        """Note a fault, and kill the node if that is what it is."""
        self._world.seen[fault.kind] += 1
        self._world.story.tell(f"fault: {fault.kind} of {script}, call {fault.call} of {life}")
        loop = self._world.loop
        if fault.kind in ("delay", "freeze"):
            self.late_s = max(self.late_s, loop.time() + fault.for_s)
        if fault.kind in ("crash_before", "crash_after"):
            self._world.crash(life, fault.for_s)
        elif fault.kind == "forget":
            forgetting = self.take_away(fault.for_s, lost=FORGOTTEN)
            self._forgetting = loop.create_task(forgetting)
        elif fault.kind == "freeze":
            loop.freeze(life)
            loop.call_later(fault.for_s, loop.thaw, life)

    def hear(self, life: Life, script: str, reply: Reply) -> None:
        """Count what a script answered, and look now and then whether what it left adds up."""
        self._heard += 1
        if self._heard % LOOK == 0 and not self._world.problems:
            self._world.problems += list(judge_books(self.server, self._lag_ms))
        self._world.story.trace(repr((life.node, script, reply)).encode())
        if isinstance(reply, bytes):
            if script == "sweep" and not reply.startswith(NOTHING):
                self._world.seen["claims taken back"] += 1
            for pattern, sight in sights_of(script):
                if times := len(pattern.findall(reply)):
                    self._world.seen[sight] += times


class Way:
    """One connection of one life of a node."""

    def __init__(self, network: Network, life: Life, session: Session) -> None:
        self.session = session
        self._network = network
        self._life = life
        #: Of the call that is under way.
        self._script = ""
        self._after: list[CallFault] = []

    def before(self, command: Args) -> float:
        network, life = self._network, self._life
        seconds = network.travel(life)
        self._script = script_of(command[1]) if command[0] == b"FCALL" else ""
        self._after = []
        if not self._script:
            return seconds
        for fault in network.faults_of(life, self._script):
            match fault.kind:
                case "crash_before" | "lose_call" | "forget":
                    network.strike(fault, life, self._script)
                    raise ConnectionError
                case "delay":
                    network.strike(fault, life, self._script)
                    seconds += fault.for_s
                case "double":
                    network.strike(fault, life, self._script)
                    with suppress(Failure):  # a library that is not loaded yet
                        network.server.run(command)
                case _:
                    self._after.append(fault)
        return seconds

    def after(self, command: Args, reply: Reply) -> float:
        network, life = self._network, self._life
        if self._script:
            network.hear(life, self._script, reply)
        seconds = 0.0
        for fault in self._after:
            network.strike(fault, life, self._script)
            match fault.kind:
                case "delay_reply":
                    seconds += fault.for_s
                case "freeze":
                    pass
                case _:
                    raise ConnectionError
        return seconds + network.travel(life)


@cache
def sights_of(script: str) -> list[tuple[re.Pattern[bytes], str]]:
    """What its answers tell, and under which name."""
    return [(pattern, sight) for scripts, pattern, sight in SIGHTS if script in scripts]


@cache
def script_of(function: bytes) -> str:
    """Functions are called `<library>_<script>`, libraries after their content."""
    found = FUNCTION.fullmatch(function)
    return found[1].decode() if found else ""
