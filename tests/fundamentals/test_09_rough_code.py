"""Step bodies may do what they like: their task fails, and the next run is served as before."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import pytest

from agentainer_flow import (
    AgentFailed,
    AsyncContext,
    Context,
    PayloadError,
    Workflow,
    WorkflowFailed,
    step,
    workflow,
)
from agentainer_flow.core.settings import Settings

from .serving import serving

pytestmark = pytest.mark.anyio


@workflow()
class Fine(Workflow):
    @step()
    async def one(self, context: AsyncContext) -> int:
        return 1


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@workflow()
class Rough(Workflow):
    @step()
    async def act(self, context: AsyncContext, how: str) -> Any:
        match how:
            case "surrogate":
                raise ValueError(os.fsdecode(b"caf\xe9"))
            case "unspeakable":
                raise Unspeakable
            case "cycle":
                error = ValueError("caused by itself")
                raise error from error
            case "exit":
                sys.exit(3)
            case "cancelled":
                task = asyncio.create_task(asyncio.sleep(100))
                await asyncio.sleep(0)
                task.cancel()
                await task
            case "nan":
                return {"score": float("nan")}
            case "deep":
                return nested(300)
            case "nan state":
                await context.state.incr("n", float("nan"))
            case _:
                await context.state.set("n", 1e308)
                await context.state.incr("n", 1e308)


@workflow()
class RoughThread(Workflow):
    @step()
    def act(self, context: Context) -> Any:
        return next(iter([]))


MESSAGES = {
    "surrogate": r"ValueError: caf",
    "unspeakable": "its text cannot be had",
    "cycle": "caused by itself",
    "exit": "SystemExit: 3",
    "cancelled": "CancelledError",
    "nan": "holds NaN or infinity",
    "deep": "nested more than 200 levels deep",
    "nan state": "incr takes a number, got nan",
    "infinite state": "incr would give no number",
}


@pytest.mark.parametrize("how", MESSAGES)
async def test_task_fails_and_the_worker_goes_on(settings: Settings, how: str) -> None:
    async with serving(settings, Rough, Fine):
        handle = await Rough().astart(how=how)
        with pytest.raises(WorkflowFailed, match=MESSAGES[how]):
            await handle.result(timeout=20)
        assert await (await Fine().astart()).result(timeout=20) == 1


async def test_stop_iteration_of_a_thread_fails_its_task(settings: Settings) -> None:
    async with serving(settings, RoughThread):
        with pytest.raises(WorkflowFailed, match="StopIteration"):
            await (await RoughThread().astart()).result(timeout=20)


OPTIONS: dict[str, dict[str, Any]] = {
    "timeout": {"timeout": "30"},
    "cpus": {"cpus": "2"},
    "network": {"network": None},
    "pids": {"pids": 1.5},
    "grace": {"grace": None},
    "memory": {"memory": -5},
    "image": {"image": "x" * 5000},
}


@workflow()
class Options(Workflow):
    @step()
    async def ask(self, context: AsyncContext, which: str) -> str:
        options: dict[str, Any] = {"image": "any", "command": "echo 1", **OPTIONS[which]}
        with pytest.raises(PayloadError, match="deploy_agent") as caught:
            await context.deploy_agent("agent", **options)
        return str(caught.value)


@pytest.mark.parametrize("which", OPTIONS)
async def test_option_of_a_wrong_type_is_refused_where_it_is_given(
    settings: Settings, which: str
) -> None:
    async with serving(settings, Options):
        assert await (await Options().astart(which=which)).result(timeout=20)


@workflow()
class NoSuchAgent(Workflow):
    @step()
    async def ask(self, context: AsyncContext) -> str:
        agent = await context.deploy_agent("agent", "any", command=["echo", "a\0b"])
        with pytest.raises(AgentFailed) as caught:
            await agent.wait()
        return caught.value.kind


async def test_command_that_no_system_can_run_fails_its_agent_only(settings: Settings) -> None:
    async with serving(settings, NoSuchAgent):
        assert await (await NoSuchAgent().astart()).result(timeout=20) == "cannot_start"
