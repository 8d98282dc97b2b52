"""Workflows that the API tests create."""

from __future__ import annotations

from agentainer_flow import AsyncContext, parallel, step, workflow


@workflow(name="greet")
class Greet:
    @step()
    async def say(self, context: AsyncContext, name: str) -> str:
        await context.state.set("greeted", name)
        return f"hello {name}"


@workflow(name="waits")
class Waits:
    """Goes on once somebody sets `go` in its state."""

    @step()
    async def wait(self, context: AsyncContext) -> str:
        while not await context.state.get("go"):
            await context.sleep(0.01)
        return "went"


@workflow(name="doubles")
class Doubles:
    @step()
    @parallel()
    async def double(self, context: AsyncContext, number_id: int) -> int:
        return number_id * 2

    @step()
    async def total(self, context: AsyncContext, double: list[int]) -> int:
        return sum(double)


@workflow(name="computed")
class Computed:
    @step()
    @parallel(over=lambda inputs: range(inputs["n"]))
    async def one(self, context: AsyncContext, item: int) -> int:
        return item


CLASSES = (Greet, Waits, Doubles, Computed)
