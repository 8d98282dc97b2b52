"""A workflow whose file also has functions that are called with events."""

from __future__ import annotations

import os
from pathlib import Path

from agentainer_flow import AsyncContext, Workflow, on, step, workflow
from agentainer_flow.core.cloudevents import CloudEvent


@workflow(name="hooked")
class Hooked(Workflow):
    @step()
    async def answer(self, context: AsyncContext, question: str) -> str:
        return question.upper()


@on("workflow.completed", workflow="hooked")
def note(event: CloudEvent) -> None:
    with Path(os.environ["TRACES"]).open("a") as file:
        file.write(f"{event.data['result']}\n")


@on("workflow.started", name="started")
async def note_start(event: CloudEvent) -> None:
    with Path(os.environ["TRACES"]).open("a") as file:  # noqa: ASYNC230 - a line
        file.write("started\n")
