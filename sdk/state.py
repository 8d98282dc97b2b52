"""Workflow state as a step sees it: shared by all tasks, every change atomic and in the log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.errors import FlowError
from ..core.threads import Blocking
from .task import Task, append_change, delete_change, incr_change, set_change

_MISSING = object()


class AsyncState:
    """State seen from an async step: `await context.state.get("k")`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._settings = task.log.settings

    async def get(self, key: str, default: Any = None) -> Any:
        try:
            return await self._task.read_state(key)
        except KeyError:
            return default

    async def set(self, key: str, value: Any) -> None:
        await self._task.change_state([set_change(key, value, self._settings)])

    async def delete(self, key: str) -> None:
        """Remove a key. Harmless when it is not there."""
        await self._task.change_state([delete_change(key)])

    async def incr(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 when missing) and return the new value."""
        (value,) = await self._task.change_state([incr_change(key, by)])
        return _number(value)

    async def append(self, key: str, item: Any) -> None:
        """Add an item to a list (empty when missing)."""
        await self._task.change_state([append_change(key, item, self._settings)])

    async def update(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Set several keys at once: all or none."""
        pairs = {**(values or {}), **more}
        if pairs:
            await self._task.change_state(
                [set_change(key, value, self._settings) for key, value in pairs.items()]
            )

    async def all(self) -> dict[str, Any]:
        return await self._task.read_all_state()

    async def __getitem__(self, key: str) -> Any:
        return await self._task.read_state(key)

    def __setitem__(self, key: str, value: Any) -> None:
        raise FlowError(
            f"state[{key!r}] = … cannot be awaited; in async steps write "
            f"`await context.state.set({key!r}, …)`"
        )


class State:
    """State seen from a plain step: used like a dict, every change is atomic in Redis."""

    def __init__(self, state: AsyncState, blocking: Blocking) -> None:
        self._state = state
        self._blocking = blocking

    def get(self, key: str, default: Any = None) -> Any:
        return self._blocking(self._state.get, key, default)

    def set(self, key: str, value: Any) -> None:
        self._blocking(self._state.set, key, value)

    def delete(self, key: str) -> None:
        """Remove a key. Harmless when it is not there."""
        self._blocking(self._state.delete, key)

    def incr(self, key: str, by: float = 1) -> Any:
        """Add to a number (0 when missing) and return the new value."""
        return self._blocking(self._state.incr, key, by)

    def append(self, key: str, item: Any) -> None:
        """Add an item to a list (empty when missing)."""
        self._blocking(self._state.append, key, item)

    def update(self, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Set several keys at once: all or none."""
        self._blocking(self._state.update, {**(values or {}), **more})

    def all(self) -> dict[str, Any]:
        found: dict[str, Any] = self._blocking(self._state.all)
        return found

    def __getitem__(self, key: str) -> Any:
        return self._blocking(self._state.__getitem__, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())


def _number(text: Any) -> Any:
    value = text.decode() if isinstance(text, bytes) else str(text)
    return int(value) if value.lstrip("-").isdigit() else float(value)
