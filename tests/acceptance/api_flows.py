"""A workflow that ends at once, for tests of the API."""

from __future__ import annotations

from agentainer_flow import AsyncContext, Workflow, step, workflow


@workflow(name="quick")
class Quick(Workflow):
    @step()
    async def answer(self, context: AsyncContext, question: str = "") -> str:
        return question.upper()
