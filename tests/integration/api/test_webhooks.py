"""Webhooks: signed, tried again, disabled, looked at, and never to where they must not go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import httpx
import msgspec
import pytest
import standardwebhooks
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from agentainer_flow.core.settings import Settings
from agentainer_flow.core.webhooks import find_webhook, headers_of, save_webhook
from agentainer_flow.reactors import courier as couriers
from agentainer_flow.reactors.courier import Courier
from agentainer_flow.reactors.egress import Egress, Refused
from agentainer_flow.reactors.notifier import Notifier

from .receiver import Receiver, receiving
from .scene import Json, Scene, open_scene

pytestmark = pytest.mark.anyio


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def scene(settings: Settings) -> AsyncIterator[Scene]:
    """A server without couriers: tests start their own, with schedules that are short."""
    settings = msgspec.structs.replace(settings, webhook_allow="127.0.0.0/8")
    async with open_scene(settings, carried=False) as scene:
        yield scene


async def hook(scene: Scene, receiver: Receiver, **more: Any) -> Json:
    answer = await scene.http.post("/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


class Sending:
    """Notifier and courier under way, with a schedule that is short."""

    def __init__(self, scene: Scene) -> None:
        self._courier = Courier(scene.log, schedule=(0, 0.01, 0.01), lease_s=1)
        self._notifier = Notifier(scene.log, self._courier.wake)
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> None:
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._courier.run)
        self._tasks.start_soon(self._notifier.run)

    async def __aexit__(self, *error: Any) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(*error)


async def deliveries(scene: Scene, webhook: Json) -> list[Json]:
    found: list[Json] = (await scene.get(f"/webhooks/{webhook['id']}/deliveries"))["items"]
    return found


async def until_tried(scene: Scene, webhook: Json) -> None:
    with anyio.fail_after(10):
        while not (await deliveries(scene, webhook))[0]["attempts"]:  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def until_states(scene: Scene, webhook: Json, *states: str) -> list[Json]:
    with anyio.fail_after(30):
        while True:
            found = await deliveries(scene, webhook)
            if [one["state"] for one in found] == list(states):
                return found
            await anyio.sleep(0.02)


async def test_others_verify_and_read_what_is_sent(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver, types=["workflow.created"])
    async with Sending(scene):
        made = await scene.create("greet", name="Ada")
        (message,) = await receiver.until(1)
    assert message.headers["webhook-id"].startswith("msg_")
    verified = standardwebhooks.Webhook(webhook["secret"]).verify(message.body, message.headers)
    event = from_http(HTTPMessage(message.headers, message.body), JSONFormat(), CloudEvent)
    assert event.get_type() == "io.agentainer.workflow.created.v1"
    assert event.get_id() == verified["id"] == f"{made['id']}:1"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(webhook["secret"]).verify(message.body + b" ", message.headers)


async def test_only_what_is_wanted_from_now_on(scene: Scene, receiver: Receiver) -> None:
    await scene.create("greet", name="before")
    await hook(scene, receiver, types=["workflow.*"], names=["greet"], tags=["team:search"])
    async with Sending(scene):
        await scene.create("greet", name="untagged")
        body = {"name": "greet", "input": {"name": "a"}, "tags": {"team": "search"}}
        made = (await scene.http.post("/workflows", json=body)).json()
        await scene.put(f"/workflows/{made['id']}/state", json={"a": 1})
        await scene.put(f"/workflows/{made['id']}/start")
        first, second = await receiver.until(2)
    types = [msgspec.json.decode(one.body)["type"] for one in (first, second)]
    assert sorted(types) == [
        "io.agentainer.workflow.created.v1",
        "io.agentainer.workflow.started.v1",
    ]


async def test_what_fails_is_tried_again_under_the_same_id(
    scene: Scene, receiver: Receiver
) -> None:
    webhook = await hook(scene, receiver)
    receiver.answers = [(500, {}), (302, {"Location": "http://127.0.0.1:1/"})]
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        messages = await receiver.until(3)
        (delivery,) = await until_states(scene, webhook, "delivered")
    assert len({message.headers["webhook-id"] for message in messages}) == 1
    attempts: list[Json] = delivery["attempts"]
    assert [attempt["status"] for attempt in attempts] == [500, 302, 204]
    assert "redirects" in attempts[1]["error"]
    shown = await scene.get(f"/webhooks/{webhook['id']}")
    assert (shown["failing_since"], shown["disabled"]) == (None, "")


async def test_what_is_given_up_can_be_sent_once_more(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    receiver.answers = [(500, {})] * 3
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        (delivery,) = await until_states(scene, webhook, "failed")
        path = f"/webhooks/{webhook['id']}/deliveries"
        again = await scene.http.post(f"{path}/{delivery['id']}/redeliver")
        assert again.status_code == 202
        (delivery,) = await until_states(scene, webhook, "delivered")
    assert len(delivery["attempts"]) == 4
    assert (await scene.http.post(f"{path}/none/redeliver")).status_code == 404


async def test_retry_after_is_honoured(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    receiver.answers = [(429, {"Retry-After": "3600"})]
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        await receiver.until(1)
        await until_tried(scene, webhook)
    ((_, due),) = await scene.log.redis.zrange("flow:0:due", 0, -1, withscores=True)
    seconds, _ = await scene.log.redis.time()
    assert 3500 < due / 1000 - seconds < 3700


async def test_one_that_is_gone_gets_nothing_more(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    receiver.answers = [(410, {})]
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        await until_states(scene, webhook, "failed")
        await scene.create("greet", name="Bo")
        await until_states(scene, webhook, "failed", "failed")
        assert (await scene.get(f"/webhooks/{webhook['id']}"))["disabled"] == "gone"
        await scene.put(f"/webhooks/{webhook['id']}/enable")
        await scene.create("greet", name="Cy")
        await until_states(scene, webhook, "delivered", "failed", "failed")
    assert len(receiver.messages) == 2


async def test_one_that_fails_for_days_gets_nothing_more(
    scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(couriers, "GIVE_UP_S", -1.0)
    webhook = await hook(scene, receiver)
    receiver.answers = [(500, {})]
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        await until_states(scene, webhook, "failed")
    assert (await scene.get(f"/webhooks/{webhook['id']}"))["disabled"] == "failing"


async def test_a_replaced_secret_signs_for_a_while(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    rotated = (await scene.http.post(f"/webhooks/{webhook['id']}/rotate")).json()
    assert rotated["secret"] != webhook["secret"]
    async with Sending(scene):
        await scene.create("greet", name="Ada")
        (message,) = await receiver.until(1)
    for secret in (webhook["secret"], rotated["secret"]):
        standardwebhooks.Webhook(secret).verify(message.body, message.headers)
    kept = await find_webhook(scene.log, webhook["id"])
    assert kept is not None
    over = [msgspec.structs.replace(one, until_ms=one.until_ms and 1) for one in kept.secrets]
    later = msgspec.structs.replace(kept, secrets=over)
    assert len(headers_of(later, "msg_1", 1, b"")["webhook-signature"].split()) == 1


async def test_the_secret_is_shown_once(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    for path in ("/webhooks", f"/webhooks/{webhook['id']}"):
        assert webhook["secret"] not in (await scene.http.get(path)).text


async def test_a_repeated_request_makes_one_webhook(scene: Scene, receiver: Receiver) -> None:
    key = {"Idempotency-Key": "hook-1"}
    made = [
        (await scene.http.post("/webhooks", json={"url": receiver.url}, headers=key)).json()
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len((await scene.get("/webhooks"))["items"]) == 1


async def test_deleting_the_last_one_closes_the_feed(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    assert await scene.log.redis.exists("flow:0:feed")
    assert (await scene.http.delete(f"/webhooks/{webhook['id']}")).status_code == 204
    assert await scene.get("/webhooks") == {"items": []}
    await scene.log.scripts.tend_feeds(0, keep_ms=1, keep_entries=1)
    assert not await scene.log.redis.exists("flow:0:feed")


async def test_what_a_dead_courier_had_is_sent_by_the_next(
    scene: Scene, receiver: Receiver
) -> None:
    webhook = await hook(scene, receiver)
    await scene.create("greet", name="Ada")
    planner = Notifier(scene.log, lambda: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(planner.run)
        await until_states(scene, webhook, "pending")
        tasks.cancel_scope.cancel()
    claim = partial(scene.log.scripts.claim_deliveries, 0, want=10, each=10, lease_ms=300)
    ((dead,), _) = await claim(token="dead/1")
    async with Sending(scene):
        await until_states(scene, webhook, "delivered")
        tasks.cancel_scope.cancel()
    late = partial(scene.log.scripts.settle_delivery, 0, delivery=dead.id, token="dead/1")
    assert not await late(attempt="", state="failed", delay_ms=0, keep_ms=1000)


async def test_two_notifiers_plan_each_event_once(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    async with Sending(scene), Sending(scene), Sending(scene):
        for number in range(20):
            await scene.create("greet", name=str(number))
        await until_states(scene, webhook, *["delivered"] * 20)
    assert len(receiver.messages) == 20


#: None of these may be sent to: private, local, special, disguised, or no URL at all.
HOSTILE = [
    "http://127.0.0.1/",
    "http://127.0.0.1:6379/",
    "http://127.1/",
    "http://127.000.000.001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://localhost:8000/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::10.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://metadata.google.internal/",
    "http://example.com@127.0.0.1/",
    "http://user:password@example.com/",
    "http://127.0.0.1#@example.com/",
    "http://127.0.0.1\\@example.com/",
    "http://127.0.0.1%2f@example.com/",
    "http://127.0.0.1:80@example.com/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://ⓛocalhost/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\r\nHost: example.com/",
    " http://127.0.0.1/",
    "http:///etc/passwd",
    "http://",
    "http://:80/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "http://example.com:x/",
    "//127.0.0.1/",
    "127.0.0.1",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_SET",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "data:text/plain,x",
]


@pytest.mark.parametrize("url", HOSTILE)
async def test_hostile_urls_are_refused(url: str) -> None:
    egress = Egress()
    try:
        with pytest.raises(Refused):
            await egress.check(url)
        with pytest.raises(Refused):
            await egress.post(url, {}, b"{}")
    finally:
        await egress.close()


async def test_hostile_webhooks_are_refused_to_the_last_one(settings: Settings) -> None:
    async with open_scene(settings, carried=False) as scene:
        for url in HOSTILE:
            answer = await scene.http.post("/webhooks", json={"url": url})
            assert answer.status_code == 422, url
        assert (await scene.get("/webhooks"))["items"] == []


async def test_a_name_that_leads_elsewhere_later_gains_nothing(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resolved when it is connected to, every address checked, and that address connected to."""
    egress = Egress()
    port = int(receiver.url.rpartition(":")[2].partition("/")[0])

    async def rebound(host: str, port: int, **more: object) -> list[Any]:
        return [(2, 1, 6, "", ("93.184.216.34", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(anyio, "getaddrinfo", rebound)
    try:
        with pytest.raises(Refused, match=r"127\.0\.0\.1"):
            await egress.post(f"http://rebind.example:{port}/", {}, b"{}")
    finally:
        await egress.close()
    assert receiver.messages == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "2002:808:808::", "1.1.1.1"])
async def test_public_addresses_are_not_refused(address: str) -> None:
    egress = Egress()
    try:
        await egress.check(f"https://[{address}]/x" if ":" in address else f"https://{address}/x")
    finally:
        await egress.close()


async def test_an_endless_answer_is_cut(settings: Settings) -> None:
    async def endless(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    await stream.send(b"x" * 65536)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, endless)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        egress = Egress("127.0.0.1")
        with anyio.fail_after(10):
            answered = await egress.post(f"http://127.0.0.1:{port}/", {}, b"{}")
        assert answered.status == 200
        await egress.close()
        tasks.cancel_scope.cancel()


async def test_a_receiver_that_is_slow_holds_up_no_other(scene: Scene, receiver: Receiver) -> None:
    async def hang(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610
        await scene.http.post("/webhooks", json={"url": f"http://127.0.0.1:{port}/"})
        tasks.start_soon(listener.serve, hang)
        for number in range(couriers.MOST + 1):
            await scene.create("greet", name=str(number))
        await hook(scene, receiver)
        await scene.create("greet", name="last")
        async with Sending(scene):
            with anyio.fail_after(10):
                await receiver.until(1)
        tasks.cancel_scope.cancel()


async def test_saving_again_changes_nothing_for_others(scene: Scene, receiver: Receiver) -> None:
    webhook = await hook(scene, receiver)
    kept = await find_webhook(scene.log, webhook["id"])
    assert kept is not None
    await save_webhook(scene.log, kept)
    response: httpx.Response = await scene.http.get("/webhooks")
    assert len(response.json()["items"]) == 1
