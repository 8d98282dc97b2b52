"""`@on("workflow.completed")`: functions that the worker of their module calls with events."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
import msgspec

from ..core.cloudevents import CloudEvent
from ..core.errors import DefinitionError
from ..core.log import EventLog
from .subscriptions import Subscription

F = TypeVar("F", bound=Callable[[CloudEvent], Any])


class Hook(msgspec.Struct, frozen=True):
    """A function, and the events it is called with."""

    name: str
    function: Callable[[CloudEvent], Any]
    types: tuple[str, ...]
    workflow: str | None

    async def call(self, event: CloudEvent) -> None:
        if inspect.iscoroutinefunction(self.function):
            await self.function(event)
        else:
            await anyio.to_thread.run_sync(partial(self.function, event))


_hooks: dict[str, Hook] = {}


def on(*types: str, workflow: str | None = None, name: str | None = None) -> Callable[[F], F]:
    """Have a function called with each event of these types, at least once, by one worker.

    `workflow` is the name of a definition. `name` is what Redis keeps its place under, so that
    nothing is missed while no worker runs; without one it is the function's. Events of one run
    come in order. A call that raises is made again, five times, then its event is parked.
    """
    if types and callable(types[0]):
        raise DefinitionError("@on", 'write @on("workflow.completed"), with the types of events')

    def register(function: F) -> F:
        label = name or f"on.{function.__module__}.{function.__qualname__}".replace("<locals>.", "")
        _hooks[label] = Hook(label, function, types, workflow)
        return function

    return register


def hooks() -> list[Hook]:
    """Those of all modules that have been imported."""
    return list(_hooks.values())


async def serve_hooks(log: EventLog) -> None:
    """Call all hooks with what happens, for ever."""
    async with anyio.create_task_group() as tasks:
        for hook in hooks():
            names = [hook.workflow] if hook.workflow else []
            subscription = Subscription(log, hook.name, types=hook.types, names=names)
            await subscription.open()
            tasks.start_soon(subscription.handle, hook.call)
