"""Serve the API within a test, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from agentainer_flow.api.api import Api
from agentainer_flow.api.server import listen, serve, url_of
from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import Settings
from agentainer_flow.reactors.courier import deliver_webhooks
from agentainer_flow.sdk.connections import connect
from agentainer_flow.sdk.containers import container_code
from agentainer_flow.sdk.creation import register_codes
from agentainer_flow.sdk.registry import code_of
from agentainer_flow.sdk.service import Service

from .flows import CLASSES

Json = dict[str, Any]


class Scene:
    """A served API, its log, and a client. Answers are JSON."""

    def __init__(self, api: Api, log: EventLog, url: str, http: httpx.AsyncClient) -> None:
        self.api, self.log, self.url, self.http = api, log, url, http
        self.stop = anyio.Event()

    async def create(self, definition: str, /, *, start: bool = False, **input: Any) -> Json:
        body = {"name": definition, "input": input, "start": start}
        answer = await self.http.post("/workflows", json=body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    async def run(self, definition: str, /, **input: Any) -> Json:
        """A workflow that has ended."""
        body = {"name": definition, "input": input, "start": True}
        answer = await self.http.post("/workflows", json=body, headers={"Prefer": "wait=20"})
        made: Json = answer.json()
        assert made["status"] in ("completed", "failed"), made
        return made

    async def put(self, path: str, **more: Any) -> httpx.Response:
        return await self.http.put(path, **more)

    async def get(self, path: str, **more: Any) -> Json:
        answer = await self.http.get(path, **more)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def until_ended(self, workflow: str) -> Json:
        with anyio.fail_after(20):
            async for message in self.stream(f"/workflows/{workflow}/events"):
                if message.get("event") == "end":
                    break
        return await self.get(f"/workflows/{workflow}")

    async def stream(self, path: str, **headers: str) -> AsyncGenerator[dict[str, str], None]:
        """Messages of a stream of Server-Sent Events: their fields, `comment` among them."""
        given = {"Accept": "text/event-stream", **headers}
        async with self.http.stream("GET", path, headers=given, timeout=30) as answer:
            assert answer.status_code == 200, await answer.aread()
            async for message in messages_of(answer.aiter_lines()):
                yield message


async def messages_of(lines: AsyncIterator[str]) -> AsyncGenerator[dict[str, str], None]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name or "comment"] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}


def event_of(message: dict[str, str]) -> Json:
    """The CloudEvent of a message."""
    found: Json = json.loads(message["data"])
    return found


@asynccontextmanager
async def open_scene(
    settings: Settings,
    *,
    with_code: bool = True,
    carried: bool = True,
    heartbeat: float = 10.0,
    auth: bool = False,
    port: int = 0,
) -> AsyncGenerator[Scene]:
    """Serve the API; `carried`: with the roles that carry workflows to their end."""
    codes = [code_of(cls) for cls in CLASSES]
    async with connect(settings) as log, anyio.create_task_group() as tasks:
        if carried:
            await register_codes(log, codes)
            await tasks.start(Service(log, [*codes, container_code(log)]).run)
            tasks.start_soon(deliver_webhooks, log)
        sock = listen("127.0.0.1", port)
        api = Api(log, codes if with_code else [], heartbeat=heartbeat, auth=auth)
        async with httpx.AsyncClient(base_url=url_of(sock), timeout=30) as http:
            scene = Scene(api, log, url_of(sock), http)
            async with anyio.create_task_group() as server:
                await server.start(serve, api, sock, scene.stop)
                yield scene
                scene.stop.set()
        tasks.cancel_scope.cancel()
