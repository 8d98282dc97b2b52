"""Receives webhooks: a server that answers as it is told, and remembers what came."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
import msgspec


class Message(msgspec.Struct):
    headers: dict[str, str]
    body: bytes


class Receiver:
    def __init__(self) -> None:
        self.url = ""
        self.messages: list[Message] = []
        #: (status, further headers) of the next answers; afterwards 204.
        self.answers: list[tuple[int, dict[str, str]]] = []
        self._news = anyio.Event()

    async def serve(self, stream: anyio.abc.SocketStream) -> None:
        async with stream:
            # Whoever sends may be killed at any byte.
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await self._answer(stream, await _read(stream))

    async def _answer(self, stream: anyio.abc.SocketStream, message: Message) -> None:
        self.messages.append(message)
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        lines = [f"HTTP/1.1 {status} Said", "Content-Length: 0", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        news, self._news = self._news, anyio.Event()
        news.set()

    async def until(self, count: int) -> list[Message]:
        with anyio.fail_after(30):
            while len(self.messages) < count:
                await self._news.wait()
        return self.messages


async def _read(stream: anyio.abc.SocketStream) -> Message:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    pairs = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    headers = {name.lower(): value for name, value in pairs}
    while len(body) < int(headers.get("content-length", "0")):
        body += await stream.receive()
    return Message(headers, body)


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    receiver = Receiver()
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        receiver.url = f"http://127.0.0.1:{port}/hook"
        tasks.start_soon(listener.serve, receiver.serve)
        yield receiver
        tasks.cancel_scope.cancel()
