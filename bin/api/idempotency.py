"""The same answer again for a request that comes again with the same idempotency key.

The key goes with the command into the log of the workflow, whose script tells a repetition by it.
So a request whose first try died anywhere may be carried out again and still counts once. What is
kept here is only its answer, and what it asked for: another request with that key is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from ..core.ids import digest
from .calls import Call
from .operations import Answer
from .problems import Problem

#: How long answers are kept, ms.
KEPT_MS = 24 * 3600 * 1000
#: Larger answers are made again instead, bytes.
LARGEST = 256 * 1024


class Kept(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    media_type: str
    body: str


_decode = msgspec.json.Decoder(Kept).decode
_encode = msgspec.json.Encoder().encode


async def once(call: Call, handler: Callable[[Call], Awaitable[Answer]]) -> Answer:
    """Carry the request out, or answer as the first time.

    Raises Problem `idempotency-conflict`; what fails is not kept and may be tried again.
    """
    name, content = call.key, _content_of(call)
    if name is None:
        return await handler(call)
    first, answer = await call.log.scripts.remember_request(name, content=content, ttl_ms=KEPT_MS)
    if first != content:
        raise Problem("idempotency-conflict", "this Idempotency-Key came with another request")
    if answer:
        return _again(_decode(answer.encode()))
    made = await handler(call)
    body = made.encoded()
    if len(body) > LARGEST:
        return made  # the log knows the key, so carrying it out again is harmless
    kept = Kept(made.status, dict(made.headers), made.media_type, body.decode())
    await call.log.scripts.remember_request(
        name, content=content, answer=_encode(kept).decode(), ttl_ms=KEPT_MS
    )
    return made


def _content_of(call: Call) -> str:
    query: bytes = call.request.scope.get("query_string", b"")
    return digest(query + b"\0" + call.raw_body)


def _again(kept: Kept) -> Answer:
    headers = {**kept.headers, "Idempotent-Replayed": "true"}
    return Answer(kept.body.encode() or None, kept.status, headers, kept.media_type)
