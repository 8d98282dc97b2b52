"""Workflows without agents, for tests of roles in processes of their own."""

from __future__ import annotations

import os

import anyio

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow


@workflow(name="gated")
class Gated(Workflow):
    """Task n notes that it began and ends when the file `$TRACES.<n>` is there."""

    @step()
    @parallel()
    async def wait(self, context: AsyncContext, item: int) -> int:
        traces = os.environ["TRACES"]
        async with await anyio.open_file(traces, "a") as file:
            await file.write(f"{item}\n")
        while not await anyio.Path(f"{traces}.{item}").exists():  # noqa: ASYNC110 a test opens it
            await anyio.sleep(0.02)
        return item


@workflow(name="many")
class Many(Workflow):
    @step(queue="crowd")
    @parallel()
    async def work(self, context: AsyncContext, item: int) -> int:
        return item
