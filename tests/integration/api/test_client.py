"""`WorkflowClient`: the API from Python, over connections that break."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from agentainer_flow import AgentTimeout, ApiError, AsyncWorkflowClient, WorkflowClient
from agentainer_flow.core.settings import Settings

from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def cut_off(url: str, after: int) -> AsyncGenerator[str]:
    """An address that leads to a server, and cuts the first connections after some bytes."""
    host, port = url.removeprefix("http://").split(":")
    left = [after, after * 2, after * 4, after * 8]

    async def pipe(
        source: anyio.abc.ByteReceiveStream, target: anyio.abc.ByteSendStream, most: int
    ) -> None:
        async for data in source:
            await target.send(data[:most])
            most -= len(data)
            if most <= 0:
                return

    async def serve(client: anyio.abc.SocketStream) -> None:
        most = left.pop(0) if left else 10**9
        async with (
            client,
            await anyio.connect_tcp(host, int(port)) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(pipe, client, server, 10**9)
            await pipe(server, client, most)
            tasks.cancel_scope.cancel()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"  # noqa: S610
        tasks.cancel_scope.cancel()


async def test_a_workflow_from_beginning_to_end(scene: Scene) -> None:
    async with AsyncWorkflowClient(scene.url) as client:
        made = await client.create("greet", {"name": "Ada"}, tags={"team": "search"})
        assert (await client.start(made["id"]))["status"] == "running"
        assert await client.result(made["id"], timeout=20) == "hello Ada"
        assert await client.state(made["id"]) == {"greeted": "Ada"}
        assert [step["status"] for step in await client.steps(made["id"])] == ["completed"]
        assert await client.jobs(made["id"]) == []
        assert [one["id"] for one in await client.list(tag="team:search")] == [made["id"]]
        await client.delete(made["id"])
        with pytest.raises(ApiError, match="404"):
            await client.get(made["id"])


async def test_steering_and_versions(scene: Scene) -> None:
    async with AsyncWorkflowClient(scene.url) as client:
        made = await client.create("waits", start=True)
        paused = await client.pause(made["id"], freeze=True)
        with pytest.raises(ApiError) as refused:
            await client.resume(made["id"], version=paused["version"] - 1)
        assert (refused.value.status, refused.value.type) == (412, "/problems/precondition-failed")
        await client.resume(made["id"])
        with pytest.raises(AgentTimeout):
            await client.wait(made["id"], timeout=0.1)
        await client.cancel(made["id"], "enough")
        assert (await client.wait(made["id"], timeout=20))["status"] == "cancelled"
        with pytest.raises(ApiError, match="cancelled"):
            await client.result(made["id"])


async def test_run_and_the_same_key(scene: Scene) -> None:
    async with AsyncWorkflowClient(scene.url) as client:
        assert await client.run("doubles", {"numbers": [1, 2, 3]}) == 12
        made = [await client.create("greet", {"name": "a"}, key="order-1") for _ in range(2)]
        assert made[0]["id"] == made[1]["id"]


async def test_events_go_on_over_cut_connections(settings: Settings) -> None:
    async with open_scene(settings, carried=False) as scene:
        made = await scene.create("greet", name="Ada")
        for number in range(30):
            await scene.put(f"/workflows/{made['id']}/state", json={"n": number})
        await scene.http.put(f"/workflows/{made['id']}/start")
        seen: list[int] = []
        async with cut_off(scene.url, 4000) as url, AsyncWorkflowClient(url) as client:
            with anyio.fail_after(30):
                async for event in client.events(made["id"]):
                    seen.append(int(event.sequence))
                    if event.type == "io.agentainer.workflow.started.v1":
                        break
        assert seen == list(range(1, 33))


async def test_changes_over_cut_connections_count_once(settings: Settings) -> None:
    async with open_scene(settings, carried=False) as scene:
        async with cut_off(scene.url, 10) as url, AsyncWorkflowClient(url) as client:
            made = await client.create("greet", {"name": "Ada"})
        assert [one["id"] for one in (await scene.get("/workflows"))["items"]] == [made["id"]]


async def test_plain_callers(scene: Scene) -> None:
    def use() -> list[str]:
        with WorkflowClient(scene.url) as client:
            assert client.run("greet", {"name": "Ada"}) == "hello Ada"
            made = client.create("doubles", {"numbers": 2})
            client.start(made["id"])
            client.wait(made["id"], timeout=20)
            with pytest.raises(ApiError, match="404"):
                list(client.events("nothing"))
            return [event.type for event in client.events(made["id"])]

    types = await anyio.to_thread.run_sync(use)
    assert types[0] == "io.agentainer.workflow.created.v1"
    assert types[-1] == "io.agentainer.workflow.completed.v1"
