"""Bring the faults of a plan about when their time has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from .plan import TimedFault

if TYPE_CHECKING:
    from .nodes import Member
    from .world import World


class Nemesis:
    def __init__(self, world: World) -> None:
        self._world = world

    async def run(self) -> None:
        """Return when the last fault is over."""
        async with anyio.create_task_group() as tasks:
            for fault in self._world.plan.timed:
                tasks.start_soon(self._bring, fault)

    async def _bring(self, fault: TimedFault) -> None:
        await anyio.sleep(fault.at_s)
        self._world.story.tell(f"fault: {fault.kind} {fault.target or fault.number} {fault.for_s}")
        members = [one for one in self._world.members.values() if one.node.name == fault.target]
        match fault.kind:
            case "kill" | "freeze" | "partition" | "cut" | "stop":
                for member in members:
                    await self._strike(fault, member)
            case "agent":
                self._kill_agent(fault.number)
            case "power" | "host" | "daemon":
                await self._strike_host(fault)
            case "redis" | "rollback":
                lost = fault.number if fault.kind == "rollback" else 0
                await self._world.network.take_away(fault.for_s, lost=lost)
            case "clock":
                self._world.network.shift_clock(fault.for_s)

    async def _strike(self, fault: TimedFault, member: Member) -> None:
        world, life = self._world, member.life
        if not member.is_alive:
            return
        world.seen[f"{fault.kind} of a node"] += 1
        match fault.kind:
            case "kill":
                world.crash(life, fault.for_s)
                await anyio.sleep(fault.for_s)
            case "freeze":
                world.loop.freeze(life)
                await anyio.sleep(fault.for_s)
                world.loop.thaw(life)
            case "partition":
                world.network.part(life, fault.for_s)
                await anyio.sleep(fault.for_s)
            case "cut":
                world.network.cut(life)
            case _:
                world.recorder.stops_ms.append(world.recorder.now_ms())
                with anyio.move_on_after(10):
                    await member.stop()
                member.kill()
                await anyio.sleep(fault.for_s)
                member.start()

    def _kill_agent(self, number: int) -> None:
        boxes = [box for host in self._world.hosts.values() for box in host.running()]
        if boxes:
            self._world.seen["agents killed"] += 1
            boxes[number % len(boxes)].kill()

    async def _strike_host(self, fault: TimedFault) -> None:
        world = self._world
        host = world.host(fault.target)
        if fault.kind == "daemon":
            host.is_up = False
            await anyio.sleep(fault.for_s)
            host.is_up = True
            return
        members = [one for one in world.members.values() if one.host is host]
        for member in members:
            member.kill()
        if fault.kind == "power":
            host.crash()
        else:
            host.vanish()
        await anyio.sleep(fault.for_s)
        for member in members:
            if fault.kind == "host":
                member.host = world.host(host.name + "-new")
            member.start()
