"""A way to either Redis that loses replies: what was asked is done, and nobody hears of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

from agentainer_flow.core.memory import find_server
from agentainer_flow.core.memory.values import Args, Failure, Reply

from ..integration.lossy import lossy_way


class Losing(Protocol):
    #: Replies lost so far.
    lost: int

    def lose_reply(self, nth: int = 1, *, times: int = 1) -> None:
        """Lose the reply of the n-th call of a script from now on, and of those that follow it."""


class _Faults:
    """Loses replies of the Redis in memory, by a cut after the command."""

    def __init__(self) -> None:
        self.lost = 0
        self._until_loss = 1
        self._to_lose = 0

    def lose_reply(self, nth: int = 1, *, times: int = 1) -> None:
        self._until_loss, self._to_lose = nth, times

    def before(self, command: Args) -> float:
        return 0

    def after(self, command: Args, reply: Reply) -> float:
        if command[0] != b"FCALL" or isinstance(reply, Failure) or not self._to_lose:
            return 0
        self._until_loss = max(0, self._until_loss - 1)
        if self._until_loss == 0:
            self._to_lose -= 1
            self.lost += 1
            raise ConnectionError
        return 0


@asynccontextmanager
async def losing_way(url: str) -> AsyncGenerator[tuple[Losing, str], None]:
    """A way to the server at a unix:// or memory:// URL, and the URL of its near end."""
    if not url.startswith("memory://"):
        async with lossy_way(url) as (lossy, near):
            yield lossy, near
        return
    name, faults = url.removeprefix("memory://"), _Faults()
    find_server(name).faults = lambda session: faults if session.client == "lossy" else None
    yield faults, f"memory://lossy@{name}"
