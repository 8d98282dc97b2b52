"""The workflows that are measured: their steps do nothing, or a known amount of work.

Steps of a chain return the time at which they began, in ns of the clock that all processes of this
machine share, so that the log has what is to be known about them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from agentainer_flow import AsyncContext, Context, Workflow, parallel, step, workflow

Body = Callable[..., Any]

#: The interpreter alone, see examples/agents.
IMAGE = "agentainer-python:latest"
NOTHING = ["python", "-IS", "-c", ""]
SLEEP = ["python", "-IS", "-c", "import time; time.sleep(3600)"]


@workflow(name="async_fan_out")
class AsyncFanOut(Workflow):
    @step()
    @parallel()
    async def work(self, context: AsyncContext, item: int) -> int:
        return item


@workflow(name="plain_fan_out")
class PlainFanOut(Workflow):
    @step()
    @parallel()
    def work(self, context: Context, item: int) -> int:
        return item


def began() -> Body:
    async def body(self: Any, context: AsyncContext) -> int:
        return time.monotonic_ns()

    return body


def plainly_began() -> Body:
    def body(self: Any, context: Context) -> int:
        return time.monotonic_ns()

    return body


def computed(number: int) -> Callable[[], Body]:
    """Bodies that compute a Fibonacci number and return how long that took, ns."""

    def make() -> Body:
        def body(self: Any, context: Context) -> int:
            begun = time.perf_counter_ns()
            fibo(number)
            return time.perf_counter_ns() - begun

        return body

    return make


def fibo(number: int) -> int:
    return number if number < 2 else fibo(number - 1) + fibo(number - 2)


def chain(name: str, steps: int, make: Callable[[], Body]) -> type[Workflow]:
    """A workflow class of steps that follow one another."""
    names = [f"step_{number}" for number in range(steps)]
    marked = {
        name: step(depends_on=names[max(0, place - 1) : place])(make())
        for place, name in enumerate(names)
    }
    return workflow(name=name)(type(name, (Workflow,), marked))


AsyncChain200 = chain("AsyncChain200", 200, began)
PlainChain200 = chain("PlainChain200", 200, plainly_began)
AsyncChain20 = chain("AsyncChain20", 20, began)
PlainChain20 = chain("PlainChain20", 20, plainly_began)
FiveSteps = chain("FiveSteps", 5, began)
FortyLight = chain("FortyLight", 40, computed(10))
TenHeavy = chain("TenHeavy", 10, computed(33))
TenLight = chain("TenLight", 10, computed(10))


async def launch_ns(context: AsyncContext) -> int:
    """How long an agent takes that does nothing, from asking for it to its answer."""
    begun = time.perf_counter_ns()
    agent = await context.deploy_agent("agent", IMAGE, command=NOTHING)
    await agent.wait()
    return time.perf_counter_ns() - begun


@workflow(name="one_at_a_time")
class OneAtATime(Workflow):
    @step()
    @parallel(max_workers=1)
    async def launch(self, context: AsyncContext, item: int) -> int:
        return await launch_ns(context)


@workflow(name="eight_at_a_time")
class EightAtATime(Workflow):
    @step()
    @parallel(max_workers=8)
    async def launch(self, context: AsyncContext, item: int) -> int:
        return await launch_ns(context)


@workflow(name="sleepers")
class Sleepers(Workflow):
    """Task n has an agent that sleeps until it is stopped."""

    @step()
    @parallel()
    async def launch(self, context: AsyncContext, item: int) -> None:
        agent = await context.deploy_agent("agent", IMAGE, command=SLEEP)
        await agent.wait()
