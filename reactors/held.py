"""The workflows that an engine has in memory."""

from __future__ import annotations

from collections import OrderedDict

import anyio

from ..core.definition import Definition
from ..projections.workflow import WorkflowView
from .binding import Cache

#: Events that the workflows in memory have together, of some 0.5 KB each there. A workflow that is
#: wanted again after it had to go is folded from its log.
MOST = 400_000


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
        #: Events that it was counted with.
        self.counted = 0
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

    def restart(self, view: WorkflowView) -> None:
        """Begin again with a view of another log."""
        self.view = view
        self.cache = Cache()


class Holdings:
    """Workflows by id; those that were wanted least recently go first."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._events = 0

    def get(self, workflow: str) -> Held | None:
        held = self._held.get(workflow)
        if held:
            self._held.move_to_end(workflow)
            self._count(held)
        return held

    def _count(self, held: Held) -> None:
        self._events += held.view.version - held.counted
        held.counted = held.view.version

    def add(self, held: Held) -> Held:
        self.drop(held.view.id)
        self._held[held.view.id] = held
        self._count(held)
        while self._events > MOST and (oldest := self._oldest_besides(held)):
            self.drop(oldest)
        return held

    def _oldest_besides(self, added: Held) -> str | None:
        return next(
            (x.view.id for x in self._held.values() if not x.is_busy and x is not added), None
        )

    def drop(self, workflow: str) -> None:
        if held := self._held.pop(workflow, None):
            self._events -= held.counted

    def clear(self) -> None:
        self._held.clear()
        self._events = 0

    def all(self) -> list[Held]:
        return list(self._held.values())
