"""Wait until what nobody signals has come about."""

from __future__ import annotations

from collections.abc import Callable

import anyio


async def until(condition: Callable[[], object], *, seconds: float = 30) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 what is waited for tells nobody
            await anyio.sleep(0.002)
