"""Export spans by OTLP, with the exporters and the settings of OpenTelemetry (`OTEL_*`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from ..core.errors import SettingsError
from ..projections.spans import Span
from .otlp_spans import spans_bytes

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

log = structlog.get_logger()

INSTALL = "pip install 'agentainer-flow[otlp]'"
#: What the protocols are called, and where their exporters are.
_EXPORTERS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}


#: Variables that name what makes the exporter's sessions.
_SESSIONS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
#: Answers that are about the message: it would get them again.
_REFUSALS = frozenset({"400", "413", "422", "INVALID_ARGUMENT", "OUT_OF_RANGE"})
#: How gRPC says that it is too large; otherwise the collector has no room now.
_TOO_LARGE = ("RESOURCE_EXHAUSTED", "larger than max")


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
            made = _own_copy(module)
            from opentelemetry.sdk.trace.export import SpanExportResult

            made.encode_spans = partial(request_of, empty_request())
        except ImportError as error:
            raise SettingsError(f"traces by OTLP need packages: {INSTALL} ({error})") from None
        given: dict[str, Any] = {"endpoint": _traces_of(endpoint, protocol)} if endpoint else {}
        if protocol == "grpc":
            made.TraceServiceStub = partial(_Stub, made.TraceServiceStub, self._heed)
        else:
            given |= _session(self._heed)
        self._exporter = made.OTLPSpanExporter(**given)
        self._success = SpanExportResult.SUCCESS
        #: What the collector said against the last message.
        self._refusal = ""
        #: Spans that it would never take.
        self.refused = 0

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has them, but for those that it would never take.

        A message that it refuses goes again in halves: it was too large, or one span is at fault,
        which others must not wait for.
        """
        self._refusal = ""
        is_taken = bool(self._exporter.export(spans) == self._success)
        if not self._refusal:
            return is_taken
        if len(spans) == 1:
            self._leave_out(spans[0])
            return True
        middle = len(spans) // 2
        return self.export(spans[:middle]) and self.export(spans[middle:])

    def _leave_out(self, span: Span) -> None:
        self.refused += 1
        workflow = span.attributes.get("agentainer.workflow.id")
        log.warning(
            "tracer.refused",
            workflow=workflow,
            span=span.name,
            answer=self._refusal,
            do=f"agentainer workflow trace {workflow} --otlp URL",
        )

    def _heed(self, code: str, says: str) -> bool:
        """Note an answer that will be the same next time; whether it is one."""
        name, words = _TOO_LARGE
        is_final = code in _REFUSALS or (code == name and words in says)
        if is_final:
            self._refusal = f"{code} {says}".strip()
        return is_final

    def close(self) -> None:
        self._exporter.shutdown()


#: Is told the code of an answer, and its words; whether trying again is of no use.
Heed = Callable[[str, str], bool]


class _Stub:
    """The exporter's client of gRPC. What fails is told, and tried again where that is of use."""

    def __init__(self, stub: Any, heed: Heed, channel: Any) -> None:
        self._client = stub(channel)
        self._heed = heed

    def Export(self, **given: Any) -> Any:  # noqa: N802 - the name is the protocol's
        failures: Any = importlib.import_module("grpc").RpcError
        try:
            return self._client.Export(**given)
        except failures as error:
            if not self._heed(error.code().name, error.details() or ""):
                raise
            return None


def _session(heed: Heed) -> dict[str, Any]:
    """A session of HTTP that tells what was answered, unless the environment names its own."""
    if any(os.environ.get(name) for name in _SESSIONS):
        return {}
    from requests import Response, Session

    def tell(answer: Response, **_: object) -> None:
        heed(str(answer.status_code), answer.reason or "")

    session = Session()
    session.hooks["response"].append(tell)
    return {"session": session}


def _protocol(environ: Mapping[str, str]) -> str:
    general = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general).strip().lower()


def _traces_of(endpoint: str, protocol: str) -> str:
    """The place for traces at a collector, as the general setting of an endpoint means it."""
    if protocol == "grpc" or endpoint.rstrip("/").endswith("/v1/traces"):
        return endpoint
    return f"{endpoint.rstrip('/')}/v1/traces"


def resource() -> Resource:
    """Who sends: as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, else by our name."""
    from opentelemetry.sdk.resources import Resource

    given = Resource.create({"service.version": version("agentainer-flow")})
    if str(given.attributes.get("service.name", "")).startswith("unknown_service"):
        return given.merge(Resource({"service.name": "agentainer-flow"}))
    return given


def _own_copy(name: str) -> Any:
    """The module of an exporter, for us alone: in ours, spans are encoded as we do it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "encode_spans"):
        raise ImportError(f"{name} has no encode_spans: it is newer than this release knows")
    return module


def empty_request() -> Any:
    """A message of OTLP that says who sends."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    one = ReadableSpan(
        "",
        trace.INVALID_SPAN_CONTEXT,
        resource=resource(),
        instrumentation_scope=InstrumentationScope("agentainer_flow"),
    )
    request: Any = encode_spans([one])
    del request.resource_spans[0].scope_spans[0].spans[:]
    return request


def request_of(empty: Any, spans: Sequence[Span]) -> Any:
    """An empty message, filled."""
    request = type(empty)()
    request.CopyFrom(empty)
    request.resource_spans[0].scope_spans[0].MergeFromString(spans_bytes(spans))
    return request
