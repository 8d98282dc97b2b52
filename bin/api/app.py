"""The application: all operations, one table, on Litestar."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.exceptions import HTTPException
from redis.exceptions import RedisError

from . import (
    definitions,
    documents,
    events,
    health,
    jobs,
    metrics,
    queues,
    state,
    webhooks,
    workflows,
)
from .api import Api
from .dispatch import on_error, on_http_error, on_redis_error, route
from .operations import Operation

OPERATIONS: Sequence[Operation] = (
    *workflows.OPERATIONS,
    *state.OPERATIONS,
    *events.OPERATIONS,
    *jobs.OPERATIONS,
    *webhooks.OPERATIONS,
    *definitions.OPERATIONS,
    *queues.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
    *documents.OPERATIONS,
)


def make_app(api: Api) -> Litestar:
    paths: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, []).append(operation)
    origins = [name.strip() for name in api.settings.api_origins.split(",") if name.strip()]
    return Litestar(
        [route(api, operations) for operations in paths.values()],
        openapi_config=None,
        request_max_body_size=api.settings.api_body_limit,
        exception_handlers={
            HTTPException: on_http_error,
            RedisError: on_redis_error,
            Exception: on_error,
        },
        cors_config=_cors(origins) if origins else None,
        logging_config=None,
    )


def _cors(origins: list[str]) -> CORSConfig:
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "Last-Event-ID",
            "Prefer",
            "traceparent",
        ],
        expose_headers=["ETag", "Location", "Link", "Retry-After", "Idempotent-Replayed"],
    )
