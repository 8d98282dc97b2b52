"""A collector of traces: what exporters send to it, decoded."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Received(msgspec.Struct, frozen=True):
    """A span as it came. Ids in hex."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[str]
    status: int
    start_ns: int
    end_ns: int


class Collector:
    """Serves OTLP over HTTP; while `refuses` it answers 503, and to `refusal` with its code."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.refused = 0
        self.refuses = False
        #: The code for a message of these spans, 200 where it is taken.
        self.refusal: Callable[[list[Received]], int] = lambda spans: 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def by_id(self) -> dict[str, Received]:
        return {span.span_id: span for span in self.spans}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                spans = decode(body)
                code = 503 if collector.refuses else collector.refusal(spans)
                if code == 200:
                    collector.spans += spans
                else:
                    collector.refused += 1
                self.send_response(code)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    @contextmanager
    def serving(self) -> Generator[Collector]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def serving_grpc(spans: list[Received], *, most_bytes: int = 2**22) -> Generator[str]:
    """Serves OTLP over gRPC and adds what comes; its address."""
    grpc: Any = importlib.import_module("grpc")

    def take(found: list[Received], context: object) -> bytes:
        spans.extend(found)
        return b""

    export = grpc.unary_unary_rpc_method_handler(take, request_deserializer=decode)
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    options = [("grpc.max_receive_message_length", most_bytes)]
    server = grpc.server(ThreadPoolExecutor(1), options=options)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(name, {"Export": export}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def decode(body: bytes) -> list[Received]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request: Any = ExportTraceServiceRequest.FromString(body)
    return [
        _span(span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _span(span: Any) -> Received:
    return Received(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {one.key: _value(one.value) for one in span.attributes},
        [link.span_id.hex() for link in span.links],
        span.status.code,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
