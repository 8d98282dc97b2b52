"""Conditions, idempotency, limits, problems: what every client can rely on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from agentainer_flow.core.settings import Settings

from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio


@pytest.fixture
async def idle(settings: Settings) -> AsyncIterator[Scene]:
    """A server without anybody who carries workflows: nothing changes by itself."""
    async with open_scene(settings, carried=False) as scene:
        yield scene


async def test_the_etag_is_the_version(idle: Scene) -> None:
    made = await idle.create("greet", name="Ada")
    answer = await idle.http.get(f"/workflows/{made['id']}")
    assert answer.headers["ETag"] == '"1"'
    again = await idle.http.get(f"/workflows/{made['id']}", headers={"If-None-Match": '"1"'})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_change_for_another_version_is_refused(idle: Scene) -> None:
    base = f"/workflows/{(await idle.create('greet', name='Ada'))['id']}"
    await idle.put(f"{base}/state", json={"a": 1})
    for change in (
        await idle.put(f"{base}/start", headers={"If-Match": '"1"'}),
        await idle.put(f"{base}/state", json={"a": 2}, headers={"If-Match": '"1"'}),
        await idle.put(f"{base}/state/a", json=2, headers={"If-Match": '"1"'}),
        await idle.http.delete(f"{base}/state/a", headers={"If-Match": '"1"'}),
        await idle.http.delete(base, headers={"If-Match": '"1"'}),
    ):
        assert (change.status_code, change.json()["workflow_version"]) == (412, 2), change.text
    assert await idle.get(f"{base}/state") == {"a": 1}
    assert (await idle.put(f"{base}/start", headers={"If-Match": '"7", "2"'})).status_code == 202


async def test_if_match_can_be_required(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, api_if_match="required")
    async with open_scene(settings, carried=False) as scene:
        base = f"/workflows/{(await scene.create('greet', name='Ada'))['id']}"
        assert (await scene.put(f"{base}/start")).status_code == 428
        assert (await scene.put(f"{base}/start", headers={"If-Match": "*"})).status_code == 202


async def test_the_same_key_creates_once_also_after_a_restart(settings: Settings) -> None:
    body = {"name": "greet", "input": {"name": "Ada"}}
    key = {"Idempotency-Key": "order-17"}
    async with open_scene(settings, carried=False) as scene:
        first = await scene.http.post("/workflows", json=body, headers=key)
    async with open_scene(settings, carried=False) as scene:
        again = await scene.http.post("/workflows", json=body, headers=key)
        listed = (await scene.get("/workflows"))["items"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.json()) == (201, first.json())
    assert "Idempotent-Replayed" not in first.headers
    assert len(listed) == 1


async def test_a_lost_answer_is_made_again(idle: Scene) -> None:
    body = {"name": "greet", "input": {"name": "Ada"}}
    key = {"Idempotency-Key": "order-18"}
    first = await idle.http.post("/workflows", json=body, headers=key)
    async for name in idle.log.redis.scan_iter("flow:request:*"):
        await idle.log.redis.delete(name)  # as if the server had died before it kept the answer
    again = await idle.http.post("/workflows", json=body, headers=key)
    assert again.json()["id"] == first.json()["id"]
    assert len((await idle.get("/workflows"))["items"]) == 1


async def test_a_key_with_other_content_is_refused(idle: Scene) -> None:
    key = {"Idempotency-Key": "order-17"}
    base = f"/workflows/{(await idle.create('greet', name='Ada'))['id']}"
    assert (await idle.put(f"{base}/state", json={"a": 1}, headers=key)).status_code == 200
    other = await idle.put(f"{base}/state", json={"a": 2}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-conflict")


async def test_a_repeated_write_counts_once(idle: Scene) -> None:
    base = f"/workflows/{(await idle.create('greet', name='Ada'))['id']}"
    key = {"Idempotency-Key": "write-1"}
    for _ in range(3):
        await idle.put(f"{base}/state", json={"a": 1}, headers=key)
    types = [one["type"] for one in (await idle.get(f"{base}/events"))["items"]]
    assert types.count("io.agentainer.state.updated.v1") == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": 7}, "/name"),
        ({"name": "greet", "tags": {"a": 1}}, "/tags"),
        ({"name": "greet", "unknown": 1}, ""),
        ({"name": "greet", "start": "yes"}, "/start"),
    ],
)
async def test_a_problem_points_to_its_field(
    idle: Scene, body: dict[str, object], pointer: str
) -> None:
    answer = await idle.http.post("/workflows", json=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", "/nowhere"), 404),
        (("PATCH", "/workflows"), 405),
        (("GET", "/workflows?limit=0"), 400),
        (("GET", "/workflows?limit=1&limit=2"), 400),
        (("GET", "/workflows?nope=1"), 400),
        (("GET", "/workflows?created_after=yesterday"), 400),
        (("GET", "/workflows/%ff"), 400),
        (("GET", "/workflows/none"), 404),
        (("GET", "/workflows/none/jobs/x/logs"), 404),
    ],
)
async def test_what_is_refused_is_a_problem(
    idle: Scene, request_: tuple[str, str], status: int
) -> None:
    answer = await idle.http.request(*request_)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    kind = answer.json()["type"]
    assert (await idle.get(kind))["status"] == status


async def test_bodies_have_bounds(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, api_body_limit=1000)
    async with open_scene(settings, carried=False) as scene:
        large = {"name": "greet", "input": {"name": "x" * 2000}}
        assert (await scene.http.post("/workflows", json=large)).status_code == 413
        text = await scene.http.post("/workflows", content=b"{}", headers={"Content-Type": "a/b"})
        assert text.status_code == 415
        broken = await scene.http.post(
            "/workflows", content=b"{", headers={"Content-Type": "application/json"}
        )
        assert broken.status_code == 400


async def test_deep_bodies_are_refused(idle: Scene) -> None:
    deep = b'{"name":"greet","input":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    answer = await idle.http.post(
        "/workflows", content=deep, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400


async def test_a_page_of_another_site_gets_nothing(idle: Scene) -> None:
    for name in ("evil.example", "evil.example:8000"):
        answer = await idle.http.get("/workflows", headers={"Host": name})
        assert answer.status_code == 421
    assert "access-control-allow-origin" not in answer.headers


async def test_head_has_no_body_and_options_lists_methods(idle: Scene) -> None:
    head = await idle.http.head("/health")
    assert (head.status_code, head.content) == (200, b"")
    options = await idle.http.options("/workflows")
    assert options.headers["Allow"] == "POST, GET, HEAD, OPTIONS"


async def test_origins_that_are_named_may_call(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, api_origins="https://ops.example")
    async with open_scene(settings, carried=False) as scene:
        answer = await scene.http.get("/health", headers={"Origin": "https://ops.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://ops.example"
        answer = await scene.http.get("/health", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_state_keys_may_hold_anything(idle: Scene) -> None:
    base = f"/workflows/{(await idle.create('greet', name='Ada'))['id']}/state"
    for key, escaped in (("a/b", "a%2Fb"), ("ä ?", "%C3%A4%20%3F"), ("%", "%25"), ("a//b", "a//b")):
        answer = await idle.put(f"{base}/{escaped}", json={"of": key})
        assert answer.json() == {"key": key, "value": {"of": key}}
        assert (await idle.get(f"{base}/{escaped}"))["value"] == {"of": key}
        assert (await idle.http.delete(f"{base}/{escaped}")).status_code == 204
        assert (await idle.http.get(f"{base}/{escaped}")).status_code == 404


async def test_state_of_an_ended_workflow_is_final(scene: Scene) -> None:
    ended = await scene.run("greet", name="Ada")
    answer = await scene.put(f"/workflows/{ended['id']}/state", json={"a": 1})
    assert (answer.status_code, answer.json()["workflow_status"]) == (409, "completed")


async def test_the_documents_load_nothing_from_elsewhere(idle: Scene) -> None:
    page: httpx.Response = await idle.http.get("/docs")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not re.search(r"""(src|href|action)=["']?(https?:)?//|url\(|@import""", page.text)
