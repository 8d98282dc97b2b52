"""Webhooks: who is told of which events, how that went, and once more."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..core.errors import InputError
from ..core.webhooks import (
    OVERLAP_S,
    Attempt,
    Delivery,
    Secret,
    Webhook,
    WebhookState,
    delete_webhook,
    find_webhook,
    list_deliveries,
    list_webhooks,
    new_id,
    new_secret,
    save_webhook,
    set_state,
    states_of,
)
from ..projections.documents import iso
from ..reactors.egress import Egress, Refused
from .calls import Call
from .events import Types
from .operations import Answer, Links, Operation, Reply
from .patterns import Limit, Name, Tag, tags_of
from .problems import FieldError, Problem, not_found

#: Webhooks of one installation.
MOST = 1000


class CreateWebhook(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where to send events, and which: empty lists want all."""

    url: Annotated[
        str, Meta(min_length=1, max_length=2000, examples=["https://example.com/hooks/flow"])
    ]
    types: Types = []
    #: Definitions whose workflows are wanted.
    names: Annotated[list[Name], Meta(max_length=50)] = []
    #: Tags that the workflows have to have, all of them.
    tags: Annotated[list[Tag], Meta(max_length=10)] = []
    description: Annotated[str, Meta(max_length=500)] = ""


class WebhookResource(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, and how it fares. Its secret is shown when it is made, never again."""

    id: str
    url: str
    types: list[str]
    names: list[str]
    tags: dict[str, str]
    description: str
    created_at: str
    #: `gone`: it answered 410; `failing`: for five days. Nothing is sent to it until it is enabled.
    disabled: Literal["", "gone", "failing"]
    failing_since: str | None
    secret: str | UnsetType = UNSET


class WebhookList(msgspec.Struct, frozen=True):
    items: list[WebhookResource]


class DeliveryResource(msgspec.Struct, frozen=True, kw_only=True):
    """One event to one webhook; `attempts` are the tries so far."""

    id: str
    event_id: str
    event_type: str
    state: Literal["pending", "delivered", "failed"]
    created_at: str
    attempts: list[AttemptResource]


class AttemptResource(msgspec.Struct, frozen=True):
    at: str
    #: Seconds.
    took: float
    #: What was answered; null when there was no answer.
    status: int | None
    error: str


class DeliveryList(msgspec.Struct, frozen=True):
    items: list[DeliveryResource]


class DeliveriesQuery(msgspec.Struct, forbid_unknown_fields=True):
    limit: Limit = 50


async def create(call: Call) -> Answer:
    asked: CreateWebhook = call.body
    await _check_url(call, asked.url)
    if len(await list_webhooks(call.log)) >= MOST:
        raise InputError(f"there are {MOST} webhooks already; delete some")
    name = _id_of(call)
    if webhook := await find_webhook(call.log, name):
        return _created(webhook)  # made by a first try whose answer was lost
    webhook = Webhook(
        id=name,
        url=asked.url,
        created_ms=await _now_ms(call),
        secrets=[new_secret()],
        types=asked.types,
        names=asked.names,
        tags=tags_of(asked.tags),
        description=asked.description,
    )
    await save_webhook(call.log, webhook)
    return _created(webhook)


def _id_of(call: Call) -> str:
    """The idempotency key makes the id, so that a repetition finds the first."""
    return new_id("wh_", call.key)


def _created(webhook: Webhook) -> Answer:
    shown = _resource(webhook, None, secret=webhook.secrets[0].text)
    return Answer(shown, 201, {"Location": f"/webhooks/{webhook.id}"})


async def _check_url(call: Call, url: str) -> None:
    """Raises Problem: somebody finds out now rather than from failed deliveries."""
    egress = Egress(call.api.settings.webhook_allow)
    try:
        await egress.check(url)
    except Refused as error:
        errors = [FieldError(str(error), pointer="/url")]
        raise Problem("unprocessable", f"url: {error}", errors=errors) from error
    finally:
        await egress.close()


async def _now_ms(call: Call) -> int:
    """By the clock of Redis, as events have it."""
    seconds, micros = await call.log.connection.call(lambda: call.log.redis.time())
    return int(seconds) * 1000 + int(micros) // 1000


async def list_all(call: Call) -> Answer:
    states = await states_of(call.log)
    found = await list_webhooks(call.log)
    return Answer(WebhookList([_resource(one, states.get(one.id)) for one in found]))


async def get(call: Call) -> Answer:
    webhook = await _find(call)
    return Answer(_resource(webhook, (await states_of(call.log)).get(webhook.id)))


async def delete(call: Call) -> Answer:
    webhook = await _find(call)
    await delete_webhook(call.log, webhook.id)
    return Answer(None, 204)


async def enable(call: Call) -> Answer:
    webhook = await _find(call)
    await set_state(call.log, webhook.id, None)
    return Answer(_resource(webhook, None))


async def rotate(call: Call) -> Answer:
    """A new secret; the old one signs, too, until its users have the new one."""
    webhook = await _find(call)
    until_ms = int((time.time() + OVERLAP_S) * 1000)
    good = set(webhook.good_secrets)
    old = [
        Secret(one.text, one.until_ms or until_ms) for one in webhook.secrets if one.text in good
    ]
    fresh = new_secret()
    changed = msgspec.structs.replace(webhook, secrets=[fresh, *old[:4]])
    await save_webhook(call.log, changed)
    return Answer(_resource(changed, None, secret=fresh.text))


async def deliveries(call: Call) -> Answer:
    webhook = await _find(call)
    query: DeliveriesQuery = call.query
    found = await list_deliveries(call.log, webhook.id, query.limit)
    return Answer(DeliveryList([_delivery(one) for one in found]))


async def redeliver(call: Call) -> Answer:
    webhook = await _find(call)
    delivery = call.path["delivery"]
    workflow = delivery.partition("_")[0]
    partition = call.log.keys.partition(workflow)
    if not await call.log.scripts.redeliver(partition, delivery=delivery, webhook=webhook.id):
        raise not_found(f"delivery {delivery!r} of webhook {webhook.id}")
    return Answer(_resource(webhook, None), 202)


async def _find(call: Call) -> Webhook:
    webhook = await find_webhook(call.log, call.path["webhook"])
    if webhook is None:
        raise not_found(f"webhook {call.path['webhook']!r}")
    return webhook


def _resource(
    webhook: Webhook, state: WebhookState | None, *, secret: str | UnsetType = UNSET
) -> WebhookResource:
    state = state or WebhookState()
    return WebhookResource(
        id=webhook.id,
        url=webhook.url,
        types=webhook.types,
        names=webhook.names,
        tags=webhook.tags,
        description=webhook.description,
        created_at=iso(webhook.created_ms) or "",
        disabled=state.disabled,
        failing_since=iso(state.failing_since_ms),
        secret=secret,
    )


def _delivery(one: Delivery) -> DeliveryResource:
    event = msgspec.json.decode(one.message)
    return DeliveryResource(
        id=one.id,
        event_id=event["id"],
        event_type=event["type"],
        state=one.state,
        created_at=iso(one.made_ms) or "",
        attempts=[_attempt(attempt) for attempt in one.attempts],
    )


def _attempt(one: Attempt) -> AttemptResource:
    return AttemptResource(iso(one.at_ms) or "", one.took_ms / 1000, one.status, one.error)


_NEXT = ["getWebhook", "deleteWebhook", "rotateWebhookSecret", "enableWebhook", "listDeliveries"]
_TO_WEBHOOK = {"webhook": "$response.body#/id"}
_TO_OLDEST = {"webhook": "$response.body#/items/0/id"}
_AFTER_CREATE: Links = dict.fromkeys(_NEXT, _TO_WEBHOOK)
_ONE: dict[str, Any] = {"group": "webhooks", "problems": ("not-found",)}
_ADMIN: dict[str, Any] = {"scope": "admin", "idempotent": True}

OPERATIONS = (
    Operation(
        "POST",
        "/webhooks",
        "createWebhook",
        "Create a webhook",
        create,
        "webhooks",
        {201: Reply("Created; the secret is shown once.", WebhookResource, headers=("Location",))},
        text=(
            "Events from now on are sent to the URL, at least once, signed as Standard Webhooks "
            "has it, and tried again for three days. Addresses that are not public are refused."
        ),
        body=CreateWebhook,
        problems=("unprocessable",),
        links=_AFTER_CREATE,
        **_ADMIN,
    ),
    Operation(
        "GET",
        "/webhooks",
        "listWebhooks",
        "List webhooks",
        list_all,
        "webhooks",
        {200: Reply("All, oldest first.", WebhookList)},
        links=dict.fromkeys(_NEXT, _TO_OLDEST),
    ),
    Operation(
        "GET",
        "/webhooks/{webhook}",
        "getWebhook",
        "Get a webhook",
        get,
        replies={200: Reply("The webhook.", WebhookResource)},
        **_ONE,
    ),
    Operation(
        "DELETE",
        "/webhooks/{webhook}",
        "deleteWebhook",
        "Delete a webhook",
        delete,
        replies={204: Reply("Nothing is sent to it any more.")},
        **_ONE,
        **_ADMIN,
    ),
    Operation(
        "PUT",
        "/webhooks/{webhook}/enable",
        "enableWebhook",
        "Enable a webhook",
        enable,
        replies={200: Reply("Events are sent to it again.", WebhookResource)},
        text="One that was disabled because it failed for days, or said that it is gone.",
        **_ONE,
        **_ADMIN,
    ),
    Operation(
        "POST",
        "/webhooks/{webhook}/rotate",
        "rotateWebhookSecret",
        "Replace the secret",
        rotate,
        replies={200: Reply("The new secret, shown this once.", WebhookResource)},
        text="For a day messages are signed with both, so that receivers have time to change.",
        **_ONE,
        **_ADMIN,
    ),
    Operation(
        "GET",
        "/webhooks/{webhook}/deliveries",
        "listDeliveries",
        "What was sent",
        deliveries,
        replies={200: Reply("The newest first, with all tries.", DeliveryList)},
        query=DeliveriesQuery,
        links={
            "redeliver": {
                "webhook": "$request.path.webhook",
                "delivery": "$response.body#/items/0/id",
            }
        },
        **_ONE,
    ),
    Operation(
        "POST",
        "/webhooks/{webhook}/deliveries/{delivery}/redeliver",
        "redeliver",
        "Send it once more",
        redeliver,
        replies={202: Reply("It is sent again, with all its retries.", WebhookResource)},
        **_ONE,
        **_ADMIN,
    ),
)
