"""Workflows that the tests of the command run, start and serve."""

from __future__ import annotations

import anyio

from agentainer_flow import AsyncContext, Context, Workflow, parallel, step, workflow

#: Runs until the file that is its input exists.
GATED = """
gate=$(echo "$AGENTAINER_INPUT" | tr -d '"'); echo before
while [ ! -e "$gate" ]; do sleep 0.02; done
echo after; echo '"through"'
"""


@workflow(name="greet")
class Greet(Workflow):
    def __init__(self, greeting: str = "hello") -> None:
        self.greeting = greeting

    @step()
    def say(self, context: Context, name: object) -> str:
        print("a step prints")
        context.log.info("a step logs")
        return f"{self.greeting} {name!r}"


@workflow(name="broken")
class Broken(Workflow):
    @step()
    def crash(self, context: Context) -> object:
        command = "echo on its way; echo a bad thing >&2; exit 7"
        return context.deploy_agent("bad", image="any", command=command).wait()


@workflow(name="chatty")
class Chatty(Workflow):
    @step()
    @parallel()
    def talk(self, context: Context, item: object) -> object:
        return context.deploy_agent("talker", image="any", command=f"echo I am {item}").wait()


@workflow(name="meeting")
class Meeting(Workflow):
    @step()
    @parallel(over="items")
    def meet(self, context: Context, item: object, folder: str) -> object:
        """Agents that end some time after two of them have begun."""
        begun = f"{folder}/begun"
        meeting = f"echo >> {begun}; until [ $(wc -l < {begun}) -ge 2 ]; do sleep 0.02; done"
        return context.deploy_agent("member", image="any", command=f"{meeting}; sleep 0.3").wait()


@workflow(name="gated")
class Gated(Workflow):
    @step()
    def wait(self, context: Context, gate: str) -> object:
        return context.deploy_agent("waiter", image="any", command=GATED, input=gate).wait()


@workflow(name="hungry")
class Hungry(Workflow):
    @step()
    def eat(self, context: Context) -> object:
        return context.deploy_agent("eater", image="any", command="echo 1", memory="2g").wait()


@workflow(name="stubborn")
class Stubborn(Workflow):
    @step()
    async def hold(self, context: AsyncContext, started: str) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.Path(started).touch()
            await anyio.sleep_forever()


@workflow(name="traced")
class Traced(Workflow):
    @step()
    async def look(self, context: AsyncContext) -> object:
        """Which spans its code, its context and its agent belong to."""
        from opentelemetry import trace

        found = trace.get_current_span().get_span_context()
        command = 'echo "\\"$TRACEPARENT\\""'
        agent = await context.deploy_agent("child", image="any", command=command)
        return {
            "step": [f"{found.trace_id:032x}", f"{found.span_id:016x}"],
            "context": context.traceparent,
            "agent": await agent.wait(),
        }


@workflow(name="plainly_traced")
class PlainlyTraced(Workflow):
    """The first step is run before the worker knows the run, the second one when it does."""

    @step()
    def first(self, context: Context) -> str:
        return _current_span()

    @step(depends_on=["first"])
    def second(self, context: Context, before: str) -> list[str]:
        return [before, _current_span()]


def _current_span() -> str:
    from opentelemetry import trace

    return f"{trace.get_current_span().get_span_context().span_id:016x}"
