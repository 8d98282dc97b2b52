"""Workflows over HTTP: from creating to deleting."""

from __future__ import annotations

import anyio
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.settings import Settings

from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio


async def test_a_workflow_waits_for_its_start_and_runs(scene: Scene) -> None:
    made = await scene.create("greet", name="Ada")
    assert made["status"] == "created"
    started = await scene.put(f"/workflows/{made['id']}/start")
    assert started.status_code == 202
    assert started.headers["Location"] == f"/workflows/{made['id']}"
    ended = await scene.until_ended(made["id"])
    assert (ended["status"], ended["result"]) == ("completed", "hello Ada")
    assert ended["state"] == {"greeted": "Ada"}


async def test_prefer_wait_answers_with_the_end(scene: Scene) -> None:
    body = {"name": "doubles", "input": {"numbers": 4}, "start": True}
    answer = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert (answer.json()["status"], answer.json()["result"]) == ("completed", 12)


async def test_prefer_wait_ends_with_the_time(scene: Scene) -> None:
    body = {"name": "waits", "start": True}
    answer = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=1"})
    assert answer.json()["status"] == "running"


async def test_a_registered_definition_needs_no_code_here(settings: Settings) -> None:
    async with open_scene(settings, with_code=False) as scene:
        assert (await scene.run("doubles", numbers=[1, 2]))["result"] == 6


async def test_what_only_code_can_compute_is_refused_without_it(settings: Settings) -> None:
    async with open_scene(settings, with_code=False) as scene:
        answer = await scene.http.post("/workflows", json={"name": "computed", "input": {"n": 2}})
        assert answer.status_code == 422
        assert "computed by its code" in answer.json()["detail"]


async def test_an_unknown_definition_is_not_found(scene: Scene) -> None:
    answer = await scene.http.post("/workflows", json={"name": "nothing"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_a_missing_input_is_named(scene: Scene) -> None:
    answer = await scene.http.post("/workflows", json={"name": "greet"})
    assert answer.status_code == 422
    assert "input 'name'" in answer.json()["detail"]


async def test_pause_resume_and_cancel(scene: Scene) -> None:
    base = f"/workflows/{(await scene.create('waits', start=True))['id']}"
    paused = await scene.put(f"{base}/pause")
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert (await scene.put(f"{base}/resume")).json()["status"] == "running"
    assert (await scene.put(f"{base}/cancel?reason=enough")).status_code == 202
    ended = await scene.until_ended(base.rpartition("/")[2])
    assert ended["status"] == "cancelled"


async def test_what_the_status_forbids_is_told_with_the_status(scene: Scene) -> None:
    ended = await scene.run("greet", name="Ada")
    answer = await scene.put(f"/workflows/{ended['id']}/pause")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["workflow_status"] == "completed"


async def test_a_deleted_workflow_leaves_no_key(scene: Scene) -> None:
    ended = await scene.run("greet", name="Ada")
    assert (await scene.http.delete(f"/workflows/{ended['id']}")).status_code == 204
    assert (await scene.http.get(f"/workflows/{ended['id']}")).status_code == 404
    assert await scene.log.redis.keys(f"workflow:{ended['id']}*") == []
    assert ended["id"] not in [one["id"] for one in (await scene.get("/workflows"))["items"]]


async def test_a_workflow_under_way_is_not_deleted(scene: Scene) -> None:
    made = await scene.create("waits", start=True)
    answer = await scene.http.delete(f"/workflows/{made['id']}")
    assert (answer.status_code, answer.json()["workflow_status"]) == (409, "running")


async def test_pages_show_each_workflow_once_and_in_order(scene: Scene) -> None:
    made = [(await scene.create("greet", name=str(n)))["id"] for n in range(7)]
    found: list[str] = []
    target = "/workflows?limit=3"
    while target:
        answer = await scene.http.get(target)
        found += [one["id"] for one in answer.json()["items"]]
        target = answer.links.get("next", {}).get("url", "")
    assert found == sorted(made, reverse=True)


async def test_filters_of_the_listing(scene: Scene) -> None:
    body = {"name": "greet", "input": {"name": "a"}, "tags": {"team": "search", "env": "test"}}
    tagged = (await scene.http.post("/workflows", json=body)).json()
    other = await scene.create("waits")

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in (await scene.get(f"/workflows?{query}"))["items"]]

    assert await ids("tag=team:search&tag=env:test") == [tagged["id"]]
    assert await ids("tag=team:search&tag=env:prod") == []
    assert await ids("name=waits") == [other["id"]]
    assert await ids("status=completed") == []
    moment = other["created_at"].replace("+", "%2B")
    assert await ids(f"created_before={moment}&name=waits") == []
    assert await ids(f"created_after={moment}&name=waits") == [other["id"]]


async def test_definitions_tell_their_inputs_and_graph(scene: Scene) -> None:
    found = await scene.get("/definitions/greet")
    assert found["inputs"] == [{"name": "name", "required": True, "schema": {"type": "string"}}]
    assert [step["id"] for step in found["graph"]["steps"]] == ["say"]
    names = [one["name"] for one in (await scene.get("/definitions"))["items"]]
    assert names == ["computed", "doubles", "greet", "waits"]


async def test_a_full_queue_refuses_with_retry_after(scene: Scene) -> None:
    await scene.log.scripts.set_queue("default", limit=1, depth=1)
    answer = await scene.http.post("/workflows", json={"name": "waits", "start": True})
    with anyio.fail_after(20):
        while answer.status_code == 201:  # until one runs and one waits
            answer = await scene.http.post("/workflows", json={"name": "waits", "start": True})
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/queue-full")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_run_is_linked_to_the_span_that_asked_for_it(scene: Scene) -> None:
    span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = {"name": "greet", "input": {"name": "Ada"}}
    headers = {"traceparent": span, "Idempotency-Key": "traced"}
    made = await scene.http.post("/workflows", json=body, headers=headers)
    created = (await scene.log.read_one(made.json()["id"], 1)).event
    assert isinstance(created, e.WorkflowCreated)
    assert created.trace == e.Trace(span)
    headers["traceparent"] = "from another span"
    again = await scene.http.post("/workflows", json=body, headers=headers)
    assert again.json()["id"] == made.json()["id"]
