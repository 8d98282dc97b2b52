"""One task as a worker holds it: what it is, its claim, and the effects it may have.

Everything a step body does to the outside goes through here, under the claim's token: once the
claim is lost, nothing more of this task counts.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import anyio
import msgspec

from ..core import clock
from ..core import events as e
from ..core.answers import Ended, Lost, Missing, StateRefused
from ..core.bell import RECHECK
from ..core.errors import ClaimLost, PayloadError
from ..core.ids import digest, job_id
from ..core.log import EventLog
from ..core.payloads import decode, encode
from ..core.scripts.state import Effect
from ..core.settings import Settings
from ..core.threads import Threads
from ..reactors.capacity import Capacity

_encode = msgspec.json.Encoder().encode


class News:
    """Tell those who wait for an agent in this process that it has settled."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], anyio.Event] = {}

    def expect(self, workflow: str, job: str) -> anyio.Event:
        return self._waiting.setdefault((workflow, job), anyio.Event())

    def tell(self, workflow: str, job: str) -> None:
        if event := self._waiting.pop((workflow, job), None):
            event.set()

    def tell_all(self) -> None:
        for workflow, job in list(self._waiting):
            self.tell(workflow, job)


class Task:
    """A claimed task."""

    __slots__ = (
        "_names",
        "_series",
        "_slots",
        "_writes",
        "_writing",
        "attempt",
        "index",
        "inputs",
        "log",
        "news",
        "revoked",
        "step",
        "threads",
        "token",
        "trace",
        "worker",
        "workflow",
    )

    def __init__(
        self,
        log: EventLog,
        news: News,
        threads: Threads,
        *,
        workflow: str,
        step: str,
        index: int,
        attempt: int,
        token: str,
        worker: str,
        slots: Capacity,
        retry_from_scratch: bool = False,
    ) -> None:
        self.log = log
        self.news = news
        self.threads = threads
        self.workflow = workflow
        self.step = step
        self.index = index
        self.attempt = attempt
        self.token = token
        self.worker = worker
        self._slots = slots
        self.inputs: dict[str, Any] = {}
        self.trace: e.Trace | None = None
        #: Set when the task was cancelled or its claim lost.
        self.revoked = False
        #: Effects of one series are shared: of all attempts, or of one when each begins anew.
        self._series = attempt if retry_from_scratch else 1
        self._writes = 0
        self._writing: anyio.Lock | None = None
        self._names: dict[tuple[str, str], int] = {}

    @property
    def _lost_text(self) -> str:
        place = f"{self.step}[{self.index}] of workflow {self.workflow}"
        return f"task {place} was cancelled or handed to another worker"

    def check(self) -> None:
        """Raises ClaimLost when the task is no longer ours."""
        if self.revoked:
            raise ClaimLost(self._lost_text)

    async def request_agent(self, name: str, spec: e.JobSpec) -> tuple[str, str]:
        """Ask for an agent, or find the one this task asked for before; returns (job, effect)."""
        self.check()
        occurrence = self._count("agent", name)
        effect = self._effect("agent", name, occurrence)
        found = await self.log.scripts.request_job(
            self.workflow,
            step=self.step,
            index=self.index,
            token=self.token,
            effect=effect,
            base=job_id(self.step, self.index, name, occurrence, self._series),
            rest=_encode({"attempt": self.attempt, "name": name, "spec": spec}).decode(),
        )
        if isinstance(found, Lost):
            self.lose()
        return found.job, effect

    def _count(self, kind: str, name: str) -> int:
        """How many effects of this kind and name the body has had so far, this one included."""
        number = self._names[(kind, name)] = self._names.get((kind, name), 0) + 1
        return number

    def _effect(self, kind: str, name: str, occurrence: int) -> str:
        series = f"@{self._series}" if self._series > 1 else ""
        return f"{kind}:{self.step}:{self.index}{series}:{name}:{occurrence}"

    async def once(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The recorded value of this name and occurrence; made and recorded the first time."""
        effect = self._next_effect(name)
        key = self.log.keys.workflow(self.workflow, "effects")
        known = await self.log.connection.call(lambda: self.log.redis.hget(key, effect["effect"]))
        if known is not None:
            return decode(known)
        limit = self.log.settings.payload_limit
        value = encode(await make(), what=f"the result of run({name!r})", limit=limit)
        stands = await self.log.scripts.record_effect(
            self.workflow, value=bytes(value).decode(), **effect
        )
        if isinstance(stands, Lost):
            self.lose()
        return decode(stands.encode())

    async def sleep(self, name: str, seconds: float) -> None:
        """Sleep what is left of a sleep of this name and occurrence; others may have our slot."""
        left = await self.log.scripts.record_sleep(
            self.workflow, seconds=seconds, **self._next_effect(name)
        )
        if isinstance(left, Lost):
            self.lose()
        self._slots.give()
        try:
            await anyio.sleep(left)
        finally:
            self._slots.take()
        self.check()

    def _next_effect(self, name: str) -> Effect:
        """The next occurrence of what the body does once under this name."""
        self.check()
        return {
            "step": self.step,
            "index": self.index,
            "token": self.token,
            "effect": self._effect("run", name, self._count("run", name)),
            "name": _encode(name).decode(),
        }

    async def outcome(self, job: str, effect: str) -> tuple[str, str]:
        """Wait until the agent has settled; (event type, event data as JSON).

        Raises ClaimLost when the agent is not there any more.
        """
        while True:
            self.check()
            event = self.news.expect(self.workflow, job)
            settled = await self.log.settled(self.workflow, effect)
            if settled is None or settled[0] != job:  # Redis lost that it was asked for
                self.lose()
            if settled[1]:
                return settled[1], settled[2]
            with anyio.move_on_after(clock.at_most(RECHECK)):
                await event.wait()

    async def stop_agent(self, job: str) -> None:
        word = await self.log.scripts.stop_job(
            self.workflow, step=self.step, index=self.index, token=self.token, job=job
        )
        if word == "lost":
            self.lose()

    async def read_state(self, key: str) -> Any:
        """Raises KeyError."""
        name = self.log.keys.workflow(self.workflow, "state")
        data = await self.log.connection.call(lambda: self.log.redis.hget(name, key))
        if data is None:
            raise KeyError(key)
        return decode(data)

    async def read_all_state(self) -> dict[str, Any]:
        return await read_state(self.log, self.workflow)

    async def change_state(self, changes: list[dict[str, Any]]) -> list[Any]:
        """Apply changes at once; returns the JSON of the sum of each incr, None for others."""
        self.check()
        self._writing = self._writing or anyio.Lock()
        async with self._writing:
            self._writes += 1
            answer = await self.log.scripts.change_state(
                self.workflow,
                by=self.worker,
                changes=changes,
                claim={
                    "step": self.step,
                    "index": self.index,
                    "token": self.token,
                    "write": self._writes,
                },
                limit=self.log.settings.payload_limit,
            )
        match answer:
            case StateRefused(key, problem):
                raise PayloadError(f"state[{key!r}]: {problem}")
            case Lost() | Missing() | Ended():
                self.lose()
            case _:
                return answer

    def lose(self) -> NoReturn:
        """Note that the claim is gone."""
        self.revoked = True
        raise ClaimLost(self._lost_text)


async def read_state(log: EventLog, workflow: str) -> dict[str, Any]:
    name = log.keys.workflow(workflow, "state")
    found = await log.connection.call(lambda: log.redis.hgetall(name))
    return {key.decode(): decode(value) for key, value in found.items()}


def set_change(key: str, value: Any, settings: Settings) -> dict[str, Any]:
    """What the script is told; a value above the inline limit is not in the event."""
    data = bytes(encode(value, what=f"state[{key!r}]", limit=settings.payload_limit))
    change = {"op": "set", "key": check_key(key), "value": data.decode()}
    if len(data) <= settings.inline_limit:
        return {**change, "event": '"value":' + change["value"]}
    blob = e.Blob(digest(data), len(data))
    return {**change, "event": '"blob":' + _encode(blob).decode(), "digest": blob.digest}


def append_change(key: str, item: Any, settings: Settings) -> dict[str, Any]:
    return {**set_change(key, item, settings), "op": "append"}


def delete_change(key: str) -> dict[str, Any]:
    return {"op": "delete", "key": check_key(key)}


def incr_change(key: str, by: object) -> dict[str, Any]:
    if isinstance(by, bool) or not isinstance(by, int | float) or not math.isfinite(by):
        raise PayloadError(f"state[{key!r}]: incr takes a number, got {by!r}")
    return {"op": "incr", "key": check_key(key), "by": by}


def check_key(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= 500:
        raise PayloadError(f"a state key is a text of 1 to 500 characters, got {key!r}")
    return key
