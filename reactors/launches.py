"""What is to be launched for a job, as its request says."""

from __future__ import annotations

from msgspec.structs import replace

from ..core import events as e
from ..core.tracing import parse_traceparent, span_id_of
from .runtimes.contract import Launch, Limits


def launch_of(workflow: str, event: e.JobRequested) -> Launch:
    spec = event.spec
    return Launch(
        workflow=workflow,
        step=event.step,
        index=event.index,
        attempt=event.attempt,
        job=event.job,
        name=event.name,
        image=spec.image,
        command=None if spec.command is None else tuple(spec.command),
        env=spec.env,
        secrets=spec.secrets,
        input=bytes(spec.input).decode(),
        traceparent=_traceparent_of(workflow, event),
        network=spec.network,
        limits=Limits(
            memory_bytes=spec.memory_bytes,
            cpus=spec.cpus,
            pids=spec.pids,
            timeout_s=spec.timeout_s,
            grace_s=spec.grace_s,
        ),
    )


def _traceparent_of(workflow: str, event: e.JobRequested) -> str | None:
    """The span of the agent, within the trace of the attempt that asked for it."""
    asked = parse_traceparent(event.spec.traceparent)
    if asked is None:
        return None
    return replace(asked, span_id=span_id_of(workflow, "agent", event.job)).traceparent
