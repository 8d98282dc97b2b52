"""Who may call what. Without tokens only this machine is served, on a loopback address."""

from __future__ import annotations

import ipaddress
from typing import Any

from litestar import Request

from ..core.tokens import JOB_PREFIX, find_job, find_token
from .api import Api
from .operations import Operation
from .problems import Problem
from .tokens import Caller


def check_host(api: Api, request: Request[Any, Any, Any]) -> None:
    """Without tokens, refuse requests that a web page of another site brought here.

    Such a page can make its name lead to this machine; what it cannot do is to call by number.
    Raises Problem `misdirected`.
    """
    if api.auth or _is_local(request.headers.get("host", "")):
        return
    raise Problem("misdirected", "without tokens this server is localhost or a number")


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]")
    if name in ("localhost", "") or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def admit(api: Api, operation: Operation, request: Request[Any, Any, Any]) -> Caller:
    """Who calls. Raises Problem `unauthorized`, `forbidden`."""
    header = request.headers.get("authorization")
    if operation.scope is None or (header is None and not api.auth):
        return Caller()
    caller = await _known(api, header or "")
    if not caller.reaches(operation.scope):
        raise Problem("forbidden", f"it needs the scope {operation.scope}, yours is {caller.scope}")
    if caller.workflow is not None and not _is_its_own(operation, request, caller):
        raise Problem("forbidden", "the token of an agent reaches only its own workflow")
    return caller


async def _known(api: Api, header: str) -> Caller:
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise _unauthorized("send Authorization: Bearer TOKEN")
    if text.startswith(JOB_PREFIX):
        job = await find_job(api.log, text)
        if job:
            return Caller(f"{job.workflow}/{job.job}", "write", job.workflow)
        raise _unauthorized("the token is none of an agent that runs")
    token = await find_token(api.log, text)
    if token is None:
        raise _unauthorized("the token is unknown, revoked, or has expired")
    return Caller(token.id, token.scope)


def _is_its_own(operation: Operation, request: Request[Any, Any, Any], caller: Caller) -> bool:
    return operation.for_agents and request.path_params.get("workflow") == caller.workflow


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
