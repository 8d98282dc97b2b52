"""Async calls from plain code: one event loop in a background thread, started when first needed."""

from __future__ import annotations

import atexit
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import anyio
from anyio.abc import ObjectSendStream
from anyio.from_thread import BlockingPortal, start_blocking_portal

T = TypeVar("T")

_stack = ExitStack()
_lock = threading.Lock()
_portal: BlockingPortal | None = None


def portal() -> BlockingPortal:
    global _portal  # one per process, like the thread behind it
    with _lock:
        if _portal is None:
            _portal = _stack.enter_context(start_blocking_portal())
            atexit.register(_stack.close)
        return _portal


def call(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Run an async function to its end and return what it returns."""
    return portal().call(function, *args)


def iterate(function: Callable[..., AsyncIterator[T]], *args: Any) -> Iterator[T]:
    """Go through an async iterator."""
    iterator = function(*args)
    end = object()

    async def step() -> Any:
        return await anext(iterator, end)

    while (item := call(step)) is not end:
        yield item


def stream(function: Callable[[ObjectSendStream[T]], Awaitable[None]]) -> Iterator[T]:
    """Go through what an async function sends, which runs in one task all the while."""
    send, receive = anyio.create_memory_object_stream[T](100)
    running = portal().start_task_soon(_send_all, function, send)
    try:
        while True:
            try:
                item = call(receive.receive)
            except anyio.EndOfStream:
                running.result()
                return
            yield item
    finally:
        running.cancel()
        call(receive.aclose)


async def _send_all(
    function: Callable[[ObjectSendStream[T]], Awaitable[None]], send: ObjectSendStream[T]
) -> None:
    async with send:
        await function(send)
