"""Workflows for tests of the API: short ones, one with an agent, one that waits."""

from __future__ import annotations

from agentainer_flow import AsyncContext, Workflow, parallel, step, workflow


@workflow(name="quick")
class Quick(Workflow):
    @step()
    async def answer(self, context: AsyncContext, question: str = "") -> str:
        return question.upper()


@workflow(name="asks")
class Asks(Workflow):
    @step()
    async def ask(self, context: AsyncContext) -> object:
        agent = await context.deploy_agent("helper", "any", command=["echo", "17"])
        return await agent.wait()


@workflow(name="waits")
class Waits(Workflow):
    @step()
    async def wait(self, context: AsyncContext) -> None:
        await context.sleep(600)


@workflow(name="works")
class Works(Workflow):
    @step()
    @parallel()
    async def work(self, context: AsyncContext, number_id: int) -> int:
        await context.sleep(0.2)
        return number_id

    @step()
    async def total(self, context: AsyncContext, work: list[int]) -> int:
        return sum(work)
