"""How events go over a connection that stays open: Server-Sent Events and lines of JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..sdk.following import Message

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
JSON = "application/json"

#: What a client waits before it comes back, ms.
RETRY_MS = 2000


async def sse(
    messages: AsyncGenerator[Message, None], heartbeat: float
) -> AsyncGenerator[bytes, None]:
    """Events without a name, so that every client hears them; word of the stream by its name."""
    yield f"retry: {RETRY_MS}\n: a sign of life every {heartbeat:g} s\n\n".encode()
    async with aclosing(messages):
        async for message in messages:
            yield _frame(message)


def _frame(message: Message) -> bytes:
    if message.public is not None:
        return b"id: %b\ndata: %b\n\n" % (message.position.encode(), message.public.json)
    return b": idle\n\n" if message.word == "idle" else _word(message)


def _word(message: Message) -> bytes:
    """`caught_up`, `resync` and `end`; they move the position, too."""
    at = message.position
    text = f'id: {at}\nevent: {message.word}\ndata: {{"position":"{at}"}}\n\n'
    return text.encode()


async def ndjson(messages: AsyncGenerator[Message, None]) -> AsyncGenerator[bytes, None]:
    """What is stored, one event a line."""
    async with aclosing(messages):
        async for message in messages:
            if message.word == "caught_up":
                return
            if message.public is not None:
                yield message.public.json + b"\n"
