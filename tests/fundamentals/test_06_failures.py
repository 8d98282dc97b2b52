"""What failing tasks lead to: retries, collected errors, time limits."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentainer_flow import (
    AgentFailed,
    AsyncContext,
    Backoff,
    Context,
    TaskError,
    Workflow,
    WorkflowFailed,
    parallel,
    quorum,
    step,
    workflow,
)

AT_ONCE = Backoff(initial=0.01)


def test_failed_task_is_tried_again() -> None:
    @workflow()
    class Flaky(Workflow):
        @step(retries=3, backoff=AT_ONCE)
        def often(self, context: Context) -> int:
            if context.attempt < 3:
                raise ConnectionError("not yet")
            return context.attempt

    assert Flaky().run() == 3


def test_retries_end_with_the_last_error() -> None:
    @workflow()
    class Hopeless(Workflow):
        @step(retries=2, backoff=AT_ONCE)
        def never(self, context: Context) -> None:
            raise ConnectionError(f"attempt {context.attempt}")

    with pytest.raises(WorkflowFailed, match="attempt 3"):
        Hopeless().run()


@pytest.mark.parametrize(("error", "attempts"), [(ConnectionResetError, 3), (ValueError, 1)])
def test_rules_say_what_is_tried_again_base_classes_count(
    error: type[Exception], attempts: int
) -> None:
    seen: list[int] = []

    @workflow()
    class Ruled(Workflow):
        @step(retries=2, backoff=AT_ONCE, retry_on=[OSError])
        def fail(self, context: Context) -> None:
            seen.append(context.attempt)
            raise error

    with pytest.raises(WorkflowFailed):
        Ruled().run()
    assert seen == list(range(1, attempts + 1))


def test_exit_codes_may_be_excluded_from_retries() -> None:
    seen: Counter[int] = Counter()

    @workflow()
    class Excluded(Workflow):
        @step(retries=1, backoff=AT_ONCE, no_retry_on=[64])
        @parallel(on_failure="collect")
        def ask(self, context: Context, code: int) -> None:
            seen[code] += 1
            context.deploy_agent("agent", "any", command=f"exit {code}").wait()

    Excluded().run(codes=[3, 64])
    assert seen == {3: 2, 64: 1}


def test_retry_keeps_the_agents_that_succeeded(tmp_path: Path) -> None:
    @workflow()
    class Keeps(Workflow):
        @step(retries=1, backoff=AT_ONCE)
        def work(self, context: Context) -> list[str]:
            count = f"echo x >> {tmp_path}/$AGENTAINER_JOB_ID; echo 1"
            good = context.deploy_agent("good", "any", command=count)
            good.wait()
            bad = context.deploy_agent("bad", "any", command=f"exit {2 - context.attempt}")
            bad.wait()
            return [good.id, bad.id]

    assert Keeps().run() == ["work-0-good", "work-0-bad~2"]
    assert (tmp_path / "work-0-good").read_text() == "x\n"


def test_retry_from_scratch_launches_all_anew() -> None:
    @workflow()
    class Anew(Workflow):
        @step(retries=1, backoff=AT_ONCE, retry_from="scratch")
        def work(self, context: Context) -> str:
            agent = context.deploy_agent("good", "any", command="echo 1")
            agent.wait()
            if context.attempt == 1:
                raise ValueError("after the agent")
            return agent.id

    assert Anew().run() == "work-0-good@2"


def test_recorded_values_stay_when_the_body_runs_again() -> None:
    made: list[int] = []

    def draw() -> int:
        made.append(1)
        return len(made)

    @workflow()
    class Recorded(Workflow):
        @step(retries=1, backoff=AT_ONCE)
        def work(self, context: Context) -> list[Any]:
            value = context.run("draw", draw)
            moment = context.now()
            if context.attempt == 1:
                context.state["first"] = [value, moment.isoformat()]
                raise ValueError("after drawing")
            return [value, moment.isoformat()] == context.state["first"] and made

    assert Recorded().run() == [1]


def test_sleep_goes_on_where_the_body_left_off() -> None:
    @workflow()
    class Sleeps(Workflow):
        @step(retries=1, backoff=AT_ONCE)
        async def work(self, context: AsyncContext) -> float:
            begun = time.monotonic()
            if context.attempt == 1:
                with anyio.move_on_after(0.5):
                    await context.sleep(0.6)
                raise ValueError("woken too early")
            await context.sleep(0.6)
            return time.monotonic() - begun

    assert Sleeps().run() < 0.5


def test_others_run_while_a_task_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTAINER_SLOTS", "1")
    ended: list[int] = []

    @workflow()
    class Sleepy(Workflow):
        @step()
        @parallel()
        async def each(self, context: AsyncContext, item: int) -> None:
            if item == 0:
                await context.sleep(0.5)
            ended.append(item)

    Sleepy().run(items=3)
    assert ended == [1, 2, 0]


def test_collect_puts_errors_in_the_place_of_results() -> None:
    @workflow()
    class Collects(Workflow):
        @step()
        @parallel(on_failure="collect")
        def divide(self, context: Context, number: int) -> int:
            return 12 // number

        @step()
        def join(self, context: Context, divide_results: list[int | TaskError]) -> list[str]:
            return [
                f"{result.index}: {result.error}" if isinstance(result, TaskError) else str(result)
                for result in divide_results
            ]

    assert Collects().run(numbers=[3, 0, 4]) == ["4", "1: ZeroDivisionError", "3"]


def test_collected_errors_have_their_type_without_annotations() -> None:
    @workflow()
    class Untyped(Workflow):
        @step()
        @parallel(on_failure="collect")
        def fail(self, context: Context, item: int) -> Any:
            return {"fine": item} if item else 1 // 0

        @step(depends_on=["fail"])
        def join(self, context: Context, outcomes: Any) -> list[bool]:
            return [isinstance(outcome, TaskError) for outcome in outcomes]

    assert Untyped().run(items=2) == [True, False]


@pytest.mark.parametrize(("needed", "ends"), [(2, "completed"), (3, "failed")])
def test_quorum_says_how_many_must_succeed(needed: int, ends: str) -> None:
    @workflow(name=f"quorum-{needed}")
    class Some(Workflow):
        @step()
        @parallel(on_failure=quorum(needed))
        def divide(self, context: Context, number: int) -> int:
            return 12 // number

    if ends == "completed":
        assert [type(x) for x in Some().run(numbers=[0, 1, 2])] == [dict, int, int]
    else:
        with pytest.raises(WorkflowFailed, match="ZeroDivisionError"):
            Some().run(numbers=[0, 1, 2])


def test_task_that_takes_too_long_fails_and_may_be_tried_again() -> None:
    @workflow()
    class Slow(Workflow):
        @step(timeout=0.3, retries=1, backoff=AT_ONCE, retry_on=["TaskTimeout"])
        def work(self, context: Context) -> int:
            if context.attempt == 1:
                time.sleep(30)
            return context.attempt

    assert Slow().run() == 2


def test_agents_of_a_task_that_took_too_long_are_stopped() -> None:
    @workflow()
    class SlowAgent(Workflow):
        @step(timeout=0.5)
        async def work(self, context: AsyncContext) -> None:
            agent = await context.deploy_agent("sleeper", "any", command="sleep 600")
            await agent.wait()

    with pytest.raises(WorkflowFailed, match=r"TaskTimeout: the task ran longer than 0\.5 s"):
        SlowAgent().run()


def test_task_that_no_worker_takes_in_time_fails() -> None:
    @workflow()
    class Crowded(Workflow):
        @step(queue_timeout=0.3)
        @parallel(max_workers=1)
        def work(self, context: Context, item: int) -> None:
            time.sleep(1)

    with pytest.raises(WorkflowFailed, match="QueueTimeout: no worker took it in time"):
        Crowded().run(items=3)


def test_run_that_takes_too_long_fails_with_what_it_runs() -> None:
    @workflow(timeout=0.5)
    class TooLong(Workflow):
        @step()
        async def wait(self, context: AsyncContext) -> None:
            agent = await context.deploy_agent("sleeper", "any", command="sleep 600")
            with pytest.raises(AgentFailed):
                await agent.wait()

    with pytest.raises(WorkflowFailed, match="WorkflowTimeout"):
        TooLong().run()


def test_workflow_bounds_its_parallel_tasks() -> None:
    running: Counter[str] = Counter()
    most: list[int] = []

    @workflow(max_parallel=2)
    class Bounded(Workflow):
        @step()
        @parallel()
        async def left(self, context: AsyncContext, item: int) -> None:
            await self.work()

        @step()
        @parallel()
        async def right(self, context: AsyncContext, item: int) -> None:
            await self.work()

        async def work(self) -> None:
            running["now"] += 1
            most.append(running["now"])
            await anyio.sleep(0.02)
            running["now"] -= 1

    Bounded().run(items=5)
    assert max(most) == 2
