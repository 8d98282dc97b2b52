"""What the API answers with. Times are RFC 3339 in UTC, durations seconds, sizes bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.events import Failure
from ..projections.documents import JobDocument, StepDocument, iso
from ..projections.summaries import StepSummary, Summary
from ..projections.workflow import WorkflowStatus

Json = Annotated[Any, Meta(description="Any JSON.")]


class Links(msgspec.Struct, frozen=True):
    """Where to go from a workflow."""

    self: str
    events: str
    state: str
    steps: str
    jobs: str
    start: str
    pause: str
    resume: str
    cancel: str


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as of `version` of its log."""

    id: str
    name: str
    status: WorkflowStatus
    version: Annotated[int, Meta(ge=1)]
    created_at: str
    updated_at: str
    started_at: str | None = None
    ended_at: str | None = None
    tags: dict[str, str] = {}
    config: dict[str, Any]
    input: dict[str, Json]
    state: dict[str, Json]
    steps: list[StepDocument]
    #: What it returned, once it has completed.
    result: Json | UnsetType = UNSET
    error: Failure | None = None
    links: Links


class WorkflowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a page says about a workflow."""

    id: str
    name: str
    status: str
    version: int
    created_at: str
    updated_at: str
    started_at: str | None
    ended_at: str | None
    tags: dict[str, str]
    steps: list[StepSummary]


class WorkflowPage(msgspec.Struct, frozen=True, kw_only=True):
    """Workflows, newest first. A page may be short, or empty, and not the last."""

    items: list[WorkflowSummary]
    #: Cursor of the next page; absent on the last one.
    next: str | UnsetType = UNSET


class StepList(msgspec.Struct, frozen=True):
    items: list[StepDocument]


class JobList(msgspec.Struct, frozen=True):
    items: list[JobDocument]


class LogLine(msgspec.Struct, frozen=True):
    """One line that an agent printed."""

    id: str
    time: str
    stream: Literal["stdout", "stderr"]
    text: str


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    items: list[LogLine]
    next: str | UnsetType = UNSET


class StateValue(msgspec.Struct, frozen=True):
    """What a key holds after a change."""

    key: str
    value: Json


def summary_of(one: Summary) -> WorkflowSummary:
    return WorkflowSummary(
        id=one.id,
        name=one.name,
        status=one.status,
        version=one.version,
        created_at=_moment(one.created_at) or "",
        updated_at=_moment(one.updated_at) or "",
        started_at=_moment(one.started_at),
        ended_at=_moment(one.ended_at),
        tags=one.tags,
        steps=one.steps,
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else iso(round(moment.timestamp() * 1000))


def links_of(workflow: str) -> Links:
    base = f"/workflows/{workflow}"
    parts = ("events", "state", "steps", "jobs", "start", "pause", "resume", "cancel")
    return Links(base, *(f"{base}/{part}" for part in parts))


def relation(rel: str, target: str) -> str:
    return f'<{target}>; rel="{rel}"'
