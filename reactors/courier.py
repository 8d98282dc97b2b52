"""Deliver what the notifier has planned, at least once, by the retry schedule of Standard Webhooks.

An attempt is claimed, made, and settled. A courier that dies in between is followed by one that
makes it again when the claim is over; receivers know a repetition by its `webhook-id`.
"""

from __future__ import annotations

import email.utils
from collections import Counter

import anyio
import anyio.abc
import httpcore
import msgspec
import structlog

from ..core import clock
from ..core import metrics as m
from ..core.answers import ClaimedDelivery
from ..core.ids import chance, new_session
from ..core.log import EventLog
from ..core.webhooks import (
    Attempt,
    Webhook,
    WebhookState,
    headers_of,
    list_webhooks,
    set_state,
    states_of,
)
from .egress import PATIENCE, Answered, Egress, Refused
from .notifier import Notifier

log = structlog.get_logger()

#: Seconds before each attempt.
SCHEDULE = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: Share of a wait that is spread at random.
JITTER = 0.2
#: Attempts under way at a time, over all and per webhook.
MOST, MOST_EACH = 50, 4
#: How long what was delivered, or given up, can be looked at and sent again, s.
KEEP_S = 7 * 24 * 3600
#: A webhook that fails for so long, whatever it is sent, is sent nothing more, s.
GIVE_UP_S = 5 * 24 * 3600
#: How long an attempt may take before others make it again, s.
LEASE_S = PATIENCE + 5
#: Longest sleep, s: another process may have planned something.
LONGEST = 5.0


class Courier:
    """Deliver what is due in one partition."""

    def __init__(
        self,
        event_log: EventLog,
        *,
        partition: int = 0,
        lease_s: float = LEASE_S,
        schedule: tuple[float, ...] = SCHEDULE,
    ) -> None:
        self._log = event_log
        self._partition = partition
        self._lease_ms = int(lease_s * 1000)
        self._schedule = schedule
        self._egress = Egress(event_log.settings.webhook_allow)
        self._name = new_session("courier")
        self._claims = 0
        #: Attempts under way by webhook.
        self._busy: Counter[str] = Counter()
        self._wake = anyio.Event()

    def wake(self) -> None:
        """There is something to deliver."""
        self._wake.set()

    async def run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                while True:
                    self._wake = anyio.Event()
                    wait_ms = await self._take(tasks)
                    seconds = LONGEST if wait_ms < 0 else min(LONGEST, wait_ms / 1000)
                    with anyio.move_on_after(seconds):
                        await self._wake.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._egress.close()

    async def _take(self, tasks: anyio.abc.TaskGroup) -> int:
        """Begin what is due; ms until the next is, -1 for none."""
        self._claims += 1
        token = f"{self._name}/{self._claims}"
        taken, wait_ms = await self._log.scripts.claim_deliveries(
            self._partition,
            token=token,
            want=MOST - self._busy.total(),
            each=MOST_EACH,
            busy=self._busy,
            lease_ms=self._lease_ms,
        )
        if not taken:
            return wait_ms
        webhooks = {one.id: one for one in await list_webhooks(self._log)}
        states = await states_of(self._log)
        for delivery in taken:
            webhook = webhooks.get(delivery.webhook)
            state = states.get(delivery.webhook, WebhookState())
            self._busy[delivery.webhook] += 1
            tasks.start_soon(self._carry, delivery, token, webhook, state)
        return wait_ms

    async def _carry(
        self, delivery: ClaimedDelivery, token: str, webhook: Webhook | None, state: WebhookState
    ) -> None:
        try:
            await self._deliver(delivery, token, webhook, state)
        finally:
            self._busy[delivery.webhook] -= 1
            self._wake.set()

    async def _deliver(
        self, delivery: ClaimedDelivery, token: str, webhook: Webhook | None, state: WebhookState
    ) -> None:
        if webhook is None or state.disabled:
            why = state.disabled or "deleted"
            attempt = Attempt(clock.now_ms(), 0, error=f"the webhook is {why}")
            await self._settle(delivery, token, attempt, "failed", 0)
            return
        attempt, answer = await self._attempt(webhook, delivery)
        await self._judge(delivery, token, state, attempt, answer)

    async def _attempt(
        self, webhook: Webhook, delivery: ClaimedDelivery
    ) -> tuple[Attempt, Answered | None]:
        body = delivery.message.encode()
        began_ms = clock.now_ms()
        headers = {
            **headers_of(webhook, f"msg_{delivery.id}", began_ms // 1000, body),
            "content-type": "application/cloudevents+json",
            "user-agent": "agentainer-flow",
        }
        try:
            answer = await self._egress.post(webhook.url, headers, body)
        except (Refused, TimeoutError, OSError, *HTTP_ERRORS) as error:
            text = f"{type(error).__name__}: {error}"[:500]
            return Attempt(began_ms, clock.now_ms() - began_ms, error=text), None
        return Attempt(began_ms, clock.now_ms() - began_ms, answer.status, _problem(answer)), answer

    async def _judge(
        self,
        delivery: ClaimedDelivery,
        token: str,
        state: WebhookState,
        attempt: Attempt,
        answer: Answered | None,
    ) -> None:
        if answer and 200 <= answer.status < 300:
            if await self._settle(delivery, token, attempt, "delivered", 0):
                await set_state(self._log, delivery.webhook, None)
            return
        if answer and answer.status == 410:
            await set_state(self._log, delivery.webhook, WebhookState(disabled="gone"))
            await self._settle(delivery, token, attempt, "failed", 0)
            return
        await self._note_failure(delivery.webhook, state)
        made = len(msgspec.json.decode(delivery.attempts)) - delivery.round + 1
        if made >= len(self._schedule):
            await self._settle(delivery, token, attempt, "failed", 0)
            return
        wait_s = max(_spread(self._schedule[made]), _asked_for(answer))
        await self._settle(delivery, token, attempt, "pending", int(wait_s * 1000))

    async def _note_failure(self, webhook: str, state: WebhookState) -> None:
        since = state.failing_since_ms or clock.now_ms()
        given_up = clock.now_ms() - since > GIVE_UP_S * 1000
        if given_up:
            log.error("webhook.disabled", webhook=webhook, failing_since_ms=since)
        await set_state(self._log, webhook, WebhookState(since, "failing" if given_up else ""))

    async def _settle(
        self, delivery: ClaimedDelivery, token: str, attempt: Attempt, state: str, delay_ms: int
    ) -> bool:
        settled = await self._log.scripts.settle_delivery(
            self._partition,
            delivery=delivery.id,
            token=token,
            attempt=msgspec.json.encode(attempt).decode(),
            state=state,
            delay_ms=delay_ms,
            keep_ms=KEEP_S * 1000,
        )
        if settled and self._log.instruments:
            _count(self._log.instruments, state, attempt)
        return settled


def _count(instruments: m.Instruments, state: str, attempt: Attempt) -> None:
    result = "retried" if state == "pending" else state
    instruments.count(m.WEBHOOK_DELIVERIES, result)
    instruments.observe(m.WEBHOOK_DURATION, attempt.took_ms / 1000, result)


HTTP_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


def _problem(answer: Answered) -> str:
    if 200 <= answer.status < 300:
        return ""
    if 300 <= answer.status < 400:
        return "it redirects, which is not followed"
    return f"it answered {answer.status}"


def _asked_for(answer: Answered | None) -> float:
    """Seconds that the receiver wants us to wait, a day at most."""
    text = answer.retry_after.strip() if answer else ""
    if text.isascii() and text.isdigit():
        return min(float(text), SCHEDULE[-1])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return 0.0
    return min(max(0.0, moment.timestamp() - clock.now()), SCHEDULE[-1])


def _spread(seconds: float) -> float:
    return seconds * (1 + JITTER * chance().random())


async def deliver_webhooks(event_log: EventLog, partition: int = 0) -> None:
    """Notifier and courier of one partition, for ever."""
    courier = Courier(event_log, partition=partition)
    notifier = Notifier(event_log, courier.wake, partition=partition)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(courier.run)
        tasks.start_soon(notifier.run)
