"""`agentainer up`: serve workflows until a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.abc

from ..core.connection import redact
from ..core.log import EventLog
from ..core.settings import Settings
from ..reactors.runtimes.choose import choose_runtime
from ..sdk.client import connect
from ..sdk.graph import WorkflowCode
from ..sdk.loop import run_loop
from ..sdk.registry import load
from ..sdk.service import Service
from .output import say
from .session import prepare


def up(references: Sequence[str], *, slots: int | None, agent_slots: int | None) -> None:
    settings = prepare(slots=slots, agent_slots=agent_slots)
    codes = list({code.name: code for name in references for code in load(name)}.values())
    run_loop(lambda: until_signal(lambda: serve(settings, codes)))


async def serve(settings: Settings, codes: Sequence[WorkflowCode]) -> None:
    async with connect(settings) as log:
        runtime = await describe_runtime(log)
        async with anyio.create_task_group() as tasks:
            await tasks.start(Service(log, codes).run)
            for code in codes:
                say(f"serving {code.name} ({code.reference}): {', '.join(code.steps)}")
            say(f"redis    {redact(log.connection.url)}")
            say(f"runtime  {runtime}")
            say("ready; Ctrl-C stops")


async def describe_runtime(log: EventLog) -> str:
    """Which runtime agents will get, and why. Raises RuntimeUnavailable before work is accepted."""
    choice = await choose_runtime(log.settings, await log.installation())
    await choice.runtime.close()
    return choice.why


async def until_signal(main: Callable[[], Awaitable[None]]) -> None:
    """Run `main`; cancel it at the first SIGINT or SIGTERM, leave at once at the second."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            await tasks.start(_listen, scope)
            await main()
        tasks.cancel_scope.cancel()


async def _listen(
    scope: anyio.CancelScope,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if scope.cancel_called:
                os._exit(128 + number)
            say(f"{number.name}: handing over; once more stops at once")
            scope.cancel()
