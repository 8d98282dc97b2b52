"""Followers of every kind, what each of them saw, and what of it is missing or wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import aclosing

import anyio
import anyio.abc
import httpx
import pytest

from agentainer_flow import AsyncWorkflowClient, Client
from agentainer_flow.core.cloudevents import CloudEvent
from agentainer_flow.core.settings import Settings

from ..integration.api.receiver import Receiver, receiving

#: Versions by workflow, in the order in which they came.
Seen = dict[str, list[int]]
_STARTED = anyio.TASK_STATUS_IGNORED


class Followers:
    """Streams over HTTP, receivers of webhooks, and durable subscriptions, two readers each."""

    def __init__(self, url: str, settings: Settings, tasks: anyio.abc.TaskGroup) -> None:
        self._url, self._settings, self._tasks = url, settings, tasks
        #: By follower; of those of one workflow by its id.
        self._seen: dict[str, Seen] = {}
        self._receivers: list[Receiver] = []
        #: Something came on a stream or to a subscription.
        self.seen_more = False

    async def begin(self, streams: int, webhooks: int, subscriptions: int) -> None:
        for number in range(streams):
            self._tasks.start_soon(self._stream, f"stream {number}")
        for _ in range(webhooks):
            await self._tasks.start(self._receive)
        for number in [*range(subscriptions), *range(subscriptions)]:
            await self._tasks.start(self._subscribe, f"subscription-{number}")

    def follow(self, workflow: str) -> None:
        """Have one more, of one workflow, to its end."""
        self._tasks.start_soon(self._stream, workflow, workflow)

    async def _stream(self, name: str, workflow: str | None = None) -> None:
        self._seen[name] = {}
        async with (
            AsyncWorkflowClient(self._url) as client,
            aclosing(client.events(workflow)) as events,
        ):
            async for event in events:
                self._note(name, event)

    async def _subscribe(
        self, name: str, *, task_status: anyio.abc.TaskStatus[None] = _STARTED
    ) -> None:
        self._seen[name] = {}

        async def handle(event: CloudEvent) -> None:
            self._note(name, event)

        async with Client(self._settings) as client:
            subscription = client.subscription(name)
            await subscription.open()
            task_status.started()
            await subscription.handle(handle)

    async def _receive(self, *, task_status: anyio.abc.TaskStatus[None] = _STARTED) -> None:
        async with receiving() as receiver:
            async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
                answer = await http.post("/webhooks", json={"url": receiver.url})
            assert answer.status_code == 201, answer.text
            self._receivers.append(receiver)
            task_status.started()
            await anyio.sleep_forever()

    def _note(self, name: str, event: CloudEvent) -> None:
        self.seen_more = True
        self._seen[name].setdefault(event.partitionkey, []).append(int(event.sequence))

    def lack(self, wanted: Seen) -> list[str]:
        """Who has not everything yet. Raises AssertionError for what is wrong already."""
        return [*self._streams_lack(wanted), *self._receivers_lack(wanted)]

    def _streams_lack(self, wanted: Seen) -> Iterator[str]:
        for name, seen in self._seen.items():
            for workflow, versions in wanted.items():
                found = seen.get(workflow, [])
                assert found == versions[: len(found)], f"{name} saw {found} of {workflow}"
                if found != versions and (name == workflow or name not in wanted):
                    yield f"{name}: {len(found)} of {len(versions)} of {workflow}"

    def _receivers_lack(self, wanted: Seen) -> Iterator[str]:
        """Each event at least once, always under the same `webhook-id`, which no other has."""
        events = {f"{name}:{version}" for name, versions in wanted.items() for version in versions}
        for receiver in self._receivers:
            pairs = {
                (message.headers["webhook-id"], json.loads(message.body)["id"])
                for message in receiver.messages
            }
            assert len(pairs) == len(dict(pairs)) == len({event for _, event in pairs})
            if missing := events - {event for _, event in pairs}:
                yield f"{receiver.url}: lacks {len(missing)} of {len(events)}"


async def until(
    condition: Callable[[], object], seconds: float = 60, lacking: Callable[[], object] = str
) -> None:
    """Wait for a condition; tell what is lacking when it does not come."""
    with anyio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110 - of other processes there is no word
            await anyio.sleep(0.05)
        return
    pytest.fail(f"not so after {seconds} s: {lacking()}")
