"""Nobody who follows events misses one, or sees one twice, whatever is killed meanwhile."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentainer_flow import AsyncWorkflowClient
from agentainer_flow.core.settings import load_settings

from ..chaos.server import Server
from .followers import Followers, Seen, until
from .scene import Process, Scene, kill
from .test_api import FLOWS, url_of

pytestmark = pytest.mark.anyio


class Storm:
    """A Redis that keeps what it acknowledged, who carries workflows, and who serves the API."""

    def __init__(self, redis: Server, folder: Path) -> None:
        self.redis = redis
        self.settings = load_settings(
            environ={}, redis_url=self.redis.url, home=folder, runtime="process"
        )
        self.scene = Scene(self.settings, folder)
        self.scene.environment["AGENTAINER_WEBHOOK_ALLOW"] = "127.0.0.0/8"
        self._begun = 0

    async def start(self) -> None:
        self._carrier = self._carry()
        self._api = self._serve("0")
        for process in (self._carrier, self._api):
            await until(partial(self._is_ready, process))
        self.url = url_of(self.scene, self._api)

    def _is_ready(self, process: Process) -> bool:
        return "ready" in self.scene.said(process)

    def _carry(self) -> Process:
        return self.scene.serve("up", str(FLOWS))

    def _serve(self, port: str) -> Process:
        return self.scene.serve("serve", "--port", port)

    async def kill_carrier(self) -> None:
        """With it the notifier and the courier."""
        kill(self._carrier)
        self._carrier = self._carry()

    async def kill_api(self) -> None:
        kill(self._api)
        self._api = self._serve(self.url.rpartition(":")[2])

    async def kill_redis(self) -> None:
        self.redis.kill()
        self.redis.start()
        await self.redis.wait_ready()

    async def begin(self, count: int, followers: Followers) -> None:
        """So many workflows, each with a follower of its own."""
        async with AsyncWorkflowClient(self.url) as client, anyio.create_task_group() as tasks:
            for number in range(self._begun, self._begun + count):
                tasks.start_soon(self._begin_one, client, f"order-{number}", followers)
        self._begun += count

    @staticmethod
    async def _begin_one(client: AsyncWorkflowClient, key: str, followers: Followers) -> None:
        made = await client.create("works", {"numbers": 4}, start=True, key=key)
        followers.follow(made["id"])

    def logs(self) -> Seen:
        """The versions that there are, by workflow."""
        names: Any = self.scene.redis.zrange("flow:0:workflows", 0, -1)
        return {
            name: [int(entry.partition("-")[0]) for entry, _ in self.scene.log(name)]
            for name in names
        }

    def running(self) -> dict[str, list[str]]:
        """What has come to pass of every workflow that has not ended."""
        names: Any = self.scene.redis.smembers("flow:0:active")
        return {name: self.scene.types(name) for name in names}

    def have_ended(self) -> bool:
        return self.scene.redis.zcard("flow:0:workflows:completed") == self._begun


@pytest.fixture
async def storm() -> AsyncIterator[Storm]:
    # Not below tmp_path: the path of a unix socket is short.
    folder = Path(tempfile.mkdtemp(prefix="agentainer-test-"))
    redis = Server(folder)
    redis.start()
    await redis.wait_ready()
    storm = Storm(redis, folder)
    try:
        yield storm
    finally:
        storm.scene.close()
        redis.kill()
        shutil.rmtree(folder)


async def weather(storm: Storm, workflows: int, **kinds: int) -> None:
    """Kill everything in turn while workflows run and followers follow; judge what they saw."""
    await storm.start()
    async with anyio.create_task_group() as tasks:
        followers = Followers(storm.url, storm.settings, tasks)
        await followers.begin(**kinds)
        for fault in (storm.kill_api, storm.kill_carrier, storm.kill_redis) * 2:
            followers.seen_more = False
            await storm.begin(workflows // 6, followers)
            await until(lambda: followers.seen_more, lacking=storm.running)
            await fault()
        await until(storm.have_ended, 120, storm.running)
        wanted = storm.logs()
        assert all(versions == list(range(1, len(versions) + 1)) for versions in wanted.values())
        lack = partial(followers.lack, wanted)
        await until(lambda: not lack(), 120, lack)
        tasks.cancel_scope.cancel()


@pytest.mark.timeout(300)
async def test_followers_see_everything_in_order_whatever_dies(storm: Storm) -> None:
    await weather(storm, workflows=30, streams=4, webhooks=3, subscriptions=3)
