"""A loop of virtual time: no waiting, one order of things, and words for what can never go on."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import checkpoint

from agentainer_flow.core import clock
from agentainer_flow.core.clock import use_clock
from agentainer_flow.core.errors import FlowError
from agentainer_flow.core.threads import Threads, make_threads
from agentainer_flow.sdk.testing.loop import Deadlock, NoSystem, VirtualLoop, steps_of

T = TypeVar("T")
Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def on(loop: VirtualLoop, main: Callable[[], Awaitable[T]]) -> T:
    async def begin() -> T:
        return await main()

    try:
        with use_clock(loop.clock):
            return loop.run_until_complete(begin())
    finally:
        loop.end()


@pytest.fixture
def run() -> Run:
    return lambda main: on(VirtualLoop(now=1000.0), main)


def test_time_jumps_to_what_is_due_next(run: Run) -> None:
    told: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        told.append((name, clock.now()))

    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep, "day", 86400.0)
            tasks.start_soon(sleep, "hour", 3600.0)
        return anyio.current_time()

    assert run(main) == 86400.0
    assert told == [("hour", 4600.0), ("day", 87400.0)]


def test_a_time_limit_ends_what_never_ends(run: Run) -> None:
    async def main() -> float:
        with anyio.move_on_after(30):
            await anyio.sleep_forever()
        return clock.monotonic()

    assert run(main) == 30.0


def test_a_deadlock_tells_who_waits(run: Run) -> None:
    async def wait_in_vain() -> None:
        await anyio.Event().wait()

    with pytest.raises(Deadlock, match=r"wait for ever:\n.*wait_in_vain:\d+ > Event.wait"):
        run(wait_in_vain)


def test_there_are_no_sockets(run: Run) -> None:
    async def main() -> None:
        await asyncio.open_connection("127.0.0.1", 6379)

    with pytest.raises(NoSystem, match="flow_redis"):
        run(main)


def test_what_is_meant_for_threads_is_called_at_once(run: Run) -> None:
    async def main() -> list[int]:
        name = threading.get_ident
        return [await asyncio.to_thread(name), await anyio.to_thread.run_sync(name), name()]

    assert len(set(run(main))) == 1


class Shuffled(VirtualLoop):
    """As the simulator does it."""

    def __init__(self, seed: int, budget: int = 1000) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.left = budget

    def begin_turn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("it goes on and on")

    def arrange(self, ready: deque[asyncio.Handle]) -> None:
        at = steps_of(ready)
        picked = [ready[position] for position in at]
        self.random.shuffle(picked)
        for position, handle in zip(at, picked, strict=True):
            ready[position] = handle


async def race() -> str:
    told: list[str] = []

    async def step(name: str) -> None:
        for _ in range(3):
            await checkpoint()
            told.append(name)

    async def wait(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            told.append(name)

    async with anyio.create_task_group() as tasks:
        for name in "abcdef":
            tasks.start_soon(step, name)
            tasks.start_soon(wait, name.upper())
        await anyio.sleep(1)
        tasks.cancel_scope.cancel()
    return "".join(told)


def test_a_subclass_orders_the_steps_of_tasks() -> None:
    assert len({on(Shuffled(seed), race) for seed in range(20)}) > 10
    assert on(Shuffled(7), race) == on(Shuffled(7), race)


def test_a_subclass_ends_what_goes_on_and_on() -> None:
    async def spin() -> None:
        while True:
            await checkpoint()

    with pytest.raises(RuntimeError, match="on and on"):
        on(Shuffled(1), spin)


def test_processes_with_other_hashes_go_the_same_way() -> None:
    code = (
        "import runpy; of = runpy.run_path(__import__('sys').argv[1]); "
        "print(of['on'](of['Shuffled'](5), of['race']))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", code, __file__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] == on(Shuffled(5), race) + "\n"


@pytest.fixture
def told() -> list[str]:
    return []


def test_plain_bodies_take_turns_with_the_loop(run: Run, told: list[str]) -> None:
    async def main() -> None:
        threads = make_threads()

        def body(name: str, seconds: float) -> str:
            told.append(f"{name} begins")
            threads.call(anyio.sleep, seconds)
            told.append(f"{name} ends at {clock.now():.0f}")
            return name

        async with anyio.create_task_group() as tasks:
            for name, seconds in (("long", 60.0), ("short", 1.0)):
                tasks.start_soon(threads.run, lambda name=name, s=seconds: body(name, s))

    run(main)
    assert told == ["long begins", "short begins", "short ends at 1001", "long ends at 1060"]


def test_what_a_body_raises_reaches_who_waits(run: Run) -> None:
    async def fail() -> None:
        raise ValueError("on the loop")

    async def main() -> None:
        threads = make_threads()
        await threads.run(lambda: threads.call(fail))

    with pytest.raises(ValueError, match="on the loop"):
        run(main)


def test_threads_of_a_body_are_told_that_they_are_none(run: Run) -> None:
    errors: list[BaseException] = []

    async def main() -> None:
        threads = make_threads()

        def call() -> None:
            try:
                threads.call(anyio.sleep, 1)
            except FlowError as error:
                errors.append(error)

        def body() -> None:
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()

        await threads.run(body)

    run(main)
    assert "a thread that a step has started" in str(errors[0])


def test_the_end_of_the_loop_ends_the_bodies_that_wait() -> None:
    ended: list[str] = []
    loop = VirtualLoop()

    async def main() -> None:
        bodies = make_threads()

        def body() -> None:
            try:
                bodies.call(anyio.sleep_forever)
            finally:
                ended.append("body")

        bodies.submit(body, lambda value, error: None)
        await anyio.sleep(1)

    on(loop, main)
    assert ended == ["body"]


@pytest.mark.anyio
async def test_other_loops_have_their_own_threads() -> None:
    assert type(make_threads()) is Threads


def test_moments_far_ahead_come_too(run: Run) -> None:
    async def main() -> float:
        await anyio.sleep(86400 * 365 * 50 + 0.1)
        return anyio.current_time()

    assert run(main) == 86400 * 365 * 50 + 0.1
