"""Drive the scripts call by call: one workflow, its engine, its workers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec

from agentainer_flow.core import events as e
from agentainer_flow.core.answers import (
    Batch,
    Claim,
    ClaimedJobs,
    ClaimedStep,
    Commit,
    CommitOutcome,
    Group,
    steps_text,
)
from agentainer_flow.core.ids import digest
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.scripts import Scripts
from agentainer_flow.reactors.janitor import Janitor
from agentainer_flow.reactors.session import Heartbeat, Session

LANE = "shared"


class Bench:
    """One workflow and one engine, driven call by call."""

    def __init__(self, log: EventLog, workflow: str = "w1", *, lane: str = LANE) -> None:
        self.log = log
        self.scripts = log.scripts
        self.id = workflow
        self.lane = lane
        self.commits = 0

    async def wait_for(self, kind: str) -> None:
        """Until the log has an event of this type."""
        with anyio.fail_after(10):
            async for batch in self.log.follow(self.id):
                if kind in {recorded.type for recorded in batch}:
                    return

    async def create(self, key: str = "k", name: str = "wf", **meta: Any) -> Any:
        created = e.WorkflowCreated(name, "d")
        return await self.scripts.append(
            self.id,
            key=key,
            content=digest(name.encode()),
            events=[(x.type, e.encode_event(x)) for x in (created, e.WorkflowStarted())],
            by="client",
            status="running",
            meta={"lane": self.lane, "name": "wf", **meta},
        )

    async def command(self, event: e.Event, **flags: Any) -> Any:
        events = [(event.type, e.encode_event(event))]
        return await self.scripts.append(
            self.id, key=event.type, content="", events=events, by="me", **flags
        )

    async def own(self, token: str = "engine/1", lease_ms: int = 60_000) -> bool:
        (held,) = await self.scripts.renew(
            0, lanes=[(self.lane, token)], sessions=[], lease_ms=lease_ms, acquire=True
        )
        return held

    async def queue(self, *indexes: int, limit: int = 0, step: str = "a", limits: str = "") -> Any:
        """Make tasks ready; `limits` are all of them, as `StepSpec.limits` spells them."""
        scheduled = e.StepScheduled(step, len(indexes), len(indexes))
        tasks = [(index, 1, "null") for index in indexes]
        return await self.commit(
            (scheduled.type, e.encode_event(scheduled), None),
            queue=[Batch(step, limits or f"{limit}|default||0", 0, tasks, "{}")],
        )

    async def commit(
        self, *events: tuple[str, str, int | None], token: str = "engine/1", **more: Any
    ) -> Any:
        self.commits += 1
        given: dict[str, Any] = {"commit": f"c{self.commits}", **more}
        return await commit(
            self.scripts, self.id, lane=self.lane, token=token, events=list(events), **given
        )

    async def claim(
        self, want: int = 10, token: str = "s/1", lease: int = 60_000
    ) -> list[ClaimedStep]:
        return await claim(
            self.scripts,
            lane=self.lane,
            session=token.partition("/")[0],
            token=token,
            want=want,
            lease_ms=lease,
        )

    async def request(self, *agents: str, **spec: Any) -> None:
        """Ask for agents of task a[0] under these names; `claim` has to be made before."""
        for name in agents:
            asked = job(f"agent:a:0:{name}:1", base=name, **spec)
            await self.scripts.request_job(self.id, **asked)

    async def claim_jobs(self, token: str = "l/1", **more: Any) -> ClaimedJobs:
        """Sizes are small here: an agent that asks for no memory has 1 byte."""
        given: dict[str, Any] = {
            "lane": self.lane,
            "host": "here",
            "session": token.partition("/")[0],
            "want": 5,
            "lease_ms": 60_000,
            "default_memory": 1,
            **more,
        }
        return await self.scripts.claim_jobs(0, token=token, **given)

    async def settle(self, *indexes: int, token: str = "s/1") -> list[tuple[str, str, int]]:
        done = [e.TaskCompleted("a", index, 1, msgspec.Raw(b"1")) for index in indexes]
        results = [(x.index, token, x.type, e.encode_event(x)) for x in done]
        return await settle(
            self.scripts, session=token.partition("/")[0], groups=[(self.id, "a", results)]
        )

    async def types(self) -> list[str]:
        return [recorded.type for recorded in await self.log.read(self.id)]


async def commit(
    scripts: Scripts,
    workflow: str,
    *,
    lane: str = LANE,
    token: str = "engine/1",
    queue: Sequence[Batch] = (),
    cancel: Sequence[tuple[str, int]] = (),
    events: Sequence[tuple[str, str, int | None]],
    commit: str,
    **more: Any,
) -> CommitOutcome:
    """One engine's decision on one workflow."""
    decision = Commit(workflow, commit, list(events), list(queue), list(cancel), **more)
    (outcome,) = await scripts.commit(0, lane=lane, token=token, by="engine", decisions=[decision])
    return outcome


async def claim(
    scripts: Scripts,
    *,
    lane: str = LANE,
    session: str,
    token: str,
    want: int,
    lease_ms: int,
    definitions: dict[str, list[str]] | None = None,
) -> list[ClaimedStep]:
    """A worker's turn that only claims."""
    known = {name: steps_text(steps) for name, steps in (definitions or {"wf": ["a", "b"]}).items()}
    wanted = Claim(token, want, known, lease_ms)
    turned = await scripts.turn(0, lane=lane, session=session, groups=[], claim=wanted)
    return turned.claimed


async def settle(
    scripts: Scripts, *, session: str, groups: list[Group]
) -> list[tuple[str, str, int]]:
    """A worker's turn that only settles; returns what was refused."""
    turned = await scripts.turn(0, lane=LANE, session=session, groups=groups)
    return turned.refused


def job(
    effect: str = "agent:a:0:x:1",
    token: str = "s/1",
    *,
    base: str = "a-0-x",
    **spec: Any,
) -> dict[str, Any]:
    return {
        "step": "a",
        "index": 0,
        "token": token,
        "effect": effect,
        "base": base,
        "rest": msgspec.json.encode(
            {"attempt": 1, "name": "x", "spec": e.JobSpec("i", **spec)}
        ).decode(),
    }


def change(op: str, key: str = "n", **more: Any) -> dict[str, Any]:
    return {"op": op, "key": key, **more}


@asynccontextmanager
async def keeping_clean(log: EventLog) -> AsyncGenerator[None]:
    """The role of the janitor."""
    heart = Heartbeat(log, 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Session(log, "janitor", heart=heart).keep)
        tasks.start_soon(Janitor(log, heart).run)
        yield
        tasks.cancel_scope.cancel()
