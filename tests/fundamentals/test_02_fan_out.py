"""`@parallel` runs a step once per item; the next step gets the results as a list."""

from __future__ import annotations

import threading

import msgspec
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


def test_count_makes_items_from_zero_on() -> None:
    @workflow()
    class Counted(Workflow):
        @step()
        @parallel(max_workers=3)
        def square(self, context: Context, chunk_id: int) -> int:
            return chunk_id**2

    assert Counted().run(chunks=5) == [0, 1, 4, 9, 16]


def test_list_gives_its_items_and_results_keep_their_order() -> None:
    @workflow()
    class Listed(Workflow):
        @parallel()
        @step()
        def shout(self, context: Context, word: str) -> str:
            return word.upper()

        @step(depends_on=["shout"])
        def join(self, context: Context, shouted: list[str]) -> str:
            return " ".join(shouted)

    assert Listed().run(words=["c", "a", "b"]) == "C A B"


def test_items_may_come_from_a_step() -> None:
    @workflow()
    class FromStep(Workflow):
        @step()
        def pages(self, context: Context) -> list[str]:
            return ["x", "yy"]

        @step()
        @parallel()
        async def measure(self, context: AsyncContext, page: str) -> int:
            return len(page)

    assert FromStep().run() == [1, 2]


def test_items_may_be_computed_from_the_inputs() -> None:
    @workflow()
    class Computed(Workflow):
        @step()
        @parallel(over=lambda inputs: range(0, inputs["stop"], 10))
        def size(self, context: Context, offset: int, stop: int) -> int:
            return min(offset + 10, stop) - offset

    assert Computed().run(stop=25) == [10, 10, 5]


def test_no_items_complete_at_once_with_an_empty_list() -> None:
    @workflow()
    class Empty(Workflow):
        @step()
        @parallel()
        def each(self, context: Context, item: str) -> str:
            return item

        @step()
        def count(self, context: Context, each_results: list[str]) -> int:
            return len(each_results)

    assert Empty().run(items=[]) == 0


def test_max_workers_bounds_what_runs_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()
    barrier = threading.Barrier(2)

    @workflow()
    class Bounded(Workflow):
        @step()
        @parallel(max_workers=2)
        def work(self, context: Context, item: int) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            barrier.wait(timeout=10)  # two do run together …
            with lock:
                running -= 1

    Bounded().run(items=8)

    assert most == 2  # … and never three


def test_one_failing_task_fails_the_step() -> None:
    @workflow()
    class OneBad(Workflow):
        @step()
        @parallel()
        def each(self, context: Context, item: int) -> int:
            return 1 // (item - 2)

    with pytest.raises(WorkflowFailed) as caught:
        OneBad().run(items=4)
    assert (caught.value.step, caught.value.index) == ("each", 2)


def test_fan_out_over_something_that_is_no_list_says_so() -> None:
    @workflow()
    class NotAList(Workflow):
        @step()
        def pages(self, context: Context) -> str:
            return "one"

        @step()
        @parallel()
        def read(self, context: Context, page: str) -> str:
            return page

    with pytest.raises(WorkflowFailed, match="must be a count or a list"):
        NotAList().run()


class Point(msgspec.Struct):
    x: int
    y: int


def test_annotations_convert_items_and_results() -> None:
    @workflow()
    class Typed(Workflow):
        @step()
        @parallel()
        def mirror(self, context: Context, point: Point) -> Point:
            return Point(point.y, point.x)

        @step()
        def right(self, context: Context, mirror_results: list[Point]) -> int:
            return max(point.x for point in mirror_results)

    assert Typed().run(points=[{"x": 1, "y": 5}, {"x": 2, "y": 3}]) == 5


def test_thousands_of_tasks_are_queued_in_portions() -> None:
    @workflow()
    class Large(Workflow):
        @step()
        @parallel()
        async def each(self, context: AsyncContext, item: int) -> int:
            return item

        @step()
        async def total(self, context: AsyncContext, each_results: list[int]) -> int:
            return sum(each_results)

    assert Large().run(items=2500) == sum(range(2500))


def test_count_beyond_all_bounds_is_refused() -> None:
    @workflow()
    class Boundless(Workflow):
        @step()
        @parallel()
        async def each(self, context: AsyncContext, item: int) -> None: ...

    with pytest.raises(WorkflowFailed, match=r"which is 2,000,000,000; a count is 0 to 1,000,000"):
        Boundless().run(items=2_000_000_000)
