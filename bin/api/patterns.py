"""The constrained types that requests and answers are made of."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ..core.definition import NAME

Text = Annotated[str, Meta(min_length=1)]

Name = Annotated[
    str, Meta(pattern=f"^{NAME.pattern}$", max_length=100, examples=["nightly-report"])
]

WorkflowId = Annotated[
    str, Meta(min_length=1, max_length=64, examples=["06ek8mz4v5q4h6bw2n8x1d9c3a"])
]

Moment = Annotated[
    str,
    Meta(
        max_length=64,
        examples=["2026-01-31T12:00:00Z"],
        description="RFC 3339.",
        extra_json_schema={"format": "date-time"},
    ),
]

Limit = Annotated[int, Meta(ge=1, le=500, description="Items of a page at most.")]

Cursor = Annotated[
    str,
    Meta(
        pattern="^[0-9]{1,15}-[0-9a-z]{1,64}$",
        max_length=80,
        description="Where the page begins: `next` of the one before.",
    ),
]


def tags_of(texts: list[str]) -> dict[str, str]:
    """`key:value` texts as a mapping."""
    return {key: value for key, _, value in (text.partition(":") for text in texts)}


Tag = Annotated[
    str,
    Meta(
        pattern=r"^[^:\x00-\x1f]{1,64}:[^\x00-\x1f]{0,256}$",
        max_length=321,
        examples=["team:search"],
        description="`key:value` of a tag.",
    ),
]
