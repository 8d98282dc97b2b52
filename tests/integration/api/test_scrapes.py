"""`/metrics` of the API: who may read it, in which formats, and what only it can tell."""

from __future__ import annotations

import msgspec.structs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agentainer_flow.core.settings import Settings
from agentainer_flow.core.tokens import create_token

from .receiver import receiving
from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio


async def value(scene: Scene, name: str, **labels: str) -> float:
    answer = await scene.http.get("/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def test_speaks_the_format_that_is_asked_for(scene: Scene) -> None:
    plain = await scene.http.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = await scene.http.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


async def test_needs_a_token_where_all_else_does(settings: Settings) -> None:
    async with open_scene(settings, carried=False, auth=True) as scene:
        assert (await scene.http.get("/metrics")).status_code == 401
        text, _ = await create_token(scene.log, "prometheus", "read")
        headers = {"Authorization": f"Bearer {text}"}
        assert (await scene.http.get("/metrics", headers=headers)).status_code == 200


async def test_pages_name_their_charset_once(scene: Scene) -> None:
    answer = await scene.http.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_deliveries_are_counted_by_how_they_went(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, webhook_allow="127.0.0.0/8")
    async with receiving() as receiver, open_scene(settings) as scene:
        await scene.http.post("/webhooks", json={"url": receiver.url, "types": ["task.started"]})
        receiver.answers = [(410, {})]
        made = await scene.create("greet", name="Ada")
        await scene.http.put(f"/workflows/{made['id']}/start")
        await receiver.until(1)
        while await value(scene, "agentainer_webhook_deliveries_total", result="failed") != 1:
            pass
        assert await value(scene, "agentainer_webhook_duration_seconds_count", result="failed") == 1


async def test_a_notifier_that_nobody_runs_shows_as_lag(settings: Settings) -> None:
    async with open_scene(settings, carried=False) as scene:
        await scene.http.post("/webhooks", json={"url": "https://93.184.215.14/"})
        await scene.create("greet", name="Ada")
        assert await value(scene, "agentainer_reactor_lag", reactor="notifier") >= 1
