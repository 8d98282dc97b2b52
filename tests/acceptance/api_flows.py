"""Workflows for tests of the API: one that ends at once, one with an agent, one that waits."""

from __future__ import annotations

from agentainer_flow import AsyncContext, Workflow, step, workflow


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
