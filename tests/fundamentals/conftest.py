"""`wf.run()` takes its settings from the environment; here they lead to the tests' own Redis.

After every test all keys are looked at: each has an owner, and those of ended runs an end. And all
that is kept of runs, and all that was decided, agrees with their logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import pytest
from redis import Redis

from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.loop import run_loop
from agentainer_flow.sdk.verify import Finding, verify_all

#: Keys that belong to the partition or the installation and live as long as it is used.
LASTING = re.compile(
    r"flow:(definitions|registered|secret|tokens|subscriptions|webhooks(:state)?|installation|partitions|blocked|queues|running|waiting|0:(feed|followers|ended|owners|sessions|about|claims|workflows(:\w+)?|(named|tagged):.+|active|shared:(bell(:\w+)?|feed|stocked)))"
)
#: Keys of a workflow that has not ended; the rest of them gets a TTL when it ends.
WORKFLOW = re.compile(r"workflow:([0-9a-z]{26})(:.+)?")


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTAINER_REDIS_URL", settings.redis_url or "")
    monkeypatch.setenv("AGENTAINER_HOME", str(settings.home))
    monkeypatch.setenv("AGENTAINER_RUNTIME", "process")
    monkeypatch.setenv("AGENTAINER_LEASE", "2")


@pytest.fixture(autouse=True)
def _no_stray_keys(settings: Settings) -> Iterator[None]:
    yield
    with Redis.from_url(settings.redis_url or "", decode_responses=True) as client:
        keys = [str(key) for key in cast("Iterator[str]", client.scan_iter())]
        strays = [key for key in keys if is_stray(client, key)]
        assert strays == []
        if not client.exists("flow:0:active"):
            counts = [*client.hvals("flow:running"), *client.hvals("flow:waiting")]
            assert set(counts) <= {"0"}


@pytest.fixture(autouse=True)
def _everything_agrees(settings: Settings) -> Iterator[None]:
    yield
    assert run_loop(lambda: find(settings)) == []


async def find(settings: Settings) -> list[Finding]:
    """What `agentainer workflow verify --all` finds."""
    async with connect(settings) as log:
        return [found async for one in verify_all(log) for found in one.findings]


def is_stray(client: Redis, key: str) -> bool:
    if LASTING.fullmatch(key):
        return False
    match = WORKFLOW.fullmatch(key)
    if not match:
        return True
    ended = not client.sismember("flow:0:active", match[1])
    return ended and client.ttl(key) == -1
