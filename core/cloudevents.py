"""Events as others get them: CloudEvents 1.0, the one shape on REST, streams, webhooks and exports.

`source` and `id` name an event for ever: the workflow and the version of its log. `sequence` sorts
as text, as its extension asks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from .events import EVENTS, Event, Recorded, Unknown, encode_event

PREFIX = "io.agentainer."
MEDIA_TYPE = "application/cloudevents+json"
BATCH_MEDIA_TYPE = "application/cloudevents-batch+json"

Text = Annotated[str, msgspec.Meta(min_length=1)]


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `data` is what `docs/events.md` lists for its type."""

    specversion: Literal["1.0"] = "1.0"
    #: `<workflow>:<version>`
    id: Text
    #: `/workflows/<workflow>`, where the API has it.
    source: Text
    #: `io.agentainer.<type>.v<schema>`, such as `io.agentainer.task.completed.v1`.
    type: Text
    #: RFC 3339, by the clock of the Redis server.
    time: Text
    #: The step, task or agent concerned: `fetch`, `fetch/3`, `fetch/3/fetch-3-agent`.
    subject: Text | msgspec.UnsetType = msgspec.UNSET
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: Text
    #: The version, padded so that it sorts as text.
    sequence: Text
    sequencetype: Literal["Integer"] = "Integer"
    #: The workflow: events of one are in order.
    partitionkey: Text
    #: The definition's name; absent when the workflow has been deleted.
    workflowname: Text | msgspec.UnsetType = msgspec.UNSET
    #: Who wrote it: client, engine, clock, janitor, or a worker or launcher by name.
    actor: str
    #: `id` of the event that led to it.
    causationid: Text | msgspec.UnsetType = msgspec.UNSET
    data: Annotated[Any, msgspec.Meta(description="Fields of the event's type.")]


encode = msgspec.json.Encoder().encode


def cloud_event(workflow: str, name: str, recorded: Recorded, iso: str) -> CloudEvent:
    """The public form of an event; `iso` is its time, `name` the definition's ("": not known)."""
    event = recorded.event
    cause = recorded.cause
    schema = max(recorded.schema, schema_of(recorded.type))
    return CloudEvent(
        id=f"{workflow}:{recorded.version}",
        source=f"/workflows/{workflow}",
        type=f"{PREFIX}{recorded.type}.v{schema}",
        time=iso,
        subject=_subject(event),
        dataschema=f"urn:agentainer:event:{recorded.type}:{schema}",
        sequence=f"{recorded.version:020}",
        partitionkey=workflow,
        workflowname=name or msgspec.UNSET,
        actor=recorded.by,
        causationid=f"{workflow}:{cause}" if cause else msgspec.UNSET,
        data=msgspec.Raw(encode_event(event).encode()),
    )


def public_type(kind: str) -> str:
    return f"{PREFIX}{kind}.v{schema_of(kind)}"


def schema_of(kind: str) -> int:
    """The schema number of a type; 1 for one that this release does not know."""
    known = EVENTS.get(kind)
    return known.schema if known else 1


def _subject(event: Event) -> str | msgspec.UnsetType:
    if isinstance(event, Unknown):
        return msgspec.UNSET
    parts = [getattr(event, name, None) for name in ("step", "index", "job")]
    found = [str(part) for part in parts if part is not None]
    return "/".join(found) if found and parts[0] else msgspec.UNSET


def type_filter(patterns: list[str]) -> Callable[[str], bool]:
    """Whether a type is wanted: `task.completed`, `task.*`, or as in CloudEvents. Empty: all."""
    wanted = [_short(pattern) for pattern in patterns]
    exact = {pattern for pattern in wanted if not pattern.endswith("*")}
    heads = tuple(pattern[:-1] for pattern in wanted if pattern.endswith("*"))
    return lambda kind: not wanted or kind in exact or bool(heads and kind.startswith(heads))


def _short(pattern: str) -> str:
    """`io.agentainer.task.completed.v1` as `task.completed`."""
    short = pattern.removeprefix(PREFIX)
    if short == pattern:
        return pattern
    head, _, tail = short.rpartition(".v")
    return head if head and tail.isdigit() else short
