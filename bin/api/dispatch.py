"""From a request to its answer: who asks, what, whether it counts, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import msgspec
import structlog
from litestar import HttpMethod, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream
from redis.exceptions import RedisError

from ..core.errors import FlowError
from . import api as shared
from .api import Api
from .calls import Call, read_bytes
from .guard import admit, check_host
from .idempotency import once
from .operations import Answer, Operation
from .problems import MEDIA_TYPE, Problem, problem_of, unavailable

log = structlog.get_logger()

#: Seconds that a request may take in Redis; calls wait for ever while it is away.
PATIENCE = 10.0

Reply = Response[Any] | Stream
HttpRequest = Request[Any, Any, Any]

#: What every answer says: nothing that it holds is to be guessed at, shown in a frame, or kept.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def route(api: Api, operations: Sequence[Operation]) -> HTTPRouteHandler:
    """All operations of one path, as Litestar routes them."""
    by_method: dict[str, Operation] = {one.method: one for one in operations}
    methods = [HttpMethod(method) for method in by_method]
    methods += [HttpMethod.HEAD] if "GET" in by_method else []
    methods.append(HttpMethod.OPTIONS)

    async def handle(request: HttpRequest) -> Reply:
        if request.method == "OPTIONS":
            return Response(None, status_code=204, headers={"Allow": ", ".join(methods)})
        method = "GET" if request.method == "HEAD" else request.method
        return await answer(api, by_method[method], request)

    path = operations[0].path
    for name in operations[0].path_parameters:
        # A key may hold slashes; it is read off the raw path.
        path = path.replace(f"{{{name}}}", f"{{{name}:{'path' if name == 'key' else 'str'}}}")
    made = HTTPRouteHandler(
        path, http_method=methods, status_code=200, media_type="application/json"
    )
    return made(handle)


async def answer(api: Api, operation: Operation, request: HttpRequest) -> Reply:
    try:
        return await _carry_out(api, operation, request)
    except Problem as problem:
        return respond_with(problem, request)
    except FlowError as error:
        return respond_with(problem_of(error), request)
    except TimeoutError:
        return respond_with(unavailable(), request)


async def _carry_out(api: Api, operation: Operation, request: HttpRequest) -> Reply:
    check_host(api, request)
    with anyio.fail_after(PATIENCE):
        caller = await admit(api, operation, request)
    call = Call(api, operation, request, caller, await read_bytes(request))
    _check_precondition(call)
    made = await _limited(call)
    if operation.cacheable and call.conditions.is_known(made.headers.get("ETag", "")):
        return _response(request, Answer(None, 304, {"ETag": made.headers["ETag"]}))
    return _response(request, made)


def _check_precondition(call: Call) -> None:
    required = call.api.settings.api_if_match == "required"
    if required and call.operation.guarded and call.conditions.if_match is None:
        raise Problem("precondition-required", "send If-Match with the ETag of the workflow")


async def _limited(call: Call) -> Answer:
    """Carry it out among those that are served at a time."""
    try:
        call.api.requests.acquire_nowait()
    except anyio.WouldBlock:
        raise _too_many() from None
    try:
        with anyio.fail_after(PATIENCE + (call.conditions.wait or 0)):
            return await once(call, call.operation.handler)
    finally:
        call.api.requests.release()


def _too_many() -> Problem:
    return Problem("too-many-requests", "too many at a time", headers={"Retry-After": "1"})


def _response(request: HttpRequest, made: Answer) -> Reply:
    headers = {**HEADERS, **made.headers}
    if made.stream is not None and request.method != "HEAD":
        return Stream(
            made.stream, status_code=made.status, media_type=made.media_type, headers=headers
        )
    body = b"" if request.method == "HEAD" else made.encoded()
    if not body:
        return Response(None, status_code=made.status, headers=headers, media_type=None)
    return Response(
        body, status_code=made.status, media_type=_bare(made.media_type), headers=headers
    )


def _bare(media_type: str) -> str:
    """Without the charset that Litestar adds to a text."""
    is_text = media_type.startswith("text/")
    return media_type.removesuffix("; charset=utf-8") if is_text else media_type


def respond_with(problem: Problem, request: HttpRequest) -> Response[Any]:
    document = problem.document(request.url.path)
    return Response(
        b"" if request.method == "HEAD" else msgspec.json.encode(document),
        status_code=problem.kind.status,
        media_type=MEDIA_TYPE,
        headers={**HEADERS, **problem.headers},
    )


def on_http_error(request: HttpRequest, error: HTTPException) -> Response[Any]:
    """What Litestar itself refuses: paths and methods that there are not."""
    match error:
        case NotFoundException():
            problem = Problem("not-found", f"there is nothing at {request.url.path}")
        case MethodNotAllowedException():
            headers = {"Allow": _allowed(error)}
            problem = Problem("method-not-allowed", f"not {request.method}", headers=headers)
        case _ if error.status_code == 413:
            problem = Problem("too-large", str(error.detail))
        case _:
            problem = Problem("invalid-request", str(error.detail))
    return respond_with(problem, request)


def _allowed(error: HTTPException) -> str:
    found = {name.lower(): value for name, value in (error.headers or {}).items()}
    return found.get("allow", "")


def on_redis_error(request: HttpRequest, error: RedisError) -> Response[Any]:
    log.warning("api.redis_failed", path=request.url.path, problem=str(error))
    return respond_with(unavailable(), request)


def on_error(request: HttpRequest, error: Exception) -> Response[Any]:
    log.exception("api.request_failed", path=request.url.path, exc_info=error)
    return respond_with(Problem("internal", "the log of the server says why"), request)


async def counted(api: Api, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream while it is open, one of those that there may be."""
    api.streams += 1
    try:
        async for chunk in stream:
            yield chunk
    finally:
        api.streams -= 1


def check_room(api: Api) -> None:
    """Raises Problem `too-many-requests` when there are as many streams as there may be."""
    if api.streams >= shared.MOST_STREAMS or api.closing.is_set():
        raise _too_many()
