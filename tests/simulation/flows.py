"""Make a workflow class of a graph. Its bodies tell the recorder what they really do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio

from agentainer_flow import (
    AsyncContext,
    Backoff,
    Context,
    Workflow,
    parallel,
    quorum,
    step,
    workflow,
)
from agentainer_flow.core.errors import AgentFailed
from agentainer_flow.sdk.graph import WorkflowCode
from agentainer_flow.sdk.registry import code_of

from .graphs import (
    BACKOFF_FACTOR,
    BACKOFF_JITTER,
    Agent,
    Count,
    Die,
    Fail,
    Graph,
    Hang,
    Nap,
    Once,
    Step,
    Work,
    answer_of,
    value_of,
)
from .recorder import Recorder

#: Of the node that a body runs on: the recorder, and the name of this life of the node.
RECORDER: ContextVar[Recorder] = ContextVar("recorder")

IMAGE = "simulated"


def code_for(name: str, graph: Graph) -> WorkflowCode:
    """The code of a graph; a worker has it under this name."""
    methods = {one.id: _method(one) for one in graph.steps}
    cls = type("Simulated", (Workflow,), {"__module__": __name__, **methods})
    decorate = workflow(
        name=name, max_parallel=graph.max_parallel, timeout=graph.timeout, priority=graph.priority
    )
    return code_of(decorate(cls))


def _method(one: Step) -> Callable[..., Any]:
    body = _plain(one) if one.plain else _async(one)
    names = ["self", "context", *(["item"] if one.fans_out else []), *one.after]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in names]
    body.__name__ = body.__qualname__ = one.id
    vars(body)["__signature__"] = inspect.Signature(parameters)
    marked = step(
        retries=one.retries,
        backoff=Backoff(initial=one.backoff, factor=BACKOFF_FACTOR, jitter=BACKOFF_JITTER),
        timeout=one.timeout,
        queue_timeout=one.queue_timeout,
        queue=one.queue,
        concurrency=one.concurrency,
        depends_on=[one.over] if one.over else [],
    )(body)
    if not one.fans_out:
        return marked
    width = one.width
    on_failure = quorum(one.on_failure) if isinstance(one.on_failure, int) else one.on_failure
    return parallel(
        over=one.over or (lambda inputs: width), max_workers=one.max_workers, on_failure=on_failure
    )(marked)


def _async(one: Step) -> Callable[..., Any]:
    async def body(self: Any, context: AsyncContext, item: Any = None, **handed: Any) -> Any:
        recorder = RECORDER.get()
        with recorder.body(context), recorder.slot(context):
            for act in one.acts:
                await _do(one, act, context)
            return value_of(one, context.index, item, plain(handed))

    return body


async def _do(one: Step, act: Any, context: AsyncContext) -> None:
    recorder, index = RECORDER.get(), context.index
    match act:
        case Work(s=seconds):
            await anyio.sleep(seconds)
        case Nap(s=seconds):
            recorder.sleeps(context)
            await context.sleep(seconds)
        case Count():
            await _change(act, context)
        case Once(name=name):
            answer = answer_of(one.id, index, act)
            await context.run(name, recorder.once, context, name, answer)
        case Agent():
            await _ask(one, act, context)
        case Die(times=times):
            if recorder.times_begun(context) <= times:
                recorder.kill()
                await anyio.sleep_forever()
        case Fail() | Hang():
            await _go_wrong(one, act, context)
        case _:
            raise TypeError(act)


async def _change(act: Count, context: AsyncContext) -> None:
    state = context.state
    match act.how:
        case "incr":
            await state.incr(act.key)
        case "append":
            await state.append(act.key, context.index)
        case "set":
            await state.set(act.key, context.index)
        case "delete":
            await state.delete(act.key)


async def _ask(one: Step, act: Agent, context: AsyncContext) -> None:
    answer = answer_of(one.id, context.index, act)
    agent = await context.deploy_agent(
        act.name,
        IMAGE,
        environment(act, answer),
        grace=2,
        memory=f"{act.memory}m" if act.memory else None,
    )
    if act.stops_after is not None:
        await anyio.sleep(act.stops_after)
        await agent.stop()
    try:
        with RECORDER.get().waiting(context.workflow_id, agent.id):
            got = await agent.wait()
    except AgentFailed as failed:
        if act.stops_after is None or failed.kind != "cancelled":
            raise
        return
    if got != answer:
        RECORDER.get().complain(f"agent {agent.id} of {context.workflow_id} answers for another")


async def _go_wrong(one: Step, act: Fail | Hang, context: AsyncContext) -> None:
    match act:
        case Fail(times=times, each=each):
            if context.index % each == 0 and context.attempt <= times:
                raise ValueError(f"{one.id}[{context.index}] fails in attempt {context.attempt}")
        case Hang(times=times):
            if context.attempt <= times:
                await anyio.sleep(10_000)


def _plain(one: Step) -> Callable[..., Any]:
    """The same in a thread; time stands still while it runs."""

    def body(self: Any, context: Context, item: Any = None, **handed: Any) -> Any:
        recorder, index = RECORDER.get(), context.index
        with recorder.body(context):
            for act in one.acts:
                match act:
                    case Nap(s=seconds):
                        context.sleep(seconds)
                    case Count(key=key):
                        context.state.incr(key)
                    case Once(name=name):
                        context.run(
                            name, recorder.once, context, name, answer_of(one.id, index, act)
                        )
                    case Fail(times=times, each=each):
                        if index % each == 0 and context.attempt <= times:
                            raise ValueError(f"{one.id}[{index}] fails in {context.attempt}")
                    case _:
                        raise TypeError(act)
            return value_of(one, index, item, plain(handed))

    return body


def environment(agent: Agent, answer: int) -> dict[str, str]:
    return {
        "SECONDS": str(agent.s),
        "ANSWER": str(answer),
        "FAILS": str(agent.fails),
        "DEAF": str(int(agent.deaf)),
    }


def plain(handed: dict[str, Any]) -> dict[str, Any]:
    """What a step was handed, with each error of a task as its kind: texts of errors differ."""

    def simple(value: Any) -> Any:
        if isinstance(value, list):
            return [simple(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
        return value if isinstance(value, int) else "failed"

    return {name: simple(value) for name, value in handed.items()}
