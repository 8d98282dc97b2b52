"""Any calls of the scripts in any order, on Redis and in memory: same answers, same contents.

And in memory what was written can be written once more, to the same end.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, event
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from redis import exceptions

from agentainer_flow.core.connection import Connection
from agentainer_flow.core.library import library
from agentainer_flow.core.memory import serve
from agentainer_flow.core.wire import Wire

from .contents import contents
from .test_scripts_model import Machine
from .twins import Clock, Twins

#: Redis keeps the order in which things came as long as they are small: so they all are.
SMALL = ("hash-max-listpack-entries", "hash-max-listpack-value", "set-max-listpack-entries",
         "set-max-listpack-value")  # fmt: skip


class TwinMachine(Machine):
    """Plays the stories of the other on both."""

    clear: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        clock = Clock()
        server = self.stack.enter_context(serve("twin", clock=clock))
        self.memory = Connection("memory://twin")
        self.do(self.memory.wire.call("FUNCTION", "LOAD", library()[1]))
        self.wire = self.log.connection.wire
        self.twins = Twins(self.wire, self.memory.wire, server, clock)
        self.log.connection.wire = self.twins  # type: ignore[assignment]  # as far as it is used

    def teardown(self) -> None:
        event("unclear" if self.twins.is_unclear else "clear")
        type(self).clear += not self.twins.is_unclear
        self.do(self.memory.close())
        super().teardown()
        self.stack.close()

    @invariant()
    def all_is_well(self) -> None:
        super().all_is_well()
        if not self.twins.is_unclear:
            assert self.do(contents(self.memory.wire)) == self.do(contents(self.wire))


class JournalMachine(Machine):
    """Plays the stories in memory, and in the end all that was written again."""

    url = "memory://journal"

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.server = self.stack.enter_context(serve("journal", keeps_journal=True))
        super().__init__()

    def teardown(self) -> None:
        before = self.do(contents(self.log.connection.wire))
        self.server.lose(0)
        assert self.do(contents(self.log.connection.wire)) == before
        super().teardown()
        self.stack.close()


STORIES = hypothesis_settings(
    max_examples=10,
    derandomize=True,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.generate,),  # what Redis does at random and at its times is not to be had again
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def url(real_redis_url: str) -> str:
    if not asyncio.run(prepare(real_redis_url)):
        pytest.skip("its sets come in no order")
    return real_redis_url


async def prepare(url: str) -> bool:
    """Let a Redis keep things in the order in which they came; whether it can."""
    wire = Wire(url)
    try:
        for option in SMALL:
            await wire.call("CONFIG", "SET", option, 1_000_000)
        # Its streams let go of entries one by one, as those in memory do.
        await wire.call("CONFIG", "SET", "stream-node-max-entries", 1)
        await wire.call("FUNCTION", "LOAD", "REPLACE", library()[1])
    except exceptions.ResponseError:
        return False
    finally:
        await wire.close()
    return True


def test_any_order_of_calls_comes_to_the_same(url: str) -> None:
    TwinMachine.url, TwinMachine.clear = url, 0
    run_state_machine_as_test(TwinMachine, settings=STORIES)
    assert TwinMachine.clear > 3


def test_journal_has_all_that_was_written() -> None:
    run_state_machine_as_test(JournalMachine, settings=STORIES)
