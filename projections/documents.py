"""The JSON documents that operators read with redis-cli, and that list and status show.

`workflow:<id>` is one `WorkflowDocument`, `workflow:<id>:steps` a list of `StepDocument`s. Each
says the version of the log that it reflects.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import msgspec

from ..core.definition import Definition, StepSpec
from ..core.events import Failure, ForkedFrom
from .state import StateValue
from .workflow import JobView, Result, StepView, WorkflowView


class StepDocument(msgspec.Struct, frozen=True):
    id: str
    name: str
    type: Literal["sequential", "parallel"]
    status: str
    version: int
    dependencies: list[str]
    jobs: list[str]
    tasks: dict[str, int]
    config: dict[str, Any]
    scheduled_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: Failure | None = None


class WorkflowDocument(msgspec.Struct, frozen=True):
    id: str
    name: str
    status: str
    version: int
    created_at: str
    updated_at: str
    config: dict[str, Any]
    steps: list[StepDocument]
    #: Values that are too large for the log are shown as where they lie, see `Blob`.
    state: dict[str, StateValue]
    tags: dict[str, str] = {}
    input: dict[str, Result] = {}
    started_at: str | None = None
    ended_at: str | None = None
    error: Failure | None = None
    forked_from: ForkedFrom | None = None


class JobDocument(msgspec.Struct, frozen=True):
    """One agent, with the workflow and step it belongs to."""

    id: str
    workflow: str
    step: str
    index: int
    attempt: int
    name: str
    image: str
    status: str
    container: str
    host: str
    runtime: str
    requested_at: str | None
    launched_at: str | None
    ended_at: str | None
    error: Failure | None = None


encode = msgspec.json.Encoder().encode


def document(view: WorkflowView, definition: Definition) -> WorkflowDocument:
    return WorkflowDocument(
        id=view.id,
        name=view.name,
        status=view.status,
        version=view.version,
        created_at=iso(view.created_ms) or "",
        updated_at=iso(view.updated_ms) or "",
        config={"definition": view.definition_digest, "code": view.code},
        steps=[step_document(view.step(spec.id), spec) for spec in definition.steps],
        state=view.state,
        tags=view.tags,
        input=view.input,
        started_at=iso(view.started_ms),
        ended_at=iso(view.ended_ms),
        error=view.error.error if view.error else None,
        forked_from=view.forked_from,
    )


def step_document(step: StepView, spec: StepSpec) -> StepDocument:
    config: dict[str, Any] = {"kind": spec.kind}
    if spec.container:
        config["image"] = spec.container.image
    if spec.parallel:
        config["max_workers"] = spec.parallel.max_workers
    return StepDocument(
        id=step.id,
        name=step.id,
        type="parallel" if spec.parallel else "sequential",
        status=step.status,
        version=step.version,
        dependencies=list(spec.depends_on),
        jobs=step.jobs,
        tasks={
            "total": step.total,
            "running": step.running,
            "completed": step.completed,
            "failed": len(step.failures),
        },
        config=config,
        scheduled_at=iso(step.scheduled_ms),
        started_at=iso(step.started_ms),
        ended_at=iso(step.ended_ms),
        error=step.error,
    )


def job_document(view: WorkflowView, job: JobView) -> JobDocument:
    return JobDocument(
        id=job.id,
        workflow=view.id,
        step=job.step,
        index=job.index,
        attempt=job.attempt,
        name=job.name,
        image=job.image,
        status=job.status,
        container=job.container,
        host=job.host,
        runtime=job.runtime,
        requested_at=iso(job.requested_ms),
        launched_at=iso(job.launched_ms),
        ended_at=iso(job.ended_ms),
        error=job.error,
    )


@lru_cache(maxsize=4096)
def iso(ms: int | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
