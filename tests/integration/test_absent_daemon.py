"""The daemon of a runtime is away for a moment: no agent fails for it, and none is made twice."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from agentainer_flow import AgentFailed, AsyncContext, Workflow, step, workflow
from agentainer_flow.core.errors import RuntimeUnavailable
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.runtimes.contract import Launch, Permit, Started, always
from agentainer_flow.reactors.runtimes.process import ProcessRuntime
from agentainer_flow.sdk import service

from ..fundamentals.serving import serving

pytestmark = pytest.mark.anyio

Kind = type[ProcessRuntime]


@workflow()
class Asking(Workflow):
    @step()
    async def ask(self, context: AsyncContext) -> int:
        agent = await context.deploy_agent("agent", "any", command="echo 7")
        answer: int = await agent.wait()
        return answer


@workflow()
class Stopping(Workflow):
    @step()
    async def stop(self, context: AsyncContext) -> str:
        agent = await context.deploy_agent("agent", "any", command="echo here; sleep 600")
        while not await agent.logs():  # noqa: ASYNC110 - nobody tells that it runs
            await anyio.sleep(0.02)
        await agent.stop()
        with pytest.raises(AgentFailed) as failed:
            await agent.wait()
        return failed.value.kind


class Absent(ProcessRuntime):
    """Starts a job and loses its connection before it can say so, twice."""

    times = 2

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        started = await super().start(launch, may_begin)
        if self.times:
            self.times -= 1
            raise RuntimeUnavailable("it is being restarted")
        return started


class Forgetful(ProcessRuntime):
    """Loses its connection once it may stop a job, and tries again, as that of Docker does."""

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        assert await may_stop()
        await super().stop(launch, may_stop)


@pytest.fixture
def use(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Kind], None]:
    """Have launchers run their agents so."""

    def use(kind: Kind) -> None:
        async def opened(settings: Settings, installation: str) -> ProcessRuntime:
            runtime = kind(installation, settings.home / "processes", settings.home)
            await runtime.open()
            return runtime

        monkeypatch.setattr(service, "open_runtime", opened)

    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    return use


async def test_a_start_that_lost_its_daemon_is_repeated(
    settings: Settings, use: Callable[[Kind], None]
) -> None:
    use(Absent)
    async with serving(settings, Asking):
        handle = await Asking().astart()
        assert await handle.result(timeout=30) == 7
    jobs = [one async for one in handle.events() if one.type.startswith("job.")]
    assert [one.type for one in jobs] == ["job.requested", "job.launched", "job.succeeded"]


async def test_a_stop_that_lost_its_daemon_is_repeated(
    settings: Settings, use: Callable[[Kind], None]
) -> None:
    use(Forgetful)
    async with serving(settings, Stopping):
        handle = await Stopping().astart()
        assert await handle.result(timeout=30) == "cancelled"
