"""What others are told of a class, to create runs of it."""

from __future__ import annotations

from agentainer_flow import Context, step, workflow
from agentainer_flow.core.registrations import InputSpec
from agentainer_flow.sdk.creation import registration_of
from agentainer_flow.sdk.registry import code_of


@workflow(name="lax")
class Lax:
    @step()
    def take(self, context: Context, anything: object, number: int = 1) -> object:
        return anything


def test_an_input_is_told_with_its_schema_where_there_is_one() -> None:
    inputs = registration_of(code_of(Lax)).inputs

    assert InputSpec("anything", required=True) in inputs
    assert InputSpec("number", schema={"type": "integer"}) in inputs
