"""Export spans by OTLP, with the exporters and the settings of OpenTelemetry (`OTEL_*`)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import SettingsError
from ..projections.spans import Link, Moment, Span

INSTALL = "pip install 'agentainer-flow[otlp]'"
#: What the protocols are called, and where their exporters are.
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for traces by OTLP."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    chosen = environ.get("OTEL_TRACES_EXPORTER", "")
    if chosen:
        return "otlp" in [name.strip() for name in chosen.split(",")]
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return any(environ.get(name) for name in names)


def is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto") is not None
    except ModuleNotFoundError:  # not even the packages above it
        return False


class Exporter:
    """Sends spans to a collector. Its calls wait for the network: not for an event loop.

    Raises SettingsError for a protocol that it does not know, or packages that are missing.
    """

    def __init__(self, *, endpoint: str | None = None) -> None:
        protocol = _protocol(os.environ)
        module = _EXPORTERS.get(protocol)
        if module is None:
            known = " or ".join(_EXPORTERS)
            raise SettingsError(f"OTEL_EXPORTER_OTLP_PROTOCOL: expected {known}, got {protocol!r}")
        try:
            made = importlib.import_module(module)
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import SpanExportResult
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as error:
            raise SettingsError(f"traces by OTLP need packages: {INSTALL} ({error})") from None
        given: dict[str, Any] = {"endpoint": _traces_of(endpoint, protocol)} if endpoint else {}
        self._exporter = made.OTLPSpanExporter(**given)
        self._success = SpanExportResult.SUCCESS
        self._resource = Resource.create({"service.name": _service()})
        self._scope = InstrumentationScope("agentainer_flow")

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the collector took them."""
        made = [_readable(span, self._resource, self._scope) for span in spans]
        return bool(self._exporter.export(made) == self._success)

    def close(self) -> None:
        self._exporter.shutdown()


def _protocol(environ: Mapping[str, str]) -> str:
    general = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip().lower()


def _traces_of(endpoint: str, protocol: str) -> str:
    """The place for traces at a collector, as the general setting of an endpoint means it."""
    if protocol == "grpc" or endpoint.rstrip("/").endswith("/v1/traces"):
        return endpoint
    return f"{endpoint.rstrip('/')}/v1/traces"


def _service() -> str:
    return os.environ.get("OTEL_SERVICE_NAME") or "agentainer-flow"


def _readable(span: Span, resource: Any, scope: Any) -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan

    status = trace.Status(trace.StatusCode.UNSET)
    if span.error is not None:
        status = trace.Status(trace.StatusCode.ERROR, span.error)
    elif span.ok:
        status = trace.Status(trace.StatusCode.OK)
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=_context(span.trace_id, span.parent_id) if span.parent_id else None,
        resource=resource,
        attributes=span.attributes,
        events=[_event(moment) for moment in span.moments],
        links=[_link(link) for link in span.links],
        kind=trace.SpanKind.INTERNAL,
        instrumentation_scope=scope,
        status=status,
        start_time=span.start_ms * 1_000_000,
        end_time=span.end_ms * 1_000_000,
    )


def _context(trace_id: str, span_id: str) -> Any:
    from opentelemetry import trace

    return trace.SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )


def _event(moment: Moment) -> Any:
    from opentelemetry.sdk.trace import Event

    return Event(moment.name, moment.attributes, timestamp=moment.ms * 1_000_000)


def _link(link: Link) -> Any:
    from opentelemetry import trace

    attributes = {"agentainer.link.type": link.type}
    return trace.Link(_context(link.trace_id, link.span_id), attributes)
