"""What must be true of workflows on Redis after every call of a script.

`Model` says where each task and agent is; `check` reads everything that Redis holds and compares.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import msgspec

from agentainer_flow.core import events as e
from agentainer_flow.core import keys
from agentainer_flow.core.log import EventLog, decode_entry
from agentainer_flow.projections.fold import fold
from agentainer_flow.projections.state import whole

Place = Literal["ready", "delayed", "leased", "completed", "failed", "gone"]

#: The most that may run of a step, of all steps of a key together, and of a queue.
STEPS = {"a": "2|default||0", "b": "0|default|k|2", "c": "0|narrow||0"}
STEP_MAX, KEY_MAX, QUEUE_MAX = {"a": 2}, 2, {"narrow": 2}

ENDS = ("task.completed", "task.failed", "task.cancelled")
WAKING = ("workflow.started", "workflow.resumed")
HALTING = ("workflow.paused", "workflow.cancel_requested", "workflow.timed_out", "step.failed")


@dataclass
class Task:
    step: str
    index: int
    place: Place
    attempt: int = 1
    losses: int = 0
    token: str = ""
    #: A timer runs that gives up when it still waits.
    impatient: bool = False


@dataclass
class Job:
    id: str
    step: str
    index: int
    #: queued, taken, orphaned (its launcher is gone), stopping; when ended `failed` or `ended`.
    state: str = "queued"
    token: str = ""
    memory: int = 1

    @property
    def settled(self) -> bool:
        return self.state in ("failed", "ended")


@dataclass
class Flow:
    id: str
    max_parallel: int = 0
    #: A timer runs that ends the workflow's time.
    hurries: bool = False
    status: str = "running"
    tasks: dict[tuple[str, int], Task] = field(default_factory=dict[tuple[str, int], Task])
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    cancelled: set[str] = field(default_factory=set[str])

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled")

    @property
    def steps(self) -> list[str]:
        """Steps that were scheduled and not cancelled."""
        return sorted({task.step for task in self.tasks.values()} - self.cancelled)

    @property
    def may_end(self) -> bool:
        if self.unsettled() or self.at("leased", "ready", "delayed") or not self.tasks:
            return False
        return self.status == "running" or (
            self.status in ("failing", "cancelling") and not self.steps
        )

    def at(self, *places: Place) -> list[Task]:
        return [task for task in self.tasks.values() if task.place in places]

    def unsettled(self) -> list[Job]:
        return [job for job in self.jobs.values() if not job.settled]

    def stop_jobs(self, step: str, index: int | None = None) -> None:
        """Agents never outlive their task: those that nobody took end, the others are stopped."""
        for job in self.unsettled():
            if job.step == step and index in (None, job.index):
                job.state = "ended" if job.state == "queued" else "stopping"


@dataclass
class Model:
    flows: dict[str, Flow] = field(default_factory=dict[str, Flow])
    #: Who had the turn of a shared limit may not have used it. The ways of `test_turns` pass it on
    #: at once; until others do, those who wait for such a limit may be forgotten.
    turn_lost: bool = False

    def holders(self) -> list[str]:
        """Sessions that have a task or an agent."""
        tokens = [task.token for _, task in self.all("leased")]
        tokens += [job.token for flow in self.flows.values() for job in flow.unsettled()]
        return sorted({token.partition("/")[0] for token in tokens if token})

    def taken_jobs(self) -> list[tuple[Flow, Job]]:
        """Agents that a launcher has."""
        return [
            (flow, job) for flow in self.flows.values() for job in flow.unsettled() if job.token
        ]

    def has_timers(self) -> bool:
        return any(
            flow.hurries or any(x.impatient or x.place == "delayed" for x in flow.tasks.values())
            for flow in self.flows.values()
        )

    def all(self, *places: Place) -> list[tuple[Flow, Task]]:
        return [(flow, task) for flow in self.flows.values() for task in flow.at(*places)]

    def has_room(self, flow: Flow, step: str) -> bool:
        leased = self.all("leased")
        mine = [task for owner, task in leased if owner is flow]
        queue = STEPS[step].split("|")[1]
        in_queue = sum(STEPS[task.step].split("|")[1] == queue for _, task in leased)
        return (
            sum(task.step == step for task in mine) < STEP_MAX.get(step, 99)
            and len(mine) < (flow.max_parallel or 99)
            and in_queue < QUEUE_MAX.get(queue, 99)
            and (step != "b" or sum(task.step == "b" for _, task in leased) < KEY_MAX)
        )

    def claimable(self) -> list[Task]:
        return [
            task
            for flow, task in self.all("ready")
            if flow.status == "running"
            and self.has_room(flow, task.step)
            and (task.step == "a" or not self.turn_lost)
        ]


async def check(log: EventLog, model: Model) -> None:
    held: Counter[str] = Counter()
    for flow in model.flows.values():
        await check_flow(log, flow)
        held.update(task.token.partition("/")[0] for task in flow.at("leased"))
        held.update(job.token.partition("/")[0] for job in flow.unsettled() if job.token)
    await check_counters(log, model)
    assert await claims(log) == held
    await check_keys(log)


async def check_flow(log: EventLog, flow: Flow) -> None:
    entries = await log.redis.xrange(log.keys.events(flow.id))
    check_chain(entries)
    events = [decode_entry(entry) for entry in entries]
    check_story(events)
    await check_places(log, flow)
    await check_fold(log, flow, events)


def check_chain(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
    """Versions have no gaps and the digests chain."""
    assert [name for name, _ in entries] == [b"%d-0" % n for n in range(1, len(entries) + 1)]
    chain = b""
    for _, fields in entries:
        whole = chain + fields[b"type"] + fields[b"data"]
        chain = hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16].encode()
        assert fields[b"dg"] == chain


def check_story(events: list[e.Recorded]) -> None:
    """Starts and ends of tasks alternate, nothing starts during a pause or follows the end."""
    runs, over = False, False
    running: set[tuple[str, int, int]] = set()
    settled: set[tuple[str, int, int]] = set()
    for at in events:
        assert not over, f"{at.type} after the end"
        assert at.cause is None or at.cause < at.version
        runs = at.type in WAKING or (runs and at.type not in HALTING)
        over = at.type in e.TERMINAL
        if not at.type.startswith("task.") or isinstance(at.event, e.TaskRetried):
            continue
        event: Any = at.event
        task = (event.step, event.index, event.attempt)
        assert task not in settled
        if at.type == "task.started":
            assert runs
            assert task not in running
            running.add(task)
        elif at.type == "task.lost":
            running.remove(task)
        else:
            running.discard(task)
            settled.add(task)


async def check_places(log: EventLog, flow: Flow) -> None:
    """Every task is in the one place where the model has it."""
    pipeline = log.redis.pipeline(transaction=False)
    for step in STEPS:
        pipeline.lrange(log.keys.workflow(flow.id, "ready", step), 0, -1)
        pipeline.hgetall(log.keys.workflow(flow.id, "leased", step))
    found = iter(await pipeline.execute())
    for step, ready, leased in zip(STEPS, found, found, strict=True):
        entries = [msgspec.json.decode(entry)[:3] for entry in ready]
        expected = [[x.index, x.attempt, x.losses] for x in flow.at("ready") if x.step == step]
        assert sorted(entries) == sorted(expected)
        tokens = {int(index): value.split(b" ")[0].decode() for index, value in leased.items()}
        assert tokens == {x.index: x.token for x in flow.at("leased") if x.step == step}
        assert len(tokens) <= STEP_MAX.get(step, 99)
    running = int(await log.redis.hget(log.keys.workflow(flow.id, "meta"), "running") or 0)
    assert running == len(flow.at("leased"))
    assert running <= (flow.max_parallel or 99)


async def check_fold(log: EventLog, flow: Flow, events: list[e.Recorded]) -> None:
    """The log tells the same as what the scripts keep beside it."""
    view = fold(flow.id, events)
    state = await log.redis.hgetall(log.keys.workflow(flow.id, "state"))
    jobs = await log.redis.hkeys(log.keys.workflow(flow.id, "jobs"))
    meta = await log.redis.hgetall(log.keys.workflow(flow.id, "meta"))
    assert view.status == meta[b"status"].decode() == flow.status
    assert (view.version, view.digest) == (int(meta[b"v"]), meta[b"dg"].decode())
    blobs = await log.redis.hgetall(log.keys.workflow(flow.id, "blobs"))
    payloads = {name.decode(): data for name, data in blobs.items()}
    assert {key: whole(value, payloads) for key, value in view.state.items()} == {
        key.decode(): value for key, value in state.items()
    }
    assert {key.decode(): msgspec.json.decode(value) for key, value in state.items()} == flow.state
    assert view.unsettled_jobs == len(jobs) == len(flow.unsettled())
    assert sum(step.running for step in view.steps.values()) == len(flow.at("leased"))
    for name, job in view.jobs.items():
        assert job.settled == flow.jobs[name].settled


async def check_counters(log: EventLog, model: Model) -> None:
    """What queues and concurrency keys count is what there is, and within their limits."""
    running: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for _, task in model.all("leased"):
        _, queue, key, _ = STEPS[task.step].split("|")
        running.update([f"queue:{queue}", "queue:*", *([f"key:{key}"] if key else [])])
    for _, task in model.all("ready"):
        waiting[STEPS[task.step].split("|")[1]] += 1
    assert running["key:k"] <= KEY_MAX
    assert running["queue:narrow"] <= QUEUE_MAX["narrow"]
    assert await counts(log, "running") == running
    assert await counts(log, "waiting") == waiting


async def counts(log: EventLog, name: str) -> Counter[str]:
    found = await log.redis.hgetall(f"{log.keys.prefix}flow:{name}")
    return Counter({key.decode(): int(value) for key, value in found.items() if int(value)})


async def claims(log: EventLog) -> Counter[str]:
    """How many tasks and jobs each session has."""
    found: Counter[str] = Counter()
    async for key in log.redis.scan_iter("flow:0:session:*"):
        values = await log.redis.hvals(key)
        found[key.decode().rpartition(":")[2]] = sum(int(value) for value in values)
    return found


async def check_keys(log: EventLog) -> None:
    """Every key is in the list of keys, and of the type that is written there."""
    names = [key.decode() for key in await log.redis.keys()]
    pipeline = log.redis.pipeline(transaction=False)
    for name in names:
        pipeline.type(name)
    for name, kind in zip(names, await pipeline.execute(), strict=True):
        assert is_known(name, kind.decode()), (name, kind)


@cache
def is_known(name: str, kind: str) -> bool:
    return any(kind == listed and pattern.fullmatch(name) for pattern, listed in known_keys())


@cache
def known_keys() -> list[tuple[re.Pattern[str], str]]:
    """(pattern, type) of the keys that the docstring of `keys` lists."""
    lines = re.findall(r"^    (\S+:\S+|workflow:<id>) +([A-Z]+) ", keys.__doc__ or "", re.M)
    return [(re.compile(pattern_of(name)), kind.lower()) for name, kind in lines]


def pattern_of(name: str) -> str:
    optional = re.sub(r"\[(.*)\]", r"(?:\1)?", name)
    return re.sub(r"<\w+>", "[^:]+", optional).replace("blocked:[^:]+", "blocked:.+")
