"""A workflow for tests that kill things: it notes each agent's start in the file `$TRACES`."""

from __future__ import annotations

import os
import sys

from agentainer_flow import AsyncContext, Context, Workflow, parallel, step, workflow

AGENT = """
echo "$AGENTAINER_JOB_ID" >> "$TRACES"
while [ ! -e "$TRACES.go" ]; do sleep 0.05; done
echo 5
"""


@workflow(name="slow_pipeline")
class SlowPipeline(Workflow):
    def __init__(self, add: int = 0) -> None:
        self.add = add

    @step()
    async def prepare(self, context: AsyncContext) -> str:
        await context.state.incr("prepared")
        return os.environ["TRACES"]

    @step()
    @parallel(max_workers=3)
    def work(self, context: Context, chunk_id: int, prepare: str) -> int:
        agent = context.deploy_agent("agent", "any", env={"TRACES": prepare}, command=AGENT)
        answer: int = agent.wait()
        return answer + chunk_id + self.add

    @step()
    async def total(self, context: AsyncContext, work_results: list[int]) -> int:
        return sum(work_results)


if __name__ == "__main__":
    sys.stdout.write(f"{SlowPipeline(100).run(chunks=3)}\n")
