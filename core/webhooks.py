"""Webhooks: who wants which events, and how messages to them are signed (Standard Webhooks).

What an endpoint is, is in `flow:webhooks`; how it fares in `flow:webhooks:state`, apart from it, so
that a courier who notes a failure never writes over somebody's change.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Literal

import msgspec

from . import clock
from .ids import chance
from .log import EventLog

GROUP = "notifier"
#: A secret that was replaced still signs for this long, s.
OVERLAP_S = 24 * 3600.0
_PREFIX = "whsec_"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """`whsec_` and base64 of 32 bytes. `until_ms`: replaced, and good for so long."""

    text: str
    until_ms: int | None = None


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """An endpoint, and the events it wants: empty lists want all."""

    id: str
    url: str
    created_ms: int
    secrets: list[Secret]
    types: list[str] = []
    names: list[str] = []
    tags: dict[str, str] = {}
    description: str = ""

    @property
    def good_secrets(self) -> list[str]:
        now_ms = clock.now_ms()
        return [one.text for one in self.secrets if one.until_ms is None or one.until_ms > now_ms]


class WebhookState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an endpoint fares. Times are ms."""

    failing_since_ms: int | None = None
    #: Why nothing is sent to it any more: `gone` (it answered 410), `failing` (for days).
    disabled: Literal["", "gone", "failing"] = ""


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try to deliver. No `status`: there was no answer, and `error` says why."""

    at_ms: int
    took_ms: int
    status: int | None = None
    error: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one endpoint."""

    id: str
    webhook: str
    #: The CloudEvent as JSON.
    message: str
    attempts: list[Attempt]
    state: Literal["pending", "delivered", "failed"] = "pending"
    made_ms: int = 0
    #: Attempts before the present round of retries.
    round: int = 0


_decode = msgspec.json.Decoder(Webhook).decode
_decode_state = msgspec.json.Decoder(WebhookState).decode
_decode_attempts = msgspec.json.Decoder(list[Attempt]).decode
_encode = msgspec.json.Encoder().encode


def new_id(prefix: str, key: str | None = None) -> str:
    """A random id, or the one that a key stands for."""
    if key is None:
        return prefix + "".join(chance().choices(_ALPHABET, k=12))
    numbers = hashlib.sha256(key.encode()).digest()[:12]
    return prefix + "".join(_ALPHABET[number % len(_ALPHABET)] for number in numbers)


def new_secret() -> Secret:
    return Secret(_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def sign(message_id: str, timestamp: int, body: bytes, secret: str) -> str:
    """The signature of a message by one secret: `v1,` and base64."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers_of(webhook: Webhook, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message: one signature per secret that is good."""
    signatures = [sign(message_id, timestamp, body, secret) for secret in webhook.good_secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


async def save_webhook(log: EventLog, webhook: Webhook) -> None:
    """Keep an endpoint, and have the feeds read for it."""
    for partition in range(log.keys.partitions):
        await log.scripts.open_group(partition, group=GROUP)
    data = _encode(webhook)
    await log.connection.call(lambda: log.redis.hset(log.keys.webhooks, webhook.id, data))


async def list_webhooks(log: EventLog) -> list[Webhook]:
    """All endpoints, oldest first."""
    found = await log.connection.call(lambda: log.redis.hvals(log.keys.webhooks))
    return sorted((_decode(data) for data in found), key=lambda one: (one.created_ms, one.id))


async def find_webhook(log: EventLog, id: str) -> Webhook | None:
    data = await log.connection.call(lambda: log.redis.hget(log.keys.webhooks, id))
    return _decode(data) if data else None


async def delete_webhook(log: EventLog, id: str) -> bool:
    """Forget an endpoint; with the last one the feeds are read no more."""
    gone = await log.connection.call(lambda: log.redis.hdel(log.keys.webhooks, id))
    await log.connection.call(lambda: log.redis.hdel(log.keys.webhook_states, id))
    for partition in range(log.keys.partitions):
        await _forget_sent(log, partition, id)
        if not await log.connection.call(lambda: log.redis.exists(log.keys.webhooks)):
            await log.scripts.open_group(partition, group=GROUP, close=True)
    return bool(gone)


async def _forget_sent(log: EventLog, partition: int, id: str) -> None:
    key = log.keys.flow(partition, "sent", id)
    await log.connection.call(lambda: log.redis.delete(key))


async def states_of(log: EventLog) -> dict[str, WebhookState]:
    """How endpoints fare; those that are not listed fare well."""
    found: dict[bytes, bytes] = await log.connection.call(
        lambda: log.redis.hgetall(log.keys.webhook_states)
    )
    return {name.decode(): _decode_state(data) for name, data in found.items()}


async def set_state(log: EventLog, id: str, state: WebhookState | None) -> None:
    """Note how an endpoint fares; None: well."""
    key = log.keys.webhook_states
    if state is None:
        await log.connection.call(lambda: log.redis.hdel(key, id))
    else:
        await log.connection.call(lambda: log.redis.hset(key, id, _encode(state)))


async def list_deliveries(log: EventLog, webhook: str, limit: int) -> list[Delivery]:
    """What was sent to an endpoint, and what is to be, newest first."""
    found: list[Delivery] = []
    for partition in range(log.keys.partitions):
        for name in await _sent(log, partition, webhook, limit):
            if delivery := await _delivery(log, partition, name):
                found.append(delivery)
    return sorted(found, key=lambda one: one.made_ms, reverse=True)[:limit]


async def _sent(log: EventLog, partition: int, webhook: str, limit: int) -> list[str]:
    key = log.keys.flow(partition, "sent", webhook)
    names: list[bytes] = await log.connection.call(lambda: log.redis.zrevrange(key, 0, limit - 1))
    return [name.decode() for name in names]


async def _delivery(log: EventLog, partition: int, id: str) -> Delivery | None:
    key = log.keys.flow(partition, "delivery", id)
    data: dict[bytes, bytes] = await log.connection.call(lambda: log.redis.hgetall(key))
    if not data:
        return None
    fields = {name.decode(): value for name, value in data.items()}
    return Delivery(
        id=id,
        webhook=fields["webhook"].decode(),
        message=fields["message"].decode(),
        attempts=_decode_attempts(fields["attempts"]),
        state=msgspec.convert(fields["state"].decode(), Literal["pending", "delivered", "failed"]),
        made_ms=int(fields["made"]),
        round=int(fields["round"]),
    )
