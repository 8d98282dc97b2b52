"""What the API is made of: one table of operations serves requests and describes itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ..core.tokens import Scope

if TYPE_CHECKING:
    from .calls import Call


@dataclass(frozen=True)
class Answer:
    """A success. `body` is encoded as JSON unless it is bytes or comes as a stream."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media_type: str = "application/json"
    stream: AsyncIterator[bytes] | None = None

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


@dataclass(frozen=True)
class Reply:
    """How a success is described. Without a type there is no body."""

    text: str
    type: Any = None
    media_types: tuple[str, ...] = ("application/json",)
    headers: tuple[str, ...] = ()


#: operationId -> parameters taken from the answer, as OpenAPI's links have it.
Links = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Operation:
    """One method of one path, and the function that carries it out."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    id: str
    summary: str
    handler: Callable[[Call], Awaitable[Answer]]
    group: str
    replies: Mapping[int, Reply]
    text: str = ""
    #: None: open to everybody.
    scope: Scope | None = "read"
    query: type[msgspec.Struct] | None = None
    body: Any = None
    #: Slugs of problems, beside those that its other properties bring.
    problems: tuple[str, ...] = ()
    #: Takes If-None-Match, answers 304.
    cacheable: bool = False
    #: Takes If-Match and Idempotency-Key.
    guarded: bool = False
    #: Takes Idempotency-Key (guarded ones do anyway).
    idempotent: bool = False
    #: Takes Prefer: wait=N.
    waits: bool = False
    #: Takes the span that asks for it.
    traced: bool = False
    #: Takes Last-Event-ID.
    resumes: bool = False
    #: Agents may call it with the token of their job, for their own workflow.
    for_agents: bool = False
    links: Links = field(default_factory=dict[str, Mapping[str, str]])

    @property
    def takes_key(self) -> bool:
        return self.guarded or self.idempotent

    @property
    def path_parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]
