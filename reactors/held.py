"""The workflows that an engine has in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from ..core.definition import Definition
from ..projections.workflow import WorkflowView
from .binding import Cache

#: Workflows in memory; one that is wanted again after that is folded from its log.
MOST = 5000


class Held:
    """A workflow in memory: its view, its definition, and what decisions had to look up.

    Whoever is about to decide on it and to commit takes it for themselves, until they release it.
    """

    def __init__(
        self, view: WorkflowView, definition: Definition, *, is_proven: bool = True
    ) -> None:
        self.view = view
        #: The view is what the log has; if not, it may lack what another engine committed.
        self.is_proven = is_proven
        self.definition = definition
        self.cache = Cache()
        self.is_busy = False
        #: Set at the next release; there is one only while somebody waits for that.
        self._released: anyio.Event | None = None

    async def take(self) -> None:
        while self.is_busy:
            self._released = self._released or anyio.Event()
            await self._released.wait()
        self.is_busy = True

    def take_now(self) -> None:
        self.is_busy = True

    def release(self) -> None:
        self.is_busy = False
        if self._released:
            self._released.set()
            self._released = None

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        await self.take()
        try:
            yield
        finally:
            self.release()

    def restart(self, view: WorkflowView) -> None:
        """Begin again with a view of another log."""
        self.view = view
        self.cache = Cache()


class Holdings:
    """Workflows by id; those that were wanted least recently go first."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()

    def get(self, workflow: str) -> Held | None:
        held = self._held.get(workflow)
        if held:
            self._held.move_to_end(workflow)
        return held

    def add(self, held: Held) -> Held:
        self._held[held.view.id] = held
        if len(self._held) > MOST:
            self._forget_oldest()
        return held

    def _forget_oldest(self) -> None:
        oldest = next((name for name, held in self._held.items() if not held.is_busy), None)
        if oldest:
            del self._held[oldest]

    def drop(self, workflow: str) -> None:
        self._held.pop(workflow, None)

    def clear(self) -> None:
        self._held.clear()

    def all(self) -> list[Held]:
        return list(self._held.values())
