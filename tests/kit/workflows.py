"""Workflows for the tests of the test kit."""

from __future__ import annotations

from typing import Any

import anyio

from agentainer_flow import AsyncContext, Context, parallel, step, workflow


@workflow(name="sums")
class Sums:
    """A step, a fan-out and a step."""

    @step()
    def load(self, context: Context, numbers: list[int]) -> list[int]:
        context.state["loaded"] = len(numbers)
        return numbers

    @step(retries=2, backoff=10)
    @parallel(over="load", max_workers=2)
    def double(self, context: Context, item: int) -> int:
        return item * 2

    @step()
    async def total(self, context: AsyncContext, double_results: list[int]) -> int:
        await context.state.set("total", sum(double_results))
        return sum(double_results)


@workflow(name="slow_one")
class SlowOne:
    """A plain and an async step that take their time."""

    @step()
    def first(self, context: Context) -> str:
        context.sleep(3600)
        return context.now().isoformat()

    @step(depends_on=["first"], timeout=60)
    async def second(self, context: AsyncContext) -> str:
        await anyio.sleep(30)
        return (await context.now()).isoformat()


@workflow(name="asks_an_agent")
class Asks:
    """A step that asks an agent."""

    def __init__(self, image: str = "ghcr.io/team/thinker:2") -> None:
        self.image = image

    @step(retries=1, backoff=5)
    def ask(self, context: Context, question: str) -> Any:
        agent = context.deploy_agent("thinker", self.image, env={"LANG": "en"}, input=question)
        return agent.wait()
