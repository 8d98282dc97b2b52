"""A workflow is a class, its steps are methods; results flow by the names of parameters."""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow import AsyncContext, Context, Workflow, WorkflowFailed, step, workflow


def test_result_is_what_the_last_step_returns() -> None:
    @workflow()
    class OneStep(Workflow):
        @step()
        def greet(self, context: Context, name: str) -> str:
            return f"hello {name}"

    assert OneStep().run(name="world") == "hello world"


def test_step_gets_the_result_of_the_step_it_depends_on() -> None:
    @workflow()
    class Chained(Workflow):
        @step(name="fetch")
        def fetch(self, context: Context) -> dict[str, int]:
            return {"rows": 3}

        @step(name="count", depends_on=["fetch"])
        def count(self, context: Context, fetched: dict[str, int]) -> int:
            return fetched["rows"] + 1

    assert Chained().run() == 4


def test_parameter_named_after_a_step_gets_its_result_and_waits_for_it() -> None:
    @workflow()
    class Named(Workflow):
        @step()
        def left(self, context: Context) -> int:
            return 1

        @step()
        def right(self, context: Context) -> int:
            return 2

        @step()
        def add(self, context: Context, left: int, right_result: int) -> int:
            return left + right_result

    assert Named().run() == 3


def test_several_ends_give_a_dict_by_step() -> None:
    @workflow()
    class TwoEnds(Workflow):
        @step()
        def one(self, context: Context) -> int:
            return 1

        @step()
        async def two(self, context: AsyncContext) -> int:
            return 2

    assert TwoEnds().run() == {"one": 1, "two": 2}


def test_async_and_plain_steps_mix() -> None:
    @workflow()
    class Mixed(Workflow):
        @step()
        async def first(self, context: AsyncContext) -> int:
            return context.attempt

        @step()
        def second(self, context: Context, first: int) -> str:
            return f"{context.step_id} {context.index} {first}"

    assert Mixed().run() == "second 0 1"


def test_inherited_steps_belong_to_the_workflow() -> None:
    class Base:
        @step()
        def load(self, context: Context) -> str:
            return "base"

        @step(depends_on=["load"])
        def end(self, context: Context, loaded: str) -> str:
            return loaded.upper()

    @workflow()
    class Derived(Base, Workflow):
        def load(self, context: Context) -> str:
            return "derived"

    assert Derived().run() == "DERIVED"


def test_missing_input_is_said_before_anything_starts() -> None:
    @workflow()
    class NeedsInput(Workflow):
        @step()
        def use(self, context: Context, city: str) -> str:
            return city

    with pytest.raises(
        Exception, match=r"NeedsInput: step 'use' needs input 'city'.*inputs given: town"
    ):
        NeedsInput().run(town="Rome")


def test_default_stands_in_for_a_missing_input() -> None:
    @workflow()
    class Defaulted(Workflow):
        @step()
        def use(self, context: Context, city: str = "Rome") -> str:
            return city

    assert Defaulted().run() == "Rome"


def test_failing_step_fails_the_workflow_and_says_where() -> None:
    @workflow()
    class Failing(Workflow):
        @step()
        def boom(self, context: Context) -> None:
            raise ValueError("the well is dry")

    with pytest.raises(WorkflowFailed, match="the well is dry") as caught:
        Failing().run()
    assert (caught.value.step, caught.value.index, caught.value.cause) == ("boom", 0, "ValueError")


def test_result_that_is_no_json_fails_with_what_to_return_instead() -> None:
    @workflow()
    class Unstorable(Workflow):
        @step()
        def make(self, context: Context) -> Any:
            return object()

    with pytest.raises(WorkflowFailed, match="the result of step 'make' cannot be stored as JSON"):
        Unstorable().run()


def test_constructor_arguments_reach_the_steps() -> None:
    @workflow()
    class Constructed(Workflow):
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @step()
        def times(self, context: Context, number: int) -> int:
            return self.factor * number

    assert Constructed(6).run(number=7) == 42
