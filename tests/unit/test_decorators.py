"""What a class cannot mean is said when it is made, naming class, step and parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentainer_flow import Context, DefinitionError, Workflow, parallel, step, workflow
from agentainer_flow.core.definition import Bind, Definition
from agentainer_flow.sdk.decorators import split_tags
from agentainer_flow.sdk.registry import code_of, load


def refused(message: str, make: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=message):
        make()


def test_unknown_dependency() -> None:
    class Broken:
        @step(depends_on=["nothing"])
        def use(self, context: Context) -> None: ...

    refused("workflow 'broken', step 'use'.*'nothing'", lambda: workflow(name="broken")(Broken))


def test_parameter_that_takes_anything() -> None:
    class Broken:
        @step()
        def use(self, context: Context, **everything: Any) -> None: ...

    refused("step 'use', parameter 'everything': cannot be bound", lambda: workflow()(Broken))


def test_step_without_context() -> None:
    class Broken:
        @step()
        def use(self) -> None: ...

    refused(r"needs the parameters \(self, context, …\)", lambda: workflow()(Broken))


def test_annotation_that_json_cannot_give() -> None:
    class Broken:
        @step()
        def use(self, context: Context, when: Callable[[], None]) -> None: ...

    refused(
        "step 'use', parameter 'when': annotation .* cannot be decoded", lambda: workflow()(Broken)
    )


def test_annotation_that_does_not_exist() -> None:
    class Broken:
        @step()
        def use(self, context: Context, x: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    refused(
        "step 'use': its annotations cannot be read: name 'Missing'", lambda: workflow()(Broken)
    )


def test_parallel_without_an_item() -> None:
    class Broken:
        @step()
        @parallel()
        def each(self, context: Context) -> None: ...

    refused("@parallel needs a parameter for the item", lambda: workflow()(Broken))


def test_parallel_that_could_mean_two_parameters() -> None:
    class Broken:
        @step()
        @parallel()
        def each(self, context: Context, page: str, model: str) -> None: ...

    refused("cannot tell which of page, model gets the item", lambda: workflow()(Broken))


def test_parallel_without_step() -> None:
    class Broken:
        @parallel()
        def each(self, context: Context, page: str) -> None: ...

    refused("step 'each': has @parallel but no @step", lambda: workflow()(Broken))


def test_reserved_name() -> None:
    class Broken:
        @step()
        def run(self, context: Context) -> None: ...

    refused("'run' is what starts a workflow", lambda: workflow()(Broken))


def test_second_class_of_the_same_name() -> None:
    class One:
        @step()
        def use(self, context: Context) -> None: ...

    class Two(One): ...

    workflow(name="taken")(One)
    refused("have the same name", lambda: workflow(name="taken")(Two))


def test_decorators_without_brackets_say_so() -> None:
    refused("with brackets", lambda: workflow(object))  # type: ignore[arg-type]  # pyright: ignore
    refused("with brackets", lambda: step(print))  # type: ignore[arg-type]  # pyright: ignore


def test_parameters_are_bound_by_rule() -> None:
    @workflow()
    class Bound(Workflow):
        @step()
        def fetch(self, context: Context) -> None: ...

        @step(depends_on=["fetch"])
        @parallel()
        def each(self, context: Context, chunk_id: int, raw: str) -> None: ...

        @step()
        def end(self, context: Context, each_results: list[None], model: str = "m") -> None: ...

    steps = code_of(Bound).definition.by_id

    assert steps["each"].binds == {"chunk_id": Bind(item=True), "raw": Bind("raw", "fetch")}
    assert steps["each"].parallel
    assert steps["each"].parallel.over == Bind("chunks")
    assert steps["end"].depends_on == ("each",)
    assert steps["end"].binds["model"] == Bind("model", optional=True)


def test_loading_says_what_is_there() -> None:
    refused("no workflow class 'Nothing'.*there: Workflows?|none", lambda: load("json:Nothing"))
    refused("cannot be imported", lambda: load("no_such_module:X"))
    refused("there is no file", lambda: load("no/such/file.py:X"))


def lasting(**lifetimes: Any) -> Definition:
    @workflow(name="lasting", **lifetimes)
    class Lasting:
        @step()
        def use(self, context: Context) -> None: ...

    return code_of(Lasting).definition


def test_lifetimes_are_part_of_a_definition_that_says_them() -> None:
    definition = lasting(log_ttl="90d", state_ttl=60)
    assert (definition.log_ttl_s, definition.state_ttl_s) == (7_776_000, 60)
    assert "ttl" not in lasting().json.decode()
    assert lasting().digest != definition.digest


@pytest.mark.parametrize("given", [{"log_ttl": "soon"}, {"state_ttl": 0}, {"log_ttl": "0s"}])
def test_a_lifetime_that_is_none(given: dict[str, Any]) -> None:
    refused("@workflow", lambda: lasting(**given))


def test_an_input_called_tags_is_an_input() -> None:
    @workflow(name="tagging")
    class Tagging(Workflow):
        @step()
        def use(self, context: Context, tags: list[str]) -> None: ...

    assert split_tags(Tagging(), {"tags": ["a"]}) == ({"tags": ["a"]}, None)
