"""The workflows of a run. Each step body notes in a file that it ran, beside all that we keep.

`$EFFECTS` is a folder with one file per task; a line is `workflow step index attempt`.
"""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from agentainer_flow import AsyncContext, Backoff, Context, Workflow, parallel, step, workflow

#: An agent that notes its start, where it can, works for a moment and answers with its index, by
#: file: Docker forgets what is printed while its daemon is away.
AGENT = """
[ -z "$STARTS" ] || echo "$AGENTAINER_WORKFLOW_ID $AGENTAINER_JOB_ID" >> "$STARTS"
sleep $SECONDS_TO_WORK
echo "$AGENTAINER_TASK_INDEX" > "$AGENTAINER_RESULT_PATH.new"
mv "$AGENTAINER_RESULT_PATH.new" "$AGENTAINER_RESULT_PATH"
"""
IMAGE = "agentainer-chaos"

QUICK = Backoff(initial=0.2, factor=1.5, jitter=0.5)


def note(context: Context | AsyncContext) -> None:
    """Append in one write, so that two workers at once and a kill leave whole lines."""
    folder = Path(os.environ["EFFECTS"]) / context.workflow_id
    folder.mkdir(exist_ok=True)
    line = f"{context.workflow_id} {context.step_id} {context.index} {context.attempt}\n"
    with (folder / f"{context.step_id}.{context.index}").open("a") as file:
        file.write(line)


def agent_environment(seconds: float) -> dict[str, str]:
    return {"STARTS": os.environ.get("STARTS", ""), "SECONDS_TO_WORK": str(seconds)}


@workflow(name="fan")
class Fan(Workflow):
    """Fan out, count in the state, sum up."""

    @step()
    async def split(self, context: AsyncContext, size: int) -> list[int]:
        note(context)
        return list(range(size))

    @step()
    @parallel(over="split", max_workers=4)
    async def work(self, context: AsyncContext, item: int) -> int:
        note(context)
        await context.state.incr("done")
        await anyio.sleep(0.05 * (item % 3))
        return item * item

    @step()
    async def total(self, context: AsyncContext, work_results: list[int]) -> int:
        note(context)
        return sum(work_results)


@workflow(name="flaky")
class Flaky(Workflow):
    """Plain steps in threads, of which some fail once or twice."""

    @step(retries=3, backoff=QUICK)
    @parallel(over=lambda inputs: inputs["size"])
    def attempt(self, context: Context, item: int) -> int:
        note(context)
        context.state.append("tried", item)
        if context.attempt <= (item % 3 == 0) + (item % 6 == 0):
            raise ValueError(f"item {item} fails in attempt {context.attempt}")
        return item + 1

    @step()
    def collect(self, context: Context, attempt_results: list[int]) -> list[int]:
        note(context)
        return attempt_results


@workflow(name="chain")
class Chain(Workflow):
    """One step after the other, with recorded effects and a sleep."""

    @step()
    async def one(self, context: AsyncContext, size: int) -> int:
        note(context)
        recorded: int = await context.run("size", lambda: size)
        return recorded

    @step()
    async def two(self, context: AsyncContext, one: int) -> int:
        note(context)
        await context.sleep(0.4)
        return one + 1

    @step()
    async def three(self, context: AsyncContext, two: int) -> int:
        note(context)
        await context.state.set("three", two)
        return two + 1

    @step()
    async def four(self, context: AsyncContext, three: int) -> int:
        note(context)
        return three + 1


@workflow(name="agents")
class Agents(Workflow):
    """Each task has an agent, which is tried again when it is killed."""

    @step(retries=6, backoff=QUICK)
    @parallel(over=lambda inputs: inputs["size"])
    async def ask(self, context: AsyncContext, item: int) -> int:
        note(context)
        await anyio.sleep(0.4 * ((item + 1) % 3))  # a freeze may fall in between
        environment = agent_environment(0.3 + 0.5 * (item % 3))
        agent = await context.deploy_agent("agent", IMAGE, environment, AGENT)
        answer: int = await agent.wait()
        return answer

    @step()
    async def gather(self, context: AsyncContext, ask_results: list[int]) -> list[int]:
        note(context)
        return ask_results


@workflow(name="narrow")
class Narrow(Workflow):
    """Tasks that share a limited queue and a concurrency key with those of all other runs."""

    @step(queue="narrow", concurrency=("key", 3))
    @parallel(over=lambda inputs: inputs["size"])
    async def squeeze(self, context: AsyncContext, item: int) -> int:
        note(context)
        await anyio.sleep(0.05)
        return item


@workflow(name="slow")
class Slow(Workflow):
    """Tasks that take about as long as a lease."""

    @step()
    @parallel(over=lambda inputs: inputs["size"])
    async def wait(self, context: AsyncContext, item: int) -> int:
        note(context)
        await context.sleep(float(os.environ["AGENTAINER_LEASE"]) * 0.8)
        return item


@workflow(name="load")
class Load(Workflow):
    """Tasks that do next to nothing, as many as there are."""

    @step()
    @parallel(over=lambda inputs: inputs["size"])
    async def work(self, context: AsyncContext, item: int) -> int:
        note(context)
        return item


@workflow(name="doomed")
class Doomed(Workflow):
    """One task fails for good while the agents of others run, which are to be stopped."""

    @step()
    @parallel(over=lambda inputs: inputs["size"] + 1)
    async def fail(self, context: AsyncContext, item: int) -> int:
        note(context)
        if item == 0:
            await context.sleep(0.5)
            raise ValueError("as planned")
        environment = agent_environment(60)
        agent = await context.deploy_agent("agent", IMAGE, environment, AGENT, grace=2)
        answer: int = await agent.wait()
        return answer


def expected(flow: str, size: int) -> object:
    """The result of a run; None when it is to fail."""
    match flow:
        case "Fan":
            return sum(item * item for item in range(size))
        case "Flaky":
            return [item + 1 for item in range(size)]
        case "Chain":
            return size + 3
        case "Agents" | "Narrow" | "Slow" | "Load":
            return list(range(size))
        case _:
            return None
