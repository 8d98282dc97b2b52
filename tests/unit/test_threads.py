"""Plain bodies share threads, and none holds up another."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from agentainer_flow.core.threads import Threads

pytestmark = pytest.mark.anyio

colour: ContextVar[str] = ContextVar("colour", default="none")


async def test_bodies_that_block_run_side_by_side() -> None:
    threads, met = Threads(), threading.Barrier(8, timeout=10)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(threads.run, met.wait)


async def test_quick_bodies_need_few_threads() -> None:
    threads, names, done = Threads(), list[str](), anyio.Event()

    def body() -> None:
        names.append(threading.current_thread().name + str(threading.get_ident()))

    def ended(value: Any, error: BaseException | None) -> None:
        if len(names) == 200:
            done.set()

    for _ in range(200):
        threads.submit(body, ended)
    with anyio.fail_after(10):
        await done.wait()
    assert len(set(names)) < 50


async def test_all_that_is_submitted_is_told_of_once() -> None:
    threads, told, done = Threads(), list[int](), anyio.Event()

    def ended(number: int, value: Any, error: BaseException | None) -> None:
        told.append(number)
        if len(told) == 1000:
            done.set()

    for number in range(1000):
        threads.submit(lambda: None, partial(ended, number))
    with anyio.fail_after(10):
        await done.wait()
    assert sorted(told) == list(range(1000))


async def test_what_a_body_sets_in_its_context_is_gone_with_it() -> None:
    threads = Threads()

    def paint() -> str:
        before = colour.get()
        colour.set("red")
        return before

    assert [await threads.run(paint) for _ in range(3)] == ["none"] * 3


async def test_exit_of_a_body_is_an_error_of_that_body() -> None:
    threads = Threads()
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await threads.run(lambda: sys.exit(3))
    assert await threads.run(lambda: 1) == 1


async def test_body_may_call_the_loop() -> None:
    threads = Threads()

    async def double(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * number

    assert await threads.run(lambda: threads.call(double, 21)) == 42
