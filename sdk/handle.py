"""A run seen from outside: its status, result, events and state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any, Unpack

import anyio

from ..core import clock
from ..core import events as e
from ..core.endings import RECHECK
from ..core.errors import AgentTimeout, WorkflowCancelled, WorkflowFailed
from ..core.events import TERMINAL, Recorded
from ..core.log import EventLog
from ..core.settings import Settings
from ..projections.documents import WorkflowDocument, document
from . import client, forking
from .client import read_view as read_view
from .connections import shared
from .execution import load
from .fork_plan import Changes, wish_of
from .portal import call, iterate
from .task import read_state


class Handle:
    """A run, for async callers."""

    def __init__(self, workflow: str, settings: Settings) -> None:
        self.id = workflow
        self._settings = settings

    async def status(self) -> str:
        """`running`, `completed`, `failed`, `cancelled` …; raises WorkflowNotFound."""
        return (await self.document()).status

    async def document(self) -> WorkflowDocument:
        """Everything about the run as of now, folded from its log."""
        log = await shared(self._settings)
        view = await read_view(log, self.id)
        return document(view, await log.get_definition(view.definition_digest))

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result.

        Raises WorkflowFailed, WorkflowCancelled; AgentTimeout after `timeout` seconds.
        """
        return await wait_result(await shared(self._settings), self.id, timeout)

    async def events(self, after: int = 0) -> AsyncIterator[Recorded]:
        """Events above version `after`: first those there are, then live, until the run ends."""
        log = await shared(self._settings)
        async for recorded in follow_to_end(log, self.id, after=after):
            yield recorded

    async def state(self) -> dict[str, Any]:
        log = await shared(self._settings)
        return await read_state(log, self.id)

    async def pause(self, *, freeze: bool = False) -> None:
        """Start nothing new; with `freeze` running agents stand still. Raises Refused."""
        log = await shared(self._settings)
        await client.pause(log, self.id, freeze=freeze)

    async def resume(self) -> None:
        """Go on after a pause. Raises Refused."""
        log = await shared(self._settings)
        await client.resume(log, self.id)

    async def cancel(self, reason: str = "") -> None:
        """Stop its agents and end it; returns when that is accepted. Raises Refused."""
        log = await shared(self._settings)
        await client.cancel(log, self.id, reason=reason)

    async def fork(self, **wish: Unpack[Changes]) -> Handle:
        """Start a run that takes over what this one did and runs the rest; see `Changes`.

        Raises InputError for what is not there, Refused when nothing would run again.
        """
        log = await shared(self._settings)
        wanted = wish_of(wish, self._settings)
        planned = await forking.plan(log, self.id, wanted)
        return Handle(await forking.fork(log, planned, wanted), self._settings)


class SyncHandle:
    """A run, for plain callers."""

    def __init__(self, handle: Handle) -> None:
        self.id = handle.id
        self._handle = handle

    def status(self) -> str:
        """`running`, `completed`, `failed`, `cancelled` …; raises WorkflowNotFound."""
        return call(self._handle.status)

    def document(self) -> WorkflowDocument:
        """Everything about the run as of now, folded from its log."""
        return call(self._handle.document)

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result; see `Handle.result`."""
        return call(self._handle.result, timeout)

    def events(self, after: int = 0) -> Iterator[Recorded]:
        """Events above version `after`: first those there are, then live, until the run ends."""
        return iterate(self._handle.events, after)

    def state(self) -> dict[str, Any]:
        return call(self._handle.state)

    def pause(self, *, freeze: bool = False) -> None:
        """Start nothing new; with `freeze` running agents stand still. Raises Refused."""
        call(partial(self._handle.pause, freeze=freeze))

    def resume(self) -> None:
        """Go on after a pause. Raises Refused."""
        call(self._handle.resume)

    def cancel(self, reason: str = "") -> None:
        """Stop its agents and end it; returns when that is accepted. Raises Refused."""
        call(self._handle.cancel, reason)

    def fork(self, **wish: Unpack[Changes]) -> SyncHandle:
        """Start a run that takes over what this one did and runs the rest; see `Handle.fork`."""
        return SyncHandle(call(partial(self._handle.fork, **wish)))


async def follow_to_end(log: EventLog, workflow: str, *, after: int = 0) -> AsyncIterator[Recorded]:
    """Events above `after` until the one that ends the run; nothing when that has passed."""
    last = await log.read_last(workflow)
    if last.type in TERMINAL and after >= last.version:
        return
    if last.type in TERMINAL:
        for recorded in await log.read(workflow, after=after, archived=True):
            yield recorded
        return
    async for batch in log.follow(workflow, after=after):
        for recorded in batch:
            yield recorded
            if recorded.type in TERMINAL:
                return


async def wait_result(log: EventLog, workflow: str, timeout: float | None) -> Any:
    """Wait for the end of a run and return its result; raises as `Handle.result`."""
    try:
        with anyio.fail_after(timeout):
            end = await wait_ended(log, workflow)
    except TimeoutError:
        raise AgentTimeout(f"workflow {workflow} still runs after {timeout:g} s") from None
    return await result_of(log, workflow, end)


async def wait_ended(log: EventLog, workflow: str) -> Recorded:
    """Wait for the event that ends the run. Raises WorkflowNotFound."""
    last = await log.read_last(workflow)
    if last.type in TERMINAL:
        return last
    async with log.endings.watch(workflow) as ended:
        while (last := await log.read_last(workflow)).type not in TERMINAL:
            with anyio.move_on_after(clock.at_most(RECHECK)):
                await ended.wait()
        return last


async def result_of(log: EventLog, workflow: str, end: Recorded) -> Any:
    """The result of a run that ended so. Raises WorkflowFailed or WorkflowCancelled."""
    match end.event:
        case e.WorkflowCompleted(result=result, blob=blob):
            return await load(log, workflow, blob or result)
        case e.WorkflowFailed() as event:
            raise failure_of(workflow, await log.name(workflow), event)
        case e.WorkflowCancelled(reason=why):
            reason = f"workflow {await log.name(workflow)} ({workflow}) was cancelled"
            raise WorkflowCancelled(workflow, reason + (f": {why}" if why else ""))
        case _:
            raise ValueError(f"workflow {workflow} has not ended, its last event is {end.type}")


def failure_of(workflow: str, name: str, event: e.WorkflowFailed) -> WorkflowFailed:
    task = f" in step {event.step!r}" if event.step else ""
    task += f", task {event.index}" if event.index is not None else ""
    error = event.error
    return WorkflowFailed(
        workflow,
        f"workflow {name} ({workflow}) failed{task}: {error.type}: {error.message}",
        step=event.step,
        index=event.index,
        cause=error.type,
        last_lines=error.last_lines,
    )
