"""A workflow of a test runs here, in no time, and tells all that happened."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from agentainer_flow import Context, WorkflowFailed, parallel, step, workflow
from agentainer_flow.core.errors import FlowError, InputError
from agentainer_flow.testing import (
    LocalEngine,
    NeverHeld,
    UnknownAgent,
    arun_local,
    assert_that,
    fail,
    load_run,
    mock_agent,
    run_local,
    slow,
)
from tests.kit.workflows import Asks, SlowOne, Sums


def test_the_result_and_all_else() -> None:
    run = run_local(Sums(), numbers=[1, 2, 3])

    assert run.result == 12
    assert run.status == "completed"
    assert run.error is None
    assert run.state == {"loaded": 3, "total": 12}
    assert run.inputs == {"numbers": [1, 2, 3]}
    assert run.results("double") == [2, 4, 6]
    assert list(run.graph) == ["load", "double", "total"]
    assert run.graph.edges == [("load", "double"), ("double", "total")]
    assert "double  completed 3/3, after load" in str(run.graph)
    assert run.events[-1].type == "workflow.completed"
    assert "task.completed      double[1]" in run.story()


def test_a_class_does_in_the_place_of_an_instance() -> None:
    assert run_local(Sums, numbers=[]).result == 0


def test_hours_take_no_time() -> None:
    begun = time.monotonic()
    run = run_local(SlowOne)

    assert run.took == pytest.approx(3630, abs=0.1)
    assert run.result == "2026-01-01T01:00:30+00:00"
    assert [effect.name for effect in run.effects] == ["sleep", "now", "now"]
    assert time.monotonic() - begun < 5


def test_a_day_of_waiting_needs_no_more_events() -> None:
    @workflow(name="waits_a_day")
    class Waits:
        @step()
        def wait(self, context: Context) -> None:
            context.sleep(86400 * 300)

    assert len(run_local(Waits).events) == 8


def test_a_failed_run_is_told_and_raises_when_asked_for_its_result() -> None:
    run = run_local(Sums, numbers=[1], faults=[fail("load", error=ValueError("no data"))])

    assert run.status == "failed"
    assert run.error is not None
    assert run.error.message == "no data"
    with pytest.raises(WorkflowFailed, match=r"in step 'load'.*ValueError: no data"):
        _ = run.result


def test_inputs_are_checked() -> None:
    with pytest.raises(InputError, match="needs input 'numbers'"):
        run_local(Sums)


def test_an_input_that_is_an_option_is_told() -> None:
    @workflow(name="clash")
    class Clash:
        @step()
        @parallel()
        def one(self, context: Context, agent: int) -> int:
            return agent

    with pytest.raises(InputError, match=r"LocalEngine\(agents=…\)"):
        run_local(Clash, agents=[])
    with LocalEngine() as engine:
        assert engine.run(Clash, agents=[1, 2]).result == [1, 2]


def test_who_never_ends_is_told_with_the_story() -> None:
    with pytest.raises(NeverHeld, match="nothing is left to happen") as told:
        run_local(Sums, numbers=[1], faults=[slow("load")])
    assert "task.started        load[0]" in str(told.value)
    assert "step load: It runs on worker@local" in str(told.value)


def test_an_agent_that_nobody_plays_is_told_with_a_remedy() -> None:
    with pytest.raises(UnknownAgent, match=r"'thinker'.*mock_agent\('thinker', returns=…\)"):
        run_local(Asks, question="why?", agents=[mock_agent("other")])


def test_two_runs_are_the_same_to_the_letter() -> None:
    one, other = (run_local(Sums, numbers=[3, 1]) for _ in range(2))
    assert one.id == other.id
    assert [event.digest for event in one.events] == [event.digest for event in other.events]


def test_a_run_is_kept_as_a_file(tmp_path: Path) -> None:
    run = run_local(Asks, question="why?", agents=[mock_agent("thinker", returns=42)])
    run.export(tmp_path / "asked.agflow")

    again = load_run(tmp_path / "asked.agflow")
    assert again.result == 42
    assert again.story() == run.story()
    assert_that(tmp_path / "asked.agflow").completed().deployed("thinker", times=1)


def test_large_values_are_whole() -> None:
    @workflow(name="large")
    class Large:
        @step()
        def make(self, context: Context, text: str) -> str:
            context.state["text"] = text
            return text * 2

    text = "x" * 100_000
    run = run_local(Large, text=text)
    assert run.result == text * 2
    assert run.state == {"text": text}
    assert run.inputs == {"text": text}


@pytest.mark.parametrize("now", [datetime(2030, 5, 4, tzinfo=UTC), datetime(2030, 5, 4)])
def test_it_begins_when_it_is_told_to(now: datetime) -> None:
    with LocalEngine(now=now) as engine:
        assert engine.run(SlowOne).result == "2030-05-04T01:00:30+00:00"
        assert engine.now == datetime(2030, 5, 4, 1, 0, 30, tzinfo=UTC)


@pytest.mark.anyio
async def test_within_a_running_loop() -> None:
    assert run_local(Sums, numbers=[1]).result == 2
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(arun)


async def arun() -> None:
    run = await arun_local(Sums, numbers=[1, 2])
    assert run.result == 6


def test_under_asyncio_alone() -> None:
    assert asyncio.run(arun_local(Sums, numbers=[4])).result == 8


def test_a_result_that_is_not_there_yet() -> None:
    with LocalEngine() as engine:
        run = engine.start(Sums, numbers=[1])
        with pytest.raises(FlowError, match="sums is running, it has no result yet"):
            _ = run.result


def test_steps_may_call_threads_of_anyio() -> None:
    @workflow(name="threads")
    class Threads:
        @step()
        async def one(self, context: Context) -> list[int]:
            return [await anyio.to_thread.run_sync(lambda: 1), await asyncio.to_thread(lambda: 2)]

    assert run_local(Threads).result == [1, 2]


def test_the_network_is_not_there() -> None:
    @workflow(name="network")
    class Network:
        @step()
        async def one(self, context: Context) -> None:
            await asyncio.open_connection("127.0.0.1", 1)

    assert_that(run_local(Network)).failed(step="one", error="NoSystem", match="no sockets")
