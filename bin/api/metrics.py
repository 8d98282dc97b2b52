"""The operation that Prometheus scrapes."""

from __future__ import annotations

from .calls import Call
from .exposition import expose
from .operations import Answer, Operation, Reply


async def metrics(call: Call) -> Answer:
    samples = await call.api.meter.samples()
    body, media_type = expose(samples, call.request.headers.get("accept", ""))
    return Answer(body, media_type=media_type)


OPERATIONS = (
    Operation(
        "GET",
        "/metrics",
        "getMetrics",
        "Get metrics for Prometheus",
        metrics,
        "server",
        {
            200: Reply(
                "Metrics of this process and of the installation.",
                str,
                ("text/plain", "application/openmetrics-text"),
            )
        },
        text="In the format that `Accept` asks for: Prometheus text, or OpenMetrics.",
    ),
)
