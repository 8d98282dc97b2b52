"""What the agents of a run wrote: what is kept of it, and more as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ..core import events as e
from ..core.log import EventLog, decode_entry
from ..core.tail import Entry
from .handle import read_view

#: A job ends with one of these.
Settled = e.JobSucceeded | e.JobFailed | e.JobCancelled


class Line(msgspec.Struct, frozen=True):
    """One line of an agent's output. `ts` is ms of the launcher's clock."""

    job: str
    ts: int
    stream: str
    text: str


class Wanted(msgspec.Struct, frozen=True):
    """Whose output is asked for; None means everybody's."""

    step: str | None = None
    index: int | None = None

    def has(self, step: str, index: int) -> bool:
        return self.step in (None, step) and self.index in (None, index)


async def kept_lines(log: EventLog, workflow: str, wanted: Wanted) -> AsyncIterator[Line]:
    """The lines there are, agent by agent. Raises WorkflowNotFound."""
    view = await read_view(log, workflow)
    for job in view.jobs.values():
        if wanted.has(job.step, job.index):
            for entry in await _read(log, _key(log, workflow, job.id), "0-0"):
                yield _line(job.id, entry)


async def follow_lines(log: EventLog, workflow: str, wanted: Wanted) -> AsyncIterator[Line]:
    """The lines there are, then live, until the run ends."""
    follower = _Follower(log, workflow, wanted)
    async for lines in follower.run():
        for line in lines:
            yield line


class _Follower:
    """Follow the log, and for every agent that it shows to be at work, the agent's output."""

    def __init__(self, log: EventLog, workflow: str, wanted: Wanted) -> None:
        self._log = log
        self._workflow = workflow
        self._wanted = wanted
        self._outputs: dict[str, _Output] = {}
        self._last = {log.keys.events(workflow): "0-0"}

    async def run(self) -> AsyncIterator[list[Line]]:
        async for key, entries in self._log.connection.follow(self._last):
            if key in self._outputs:
                yield self._outputs[key].take(entries)
                continue
            for recorded in map(decode_entry, entries):
                yield await self._take(recorded.event)
                if recorded.type in e.TERMINAL:
                    return

    async def _take(self, event: e.Event) -> list[Line]:
        match event:
            case e.JobRequested(job=job, step=step, index=index) if self._wanted.has(step, index):
                key = _key(self._log, self._workflow, job)
                self._outputs[key], self._last[key] = _Output(job), "0-0"
            case e.JobLaunched(job=job, adopted=True):
                if output := self._outputs.get(_key(self._log, self._workflow, job)):
                    output.begin_anew()
            case e.JobSucceeded() | e.JobFailed() | e.JobCancelled():
                return await self._finish(event)
            case _:
                pass
        return []

    async def _finish(self, event: Settled) -> list[Line]:
        """The rest of what an agent wrote: its output is complete before its end is recorded."""
        key = _key(self._log, self._workflow, event.job)
        output = self._outputs.pop(key, None)
        if output is None:
            return []
        return output.take(await _read(self._log, key, self._last.pop(key)))


class _Output:
    """How much of one agent's output was shown; who adopts an agent writes all of it once more."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._shown = 0
        self._again = 0

    def begin_anew(self) -> None:
        self._again, self._shown = self._shown, 0

    def take(self, entries: list[Entry]) -> list[Line]:
        new = entries[max(0, self._again - self._shown) :]
        self._shown += len(entries)
        return [_line(self._job, entry) for entry in new]


def _key(log: EventLog, workflow: str, job: str) -> str:
    return log.keys.workflow(workflow, "job", job, "logs")


async def _read(log: EventLog, key: str, after: str) -> list[Entry]:
    entries: Any = await log.connection.call(lambda: log.redis.xrange(key, min=f"({after}"))
    found: list[Entry] = entries
    return found


def _line(job: str, entry: Entry) -> Line:
    _, fields = entry
    text = fields[b"text"].decode(errors="replace")
    return Line(job, int(fields[b"ts"]), fields[b"stream"].decode(), text)
