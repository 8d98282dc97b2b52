"""A run seen from outside: its status, result, events and state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio

from ..core.errors import AgentTimeout, WorkflowCancelled, WorkflowFailed, WorkflowNotFound
from ..core.events import TERMINAL, Recorded
from ..core.log import EventLog
from ..core.settings import Settings
from ..projections.documents import WorkflowDocument, document
from ..projections.workflow import WorkflowView
from . import client
from .client import read_view as read_view
from .execution import load
from .portal import call, iterate
from .task import read_state


class Handle:
    """A run, for async callers. Every call opens a connection of its own."""

    def __init__(self, workflow: str, settings: Settings) -> None:
        self.id = workflow
        self._settings = settings

    async def status(self) -> str:
        """`running`, `completed`, `failed`, `cancelled` …; raises WorkflowNotFound."""
        return (await self.document()).status

    async def document(self) -> WorkflowDocument:
        """Everything about the run as of now, folded from its log."""
        async with client.connect(self._settings) as log:
            view = await read_view(log, self.id)
            return document(view, await log.get_definition(view.definition_digest))

    async def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result.

        Raises WorkflowFailed, WorkflowCancelled; AgentTimeout after `timeout` seconds.
        """
        async with client.connect(self._settings) as log:
            try:
                with anyio.fail_after(timeout):
                    await wait_ended(log, self.id)
            except TimeoutError:
                raise AgentTimeout(f"workflow {self.id} still runs after {timeout} s") from None
            return await result_of(log, await read_view(log, self.id))

    async def events(self, after: int = 0) -> AsyncIterator[Recorded]:
        """Events above version `after`: first those there are, then live, until the run ends."""
        async with client.connect(self._settings) as log:
            if not await log.exists(self.id):
                raise WorkflowNotFound(self.id)
            async for recorded in follow_to_end(log, self.id, after=after):
                yield recorded

    async def state(self) -> dict[str, Any]:
        async with client.connect(self._settings) as log:
            return await read_state(log, self.id)

    async def pause(self, *, freeze: bool = False) -> None:
        """Start nothing new; with `freeze` running agents stand still. Raises Refused."""
        async with client.connect(self._settings) as log:
            await client.pause(log, self.id, freeze=freeze)

    async def resume(self) -> None:
        """Go on after a pause. Raises Refused."""
        async with client.connect(self._settings) as log:
            await client.resume(log, self.id)

    async def cancel(self, reason: str = "") -> None:
        """Stop its agents and end it; returns when that is accepted. Raises Refused."""
        async with client.connect(self._settings) as log:
            await client.cancel(log, self.id, reason=reason)


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


async def follow_to_end(log: EventLog, workflow: str, *, after: int = 0) -> AsyncIterator[Recorded]:
    """Events above `after` until the one that ends the run; nothing when that has passed."""
    view = await read_view(log, workflow)
    if view.ended and after >= view.version:
        return
    async for batch in log.follow(workflow, after=after):
        for recorded in batch:
            yield recorded
            if recorded.type in TERMINAL:
                return


async def wait_ended(log: EventLog, workflow: str) -> None:
    async for _ in follow_to_end(log, workflow):
        pass


async def result_of(log: EventLog, view: WorkflowView) -> Any:
    """The result of an ended run. Raises WorkflowFailed or WorkflowCancelled."""
    if view.status == "completed" and view.result is not None:
        return await load(log, view.id, view.result)
    if view.status == "cancelled":
        reason = f"workflow {view.name} ({view.id}) was cancelled"
        raise WorkflowCancelled(view.id, reason + (f": {view.reason}" if view.reason else ""))
    raise failure_of(view)


def failure_of(view: WorkflowView) -> WorkflowFailed:
    event = view.error
    if event is None:
        raise ValueError(f"workflow {view.id} is {view.status}")
    task = f" in step {event.step!r}" if event.step else ""
    task += f", task {event.index}" if event.index is not None else ""
    error = event.error
    return WorkflowFailed(
        view.id,
        f"workflow {view.name} ({view.id}) failed{task}: {error.type}: {error.message}",
        step=event.step,
        index=event.index,
        cause=error.type,
        last_lines=error.last_lines,
    )
