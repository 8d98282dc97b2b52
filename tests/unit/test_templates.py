"""References in container graphs."""

from __future__ import annotations

from typing import Any

import pytest

from agentainer_flow.core.errors import InputError
from agentainer_flow.sdk.templates import fill, fill_text, references

SCOPE: dict[str, Any] = {
    "input": {"source": "s3://bucket", "n": 3},
    "results": {"fetch": {"pages": ["a", "b"], "deep": {"x": None}}, "fan": [1, 2]},
    "item": {"id": 7},
    "index": 0,
    "workflow_id": "w1",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("${input.source}/data", "s3://bucket/data"),
        ("${input.n}-${index}", "3-0"),
        ("${results.fetch.pages.1}", "b"),
        ("${results.fan}", "[1,2]"),
        ("${item.id}", "7"),
        ("$${input.source}", "${input.source}"),
        ("${ input.source }", "s3://bucket"),
        ("$5 {x}", "$5 {x}"),
    ],
)
def test_texts(text: str, filled: str) -> None:
    assert fill_text(text, SCOPE) == filled


def test_values_keep_their_type_where_a_text_is_one_reference() -> None:
    value = {"pages": "${results.fetch.pages}", "n": ["${input.n}", "n=${input.n}"], "x": 1.5}
    assert fill(value, SCOPE) == {"pages": ["a", "b"], "n": [3, "n=3"], "x": 1.5}


@pytest.mark.parametrize("text", ["${nope}", "${input..a}", "${}", "${__class__}", "${item[0]}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no reference"):
        list(references(text))


@pytest.mark.parametrize(
    "text", ["${input.none}", "${results.fan.9}", "${input.source.x}", "${results.fetch.deep.x.y}"]
)
def test_what_leads_nowhere_says_how_far_it_leads(text: str) -> None:
    with pytest.raises(InputError, match="leads nowhere"):
        fill_text(text, SCOPE)


def test_attributes_are_out_of_reach() -> None:
    with pytest.raises(InputError):
        fill_text("${input.__class__}", SCOPE)
