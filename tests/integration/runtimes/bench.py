"""What the tests of the runtimes share: launching and watching a bit of Python."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from msgspec.structs import replace

from agentainer_flow.core.errors import CannotLaunch
from agentainer_flow.reactors.runtimes.contract import Launch, Limits, LogLine, Outcome, Runtime

IMAGE = "agentainer-python:latest"

#: Python for agents: say `ready` and then wait to be stopped.
READY = "import signal; print('ready', flush=True); signal.pause()"
#: Python for agents: answer with how often this job was run.
COUNT_RUNS = """
import os, pathlib
share = pathlib.Path(os.environ['AGENTAINER_RESULT_PATH']).parent
with (share / 'runs').open('a') as runs: runs.write('x')
print(len((share / 'runs').read_text()))
"""
#: Python for agents: `answer(bytes)` writes the result file.
ANSWER = """
import os
def answer(data): open(os.environ['AGENTAINER_RESULT_PATH'], 'wb').write(data)
"""


async def nowhere(lines: list[LogLine]) -> None:
    """Take lines and forget them."""


def launch(
    code: str, *, job: str = "job-1", env: dict[str, str] | None = None, **limits: Any
) -> Launch:
    return Launch(
        workflow="w1",
        step="prepare",
        index=2,
        attempt=1,
        job=job,
        image=IMAGE,
        command=("python", "-c", code),
        env=env or {},
        limits=replace(Limits(grace_s=5.0), **limits),
    )


class Seen:
    """What came out of a followed job so far."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.outcome = Outcome(kind="lost", reason="still followed")
        self._more = anyio.Event()

    def texts(self, stream: str = "stdout") -> list[str]:
        return [line.text for line in self.lines if line.stream == stream]

    async def sink(self, lines: list[LogLine]) -> None:
        self.lines += lines
        self._more.set()
        self._more = anyio.Event()

    async def until(self, text: str) -> None:
        with anyio.fail_after(20):
            while text not in self.texts():
                await self._more.wait()


async def adopts(runtime: Runtime, job: Launch) -> bool:
    started = await runtime.start(job)
    assert started is not None
    return started.adopted


class Bench:
    """A runtime under test. `another()` is the same as seen by a process that comes later."""

    def __init__(self, runtime: Runtime, another: Callable[[], Awaitable[Runtime]]) -> None:
        self.runtime = runtime
        self.another = another

    async def adopts(self, job: Launch) -> bool:
        """Start a job; whether it was there."""
        return await adopts(self.runtime, job)

    async def run(self, job: Launch) -> Seen:
        """Start, follow, remove."""
        await self.runtime.start(job)
        seen = Seen()
        seen.outcome = await self.runtime.follow(job, seen.sink)
        await self.runtime.remove(job)
        return seen

    async def outcome(self, job: Launch) -> Outcome:
        """Run a job that may not even start, as a launcher records it."""
        try:
            return (await self.run(job)).outcome
        except CannotLaunch as error:
            return Outcome(kind=error.kind, reason=error.reason)  # type: ignore[arg-type]

    @asynccontextmanager
    async def following(self, job: Launch) -> AsyncGenerator[Seen, None]:
        """Follow a job, started or adopted, while the body runs and then to its end."""
        await self.runtime.start(job)
        seen = Seen()

        async def follow() -> None:
            seen.outcome = await self.runtime.follow(job, seen.sink)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            yield seen
