"""Nothing that is secret can be read anywhere but where it has to be."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest

from agentainer_flow.core.settings import Settings
from agentainer_flow.core.tokens import create_token

from .receiver import receiving
from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio

SECRET = "sk-not-to-be-seen-anywhere"
#: Tells all it knows; `exit` says how it ends.
TELLTALE = 'env; echo "my key is $API_KEY" >&2; exit {exit}'


async def stored(redis: Any, *, without: str = "") -> str:
    """All that Redis holds, but for one key."""
    readers: dict[bytes, Any] = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"list": partial(redis.lrange, start=0, end=-1),
        b"zset": partial(redis.zrange, start=0, end=-1),
        b"stream": redis.xrange,
    }
    found: list[Any] = []
    async for key in redis.scan_iter():
        if key.decode() != without:
            found.append(await readers[await redis.type(key)](key))
    return str(found)


async def told(scene: Scene, *paths: str) -> str:
    """What the API answers."""
    return "\n".join([(await scene.http.get(path)).text for path in paths])


@pytest.mark.parametrize("exit", [0, 3])
async def test_secrets_of_agents_reach_the_agent_alone(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    exit: int,
) -> None:
    monkeypatch.setenv("AGENTAINER_SECRET_OPENAI", SECRET)
    settings = msgspec.structs.replace(settings, api_url="http://127.0.0.1:9")
    async with open_scene(settings) as scene:
        command = TELLTALE.format(exit=exit)
        step = {"name": "a", "image": "any", "command": command, "secrets": {"API_KEY": "OPENAI"}}
        body = {"name": "telltale", "steps": [step], "start": True}
        made = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
        base = f"/workflows/{made.json()['id']}"
        logs = await told(scene, f"{base}/jobs/a-0-agent/logs")
        assert "my key is ***" in logs
        assert "AGENTAINER_API_TOKEN=***" in logs
        seen = logs + made.text + await stored(scene.log.redis)
        seen += await told(scene, base, f"{base}/events", f"{base}/jobs", "/definitions")
    assert SECRET not in seen + "".join(capfd.readouterr())
    assert made.json()["status"] == ("failed" if exit else "completed")


async def test_a_secret_that_the_launcher_has_not_is_named(settings: Settings) -> None:
    async with open_scene(settings) as scene:
        step = {"name": "a", "image": "any", "command": "env", "secrets": {"API_KEY": "NONE"}}
        body = {"name": "lacking", "steps": [step], "start": True}
        made = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
    assert "AGENTAINER_SECRET_NONE" in made.json()["error"]["message"]


async def test_tokens_are_kept_as_hashes_and_told_to_nobody(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_scene(settings, carried=False, auth=True) as scene:
        token = (await create_token(scene.log, "test", "read"))[0]
        sent = {"Authorization": f"Bearer {token}"}
        answers = [
            await scene.http.get("/workflows", headers=sent),
            await scene.http.delete("/workflows/none", headers=sent),
            await scene.http.get(f"/{token}", headers={"Authorization": f"Bearer {token}x"}),
        ]
        assert [answer.status_code for answer in answers] == [200, 403, 404]
        seen = await stored(scene.log.redis) + "".join(answer.text for answer in answers[:2])
    assert token not in seen + "".join(capfd.readouterr())


async def test_secrets_of_webhooks_are_kept_in_one_key(settings: Settings) -> None:
    settings = msgspec.structs.replace(settings, webhook_allow="127.0.0.0/8")
    async with open_scene(settings) as scene, receiving() as receiver:
        made = (await scene.http.post("/webhooks", json={"url": receiver.url})).json()
        await scene.run("greet", name="Ada")
        (message, *_) = await receiver.until(1)
        base = f"/webhooks/{made['id']}"
        seen = await told(scene, base, "/webhooks", f"{base}/deliveries", "/events")
        seen += await stored(scene.log.redis, without="flow:webhooks") + str(message)
        assert made["secret"] not in seen
