"""The same engine on a real Redis, in real time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from agentainer_flow.core.settings import Settings
from agentainer_flow.testing import (
    NeverHeld,
    RedisEngine,
    assert_that,
    lose_worker,
    mock_agent,
    read_run,
)
from tests.kit.workflows import Asks, Sums


@pytest.fixture
def engine(settings: Settings) -> Iterator[RedisEngine]:
    with RedisEngine(redis_url=settings.redis_url, home=settings.home, lease=0.2) as engine:
        yield engine
    with Redis.from_url(settings.redis_url or "") as client:
        assert client.keys("test-*") == []


def test_runs_steps_faults_and_agents(engine: RedisEngine) -> None:
    engine.agents = [mock_agent("thinker", returns=42)]
    engine.faults = [lose_worker("double", index=1)]
    run = engine.start(Sums, numbers=[1, 2, 3])
    asked = engine.start(Asks, question="?")

    assert run.until("double").graph["load"].status == "completed"
    assert run.until().result == 12
    assert asked.until().result == 42
    assert_that(run).lost("double", index=1, times=1)
    assert read_run(run.id, engine.stage.settings).story() == run.story()


def test_what_takes_too_long_is_told(engine: RedisEngine) -> None:
    engine.agents = [mock_agent("thinker", takes=600)]
    run = engine.start(Asks, question="?").until("job.launched")
    with pytest.raises(NeverHeld, match=r"did not come within 0.2 s"):
        run.until(within=0.2)
    run.cancel()
    assert run.until().status == "cancelled"
