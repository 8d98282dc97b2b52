"""`context.state` is shared by all tasks of a run; every change is atomic and in the log."""

from __future__ import annotations

import pytest

from agentainer_flow import (
    AsyncContext,
    Context,
    Workflow,
    WorkflowFailed,
    parallel,
    step,
    workflow,
)


def test_what_one_step_sets_the_next_one_reads() -> None:
    @workflow()
    class Handover(Workflow):
        @step()
        def put(self, context: Context) -> None:
            context.state["path"] = "/data"
            context.state.update({"a": 1}, b=[2])

        @step(depends_on=["put"])
        def get(self, context: Context) -> list[object]:
            found = "path" in context.state, context.state["path"], context.state.get("x", "none")
            del context.state["a"]
            return [*found, sorted(context.state)]

    assert Handover().run() == [True, "/data", "none", ["b", "path"]]


def test_parallel_tasks_lose_no_update() -> None:
    @workflow()
    class Counting(Workflow):
        @step()
        @parallel()
        def count(self, context: Context, item: int) -> None:
            for _ in range(5):
                context.state.incr("n", 2)
                context.state.append("items", item)

        @step(depends_on=["count"])
        def read(self, context: Context) -> list[int]:
            return [context.state["n"], len(context.state["items"])]

    assert Counting().run(items=16) == [160, 80]


def test_large_values_are_like_any_other() -> None:
    large = "x" * 100_000

    @workflow()
    class Large(Workflow):
        @step()
        def put(self, context: Context) -> None:
            context.state["text"] = large
            context.state.append("items", large)
            context.state.append("items", 1)

        @step(depends_on=["put"])
        def get(self, context: Context) -> list[bool]:
            return [context.state["text"] == large, context.state["items"] == [large, 1]]

    assert Large().run() == [True, True]


def test_list_above_the_limit_of_payloads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow()
    class Growing(Workflow):
        @step()
        def grow(self, context: Context) -> None:
            for _ in range(20):
                context.state.append("items", "x" * 90)

    monkeypatch.setenv("AGENTAINER_PAYLOAD_LIMIT", "1k")
    with pytest.raises(WorkflowFailed, match=r"state\['items'\]: append would make it 1\d+ bytes"):
        Growing().run()


def test_async_steps_await_the_same_names() -> None:
    @workflow()
    class Awaited(Workflow):
        @step()
        async def use(self, context: AsyncContext) -> list[object]:
            await context.state.set("k", {"v": 1})
            new = await context.state.incr("n", 0.5)
            return [await context.state["k"], new, await context.state.get("x")]

    assert Awaited().run() == [{"v": 1}, 0.5, None]


def test_assignment_in_an_async_step_says_what_to_write() -> None:
    @workflow()
    class Assigned(Workflow):
        @step()
        async def use(self, context: AsyncContext) -> None:
            context.state["k"] = 1

    with pytest.raises(WorkflowFailed, match=r"await context\.state\.set\('k', …\)"):
        Assigned().run()


def test_incr_of_something_that_is_no_number_is_refused() -> None:
    @workflow()
    class NoNumber(Workflow):
        @step()
        def use(self, context: Context) -> None:
            context.state["k"] = "text"
            context.state.incr("k")

    with pytest.raises(WorkflowFailed, match=r"state\['k'\]: incr needs a number"):
        NoNumber().run()
