"""Who may call: tokens with scopes, tokens of agents, and who needs none."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agentainer_flow.api.server import CannotListen, listen, needs_tokens
from agentainer_flow.core.settings import Settings
from agentainer_flow.core.tokens import (
    Scope,
    create_token,
    list_tokens,
    make_job_token,
    revoke_token,
)
from agentainer_flow.sdk.connections import connect

from .scene import Scene, open_scene

pytestmark = pytest.mark.anyio


@pytest.fixture
async def closed(settings: Settings) -> AsyncIterator[Scene]:
    """A server that asks everybody for a token."""
    async with open_scene(settings, carried=False, auth=True) as scene:
        yield scene


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def token_of(scene: Scene, scope: Scope, **more: float) -> str:
    return (await create_token(scene.log, "test", scope, **more))[0]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic YTpi", "Bearer agt_x_y", "Bearer agj.x.y", "Bearer \xe4", "x"],
)
async def test_without_a_good_token_nothing_is_told(closed: Scene, header: str) -> None:
    sent = [(b"Authorization", header.encode("latin-1"))]
    answer = await closed.http.get("/workflows", headers=sent)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["type"] == "/problems/unauthorized"


async def test_health_and_documents_need_none(closed: Scene) -> None:
    for path in ("/health", "/ready", "/openapi.json", "/docs", "/problems/not-found"):
        assert (await closed.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("scope", "reads", "writes"),
    [("read", 200, 403), ("write", 200, 201), ("admin", 200, 201)],
)
async def test_scopes(closed: Scene, scope: Scope, reads: int, writes: int) -> None:
    headers = bearer(await token_of(closed, scope))
    assert (await closed.http.get("/workflows", headers=headers)).status_code == reads
    body = {"name": "greet", "input": {"name": "Ada"}}
    answer = await closed.http.post("/workflows", json=body, headers=headers)
    assert answer.status_code == writes


async def test_a_revoked_or_expired_token_is_worthless(closed: Scene) -> None:
    text, token = await create_token(closed.log, "test", "read")
    assert (await closed.http.get("/workflows", headers=bearer(text))).status_code == 200
    await revoke_token(closed.log, token.id)
    assert (await closed.http.get("/workflows", headers=bearer(text))).status_code == 401
    over = await token_of(closed, "read", lifetime_s=-1)
    assert (await closed.http.get("/workflows", headers=bearer(over))).status_code == 401


async def test_only_hashes_are_kept(closed: Scene) -> None:
    text = await token_of(closed, "read")
    kept = await closed.log.redis.hvals("flow:tokens")
    assert all(text.encode() not in data and text[-20:].encode() not in data for data in kept)
    assert [token.scope for token in await list_tokens(closed.log)] == ["read"]


async def test_one_that_guesses_an_id_gets_nothing(closed: Scene) -> None:
    text = await token_of(closed, "admin")
    known = text.rpartition("_")[0]
    for guess in (known, f"{known}_", f"{text}x", text[:-1]):
        answer = await closed.http.get("/workflows", headers=bearer(guess))
        assert answer.status_code == 401


async def test_keys_of_two_callers_are_two_keys(closed: Scene) -> None:
    made = [
        await closed.http.post(
            "/workflows",
            json={"name": "greet", "input": {"name": "Ada"}},
            headers={**bearer(await token_of(closed, "write")), "Idempotency-Key": "1"},
        )
        for _ in range(2)
    ]
    assert made[0].json()["id"] != made[1].json()["id"]


async def test_others_can_call_only_when_there_are_tokens(settings: Settings) -> None:
    async with connect(settings) as log:
        with pytest.raises(CannotListen, match="agentainer token create"):
            await needs_tokens(log, listen("0.0.0.0", 0))  # noqa: S104 - what is refused
        await create_token(log, "test", "read")
        with listen("0.0.0.0", 0) as sock:  # noqa: S104 - what is allowed now
            assert await needs_tokens(log, sock)
        with listen("127.0.0.1", 0) as sock:
            assert not await needs_tokens(log, sock)


def test_children_do_not_hold_the_address() -> None:
    """A tracer that outlived its killed parent for some seconds kept its successor from serving."""
    with listen("127.0.0.1", 0) as sock:
        assert not sock.get_inheritable()


#: Reads its own workflow, writes its state, and says what it may not.
AGENT = """
import json, os, urllib.error, urllib.request

def call(method, path, body=None):
    request = urllib.request.Request(
        os.environ["AGENTAINER_API_URL"] + path, method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["AGENTAINER_API_TOKEN"],
                 "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code

mine = "/workflows/" + os.environ["AGENTAINER_WORKFLOW_ID"]
print(json.dumps({
    "mine": call("GET", mine), "state": call("PUT", mine + "/state/by-agent", 7),
    "events": call("GET", mine + "/events"), "cancel": call("PUT", mine + "/cancel"),
    "other": call("GET", "/workflows/" + os.environ["OTHER"]), "list": call("GET", "/workflows"),
    "events of all": call("GET", "/events"), "token": os.environ["AGENTAINER_API_TOKEN"],
}))
"""


async def test_an_agent_reaches_its_own_workflow_while_it_runs(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "agents" / "caller"
    folder.mkdir(parents=True)
    (folder / "agent.py").write_text(AGENT)
    (folder / "agent.json").write_text(json.dumps({"command": [sys.executable, "agent.py"]}))
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    settings = msgspec.structs.replace(
        settings, agents=tmp_path / "agents", api_url=f"http://127.0.0.1:{port}"
    )
    async with open_scene(settings, auth=True, port=port) as scene:
        scene.http.headers.update(bearer(await token_of(scene, "write")))
        other = await scene.create("greet", name="Ada")
        step = {"name": "call", "image": "caller", "env": {"OTHER": other["id"]}}
        body = {"name": "calls", "steps": [step], "start": True}
        made = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
        said = made.json()["result"]
        token = said.pop("token")
        assert said == {
            **{"mine": 200, "state": 200, "events": 200},
            **{"cancel": 403, "other": 403, "list": 403, "events of all": 403},
        }
        assert made.json()["state"] == {"by-agent": 7}
        mine = f"/workflows/{made.json()['id']}"
        assert (await scene.http.get(mine, headers=bearer(token))).status_code == 401


async def test_the_token_of_an_agent_is_in_no_event(settings: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings, agents=tmp_path, api_url="http://127.0.0.1:1")
    async with open_scene(settings) as scene:
        body = {"name": "calls", "steps": [{"name": "call", "image": "none"}], "start": True}
        answer = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
        workflow = answer.json()["id"]
        token = await make_job_token(scene.log, workflow, "call-0-agent")
        events = (await scene.http.get(f"/workflows/{workflow}/events")).text
        assert token not in events
        assert "agj." not in events
