"""Followers and durable subscriptions, straight from Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from agentainer_flow import Client, EventsLost, SyncClient
from agentainer_flow.core.cloudevents import CloudEvent
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.sdk import client as commands
from agentainer_flow.sdk import subscriptions
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.subscriptions import Subscription

from ..integration.api.flows import Greet

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[EventLog]:
    async with connect(settings) as log:
        yield log


async def create(log: EventLog, name: str = "Ada") -> str:
    return await commands.create(
        log, commands.prepare(code_of(Greet), None, {"name": name}, log.settings)
    )


async def change(log: EventLog, workflow: str) -> None:
    """One more event."""
    await (commands.resume if await log.status(workflow) == "paused" else commands.pause)(
        log, workflow
    )


class Handler:
    """Notes what it is called with; fails as often as it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.failures: dict[str, int] = {}
        self._news = anyio.Event()

    async def __call__(self, event: CloudEvent) -> None:
        if self.failures.get(event.id, 0) > 0:
            self.failures[event.id] -= 1
            raise ValueError(f"no {event.id}")
        self.seen.append((event.partitionkey, int(event.sequence)))
        self._news.set()

    async def until(self, count: int) -> None:
        with anyio.fail_after(20):
            while len(self.seen) < count:
                self._news = anyio.Event()
                await self._news.wait()


async def test_a_client_follows_one_workflow_to_its_end(settings: Settings, log: EventLog) -> None:
    workflow = await create(log)
    seen: list[int] = []
    with anyio.fail_after(20):
        async with Client(settings) as client:
            async for event in client.events(workflow=workflow):
                seen.append(int(event.sequence))
                if len(seen) < 6:
                    await change(log, workflow)
                else:
                    break
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_a_client_goes_on_where_it_was(settings: Settings, log: EventLog) -> None:
    ids = [await create(log, str(n)) for n in range(3)]
    async with Client(settings) as client:
        stored = [event async for event in client.events(follow=False)]
        assert [event.partitionkey for event in stored] == [name for name in ids for _ in "12"]
        rest = client.events(after=stored[2].position, follow=False)
        assert [event.id async for event in rest] == [event.id for event in stored[3:]]
        only = client.events(name="greet", types=["workflow.created"], follow=False)
        assert len([event async for event in only]) == 3


async def test_a_position_that_is_gone_is_an_error(settings: Settings, log: EventLog) -> None:
    await create(log)
    async with Client(settings) as client:
        assert len([event async for event in client.events(follow=False)]) == 2
        with pytest.raises(EventsLost):
            assert not [event async for event in client.events(after="f:1-0", follow=False)]


def test_plain_callers_follow_in_a_loop(settings: Settings) -> None:
    async def make() -> str:
        async with connect(settings) as log:
            return await create(log)

    workflow = anyio.run(make)
    client = SyncClient(settings)
    assert [int(event.sequence) for event in client.events(workflow=workflow, follow=False)] == [
        1,
        2,
    ]
    for event in client.events():
        assert event.type == "io.agentainer.workflow.created.v1"
        break
    with pytest.raises(ValueError, match="is not the id"):
        next(client.events(after="nonsense"))


async def test_a_subscription_misses_nothing_while_nobody_handles(log: EventLog) -> None:
    subscription = Subscription(log, "billing", types=["workflow.*"])
    await subscription.open()
    workflow = await create(log)
    for _ in range(5):
        await change(log, workflow)
    first, second = Handler(), Handler()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscription.handle, first)
        await first.until(7)
        tasks.cancel_scope.cancel()
    await change(log, workflow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscription.handle, second)
        await second.until(1)
        tasks.cancel_scope.cancel()
    assert [n for _, n in first.seen] == list(range(1, 8))
    assert second.seen == [(workflow, 8)]


async def test_order_holds_per_workflow_over_many_handlers(log: EventLog) -> None:
    subscription = Subscription(log, "audit")
    await subscription.open()
    handler = Handler()
    ids: list[str] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(Subscription(log, "audit").handle, handler)
        ids += [await create(log, str(n)) for n in range(5)]
        for _ in range(6):
            for workflow in ids:
                await change(log, workflow)
        await handler.until(40)
        tasks.cancel_scope.cancel()
    for workflow in ids:
        assert [n for of, n in handler.seen if of == workflow] == list(range(1, 9))


async def test_what_fails_is_handled_again_before_later_ones(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "WAITS", (0.01,))
    subscription = Subscription(log, "billing")
    await subscription.open()
    workflow = await create(log)
    await change(log, workflow)
    handler = Handler()
    handler.failures = {f"{workflow}:2": 3}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscription.handle, handler)
        await handler.until(3)
        tasks.cancel_scope.cancel()
    assert [n for _, n in handler.seen] == [1, 2, 3]
    assert await subscription.parked() == []


async def test_poison_is_parked_and_can_be_handled_again(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "WAITS", (0.01,))
    subscription = Subscription(log, "billing")
    await subscription.open()
    workflow = await create(log)
    await change(log, workflow)
    handler = Handler()
    handler.failures = {f"{workflow}:2": 5}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscription.handle, handler)
        await handler.until(2)
        (parked,) = await subscription.parked()
        assert (parked.event.id, parked.reason) == (f"{workflow}:2", f"ValueError: no {workflow}:2")
        assert await subscription.handle_again(parked.id) == 1
        await handler.until(3)
        tasks.cancel_scope.cancel()
    assert [n for _, n in handler.seen] == [1, 3, 2]
    assert await subscription.parked() == []


async def test_one_whose_reader_died_is_given_to_another(log: EventLog) -> None:
    subscription = Subscription(log, "billing", lease=0.2)
    await subscription.open()
    workflow = await create(log)
    async with subscription.receive() as messages:
        dead = await anext(messages)
    async with subscription.receive() as messages:
        again = await anext(messages)
        assert (again.event.id, again.tries) == (f"{workflow}:1", 1)
        assert not await dead.ack()
        assert await again.ack()


async def test_a_closed_subscription_leaves_nothing(log: EventLog) -> None:
    subscription = Subscription(log, "billing")
    await subscription.open()
    await create(log)
    async with subscription.receive() as messages:
        await anext(messages)
    await subscription.close()
    left: list[Any] = await log.redis.keys("flow:*sub*")
    expiring = b"flow:0:claimed:"
    assert [key for key in left if not key.startswith(expiring)] == []


async def test_filters(log: EventLog) -> None:
    subscription = Subscription(log, "other", names=["other"])
    await subscription.open()
    mine = Subscription(log, "mine", names=["greet"], types=["workflow.started"])
    await mine.open()
    handler = Handler()
    workflow = await create(log)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subscription.handle, handler)
        tasks.start_soon(mine.handle, handler)
        await handler.until(1)
        tasks.cancel_scope.cancel()
    assert handler.seen == [(workflow, 2)]
