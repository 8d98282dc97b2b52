"""Trace context: ids that follow from the log, W3C traceparent, and the decision to sample.

Every id is a digest of what it names, so whoever exports a workflow, whenever and however often,
gives the same spans the same ids (https://www.w3.org/TR/trace-context/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01


class SpanContext(msgspec.Struct, frozen=True):
    """A span from outside: ids in hex."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"


class Trace(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run records of tracing when it is created."""

    #: The traceparent of who started it.
    caller: str = ""
    #: It is a part of the caller's trace. Otherwise it has one of its own, linked to the caller.
    joined: bool = False
    sampled: bool = True


def trace_id_of(workflow: str, trace: Trace | None = None) -> str:
    """The trace of a run: the caller's when it joined that, else one made of its id."""
    if trace and trace.joined and (caller := parse_traceparent(trace.caller)):
        return caller.trace_id
    return blake2b(workflow.encode(), digest_size=16, person=b"agentainer-trace").hexdigest()


def span_id_of(workflow: str, *place: object) -> str:
    """The id of a span of a run, by kind, step, index, attempt …"""
    name = "|".join(map(str, (workflow, *place)))
    return blake2b(name.encode(), digest_size=8, person=b"agentainer-span").hexdigest()


def attempt_context(
    workflow: str, trace: Trace | None, step: str, index: int, attempt: int
) -> SpanContext:
    """The span of one attempt of a task."""
    span_id = span_id_of(workflow, "attempt", step, index, attempt)
    return SpanContext(trace_id_of(workflow, trace), span_id, trace is None or trace.sampled)


def parse_traceparent(text: str) -> SpanContext | None:
    """None for what is no valid one: a broken header of a caller fails nothing."""
    found = _TRACEPARENT.fullmatch(text.strip())
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    is_known = version != "ff" and (rest is None or version != "00")
    if not is_known or set(trace_id) == {"0"} or set(span_id) == {"0"}:
        return None
    return SpanContext(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def begin_trace(
    workflow: str, caller: str, *, joined: bool, environ: Mapping[str, str]
) -> Trace | None:
    """What a new run records; None when it goes by itself and is sampled.

    Samples as OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say.
    """
    context = parse_traceparent(caller) if caller else None
    known = Trace(caller.strip(), joined) if context else Trace()
    sampled = _is_sampled(trace_id_of(workflow, known), context, environ)
    trace = msgspec.structs.replace(known, sampled=sampled)
    return None if trace == Trace() else trace


def _is_sampled(trace_id: str, caller: SpanContext | None, environ: Mapping[str, str]) -> bool:
    sampler = environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
    if sampler.startswith("parentbased_"):
        if caller is not None:
            return caller.sampled
        sampler = sampler.removeprefix("parentbased_")
    if sampler == "traceidratio":
        return int(trace_id[16:], 16) < _ratio(environ) * 2**64
    return sampler != "always_off"


def _ratio(environ: Mapping[str, str]) -> float:
    try:
        return min(1.0, max(0.0, float(environ.get("OTEL_TRACES_SAMPLER_ARG", "1"))))
    except ValueError:
        return 1.0
