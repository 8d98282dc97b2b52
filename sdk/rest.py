"""`WorkflowClient`: the HTTP API from Python. Needs httpx (the extra `client`).

Every change carries an idempotency key, so that it can be sent again when an answer was lost;
streams of events connect again and go on after the last event that came.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.abc
import httpx
import msgspec

from ..core.cloudevents import CloudEvent
from ..core.errors import AgentTimeout, EventsLost, FlowError
from ..core.ids import new_key
from .portal import call, stream
from .subscriber import StreamEvent

T = TypeVar("T")
Json = dict[str, Any]
#: The clients have a method `list`.
Jsons = list[Json]

#: Tries of one request, and the longest wait between two, s.
TRIES, LONGEST = 9, 10.0
#: A stream that is silent for so long (s) has been cut; its server shows life every ten.
SILENCE = 35.0
_PASSING = (429, 502, 503, 504)
_ENDED = ("completed", "failed", "cancelled")

_decode_problem = msgspec.json.Decoder(Json).decode
_decode_event = msgspec.json.Decoder(CloudEvent).decode


class ApiError(FlowError):
    """Raised when the API refuses; `problem` is its RFC 9457 document."""

    def __init__(self, status: int, problem: Json) -> None:
        title, detail = problem.get("title", "refused"), problem.get("detail", "")
        super().__init__(f"{status} {title}" + (f": {detail}" if detail else ""))
        self.status = status
        self.problem = problem
        self.type: str = problem.get("type", "")


class AsyncWorkflowClient:
    """A client for async callers. Close it, or use it in `async with`."""

    def __init__(self, base_url: str, token: str | None = None, *, timeout: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=timeout, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def create(
        self,
        name: str,
        input: Json | None = None,
        *,
        steps: Sequence[Json] | None = None,
        init: Json | None = None,
        tags: dict[str, str] | None = None,
        start: bool = False,
        key: str | None = None,
    ) -> Json:
        """Create a run of a definition, or of a graph of containers (`steps`); the workflow.

        The same `key` asks for the same run.
        """
        body: Json = {"name": name, "input": input or {}, "tags": tags or {}, "start": start}
        body |= {"steps": list(steps)} if steps is not None else {}
        body |= {"init": init} if init else {}
        return await self._change("POST", "/workflows", key=key, json=body)

    async def run(
        self, name: str, input: Json | None = None, *, timeout: float | None = None
    ) -> Any:
        """Create and start a run, wait for its end, return its result. Raises as `result`."""
        made = await self.create(name, input, start=True)
        return await self.result(made["id"], timeout)

    async def get(self, workflow: str) -> Json:
        return await self._read(f"/workflows/{workflow}")

    async def list(self, **filters: Any) -> Jsons:
        """All workflows that fit, newest first: `status`, `name`, `tag`, `created_after` …"""
        found: Jsons = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self._read(
                "/workflows", **filters, **({"cursor": cursor} if cursor else {})
            )
            found += page["items"]
            cursor = page.get("next")
        return found

    async def start(self, workflow: str, *, version: int | None = None) -> Json:
        return await self._command(workflow, "start", version)

    async def pause(
        self, workflow: str, *, freeze: bool = False, version: int | None = None
    ) -> Json:
        return await self._command(workflow, "pause", version, freeze=freeze)

    async def resume(self, workflow: str, *, version: int | None = None) -> Json:
        return await self._command(workflow, "resume", version)

    async def cancel(self, workflow: str, reason: str = "", *, version: int | None = None) -> Json:
        return await self._command(workflow, "cancel", version, reason=reason)

    async def delete(self, workflow: str) -> None:
        await self._change("DELETE", f"/workflows/{workflow}")

    async def wait(self, workflow: str, timeout: float | None = None) -> Json:
        """Wait for the end; the workflow then. Raises AgentTimeout after `timeout` seconds."""
        try:
            with anyio.fail_after(timeout):
                async with aclosing(self.events(workflow, types=["workflow.*"])) as events:
                    async for _ in events:
                        pass
        except TimeoutError:
            raise AgentTimeout(f"workflow {workflow} still runs after {timeout} s") from None
        return await self.get(workflow)

    async def result(self, workflow: str, timeout: float | None = None) -> Any:
        """Wait for the end and return the result. Raises ApiError when it did not complete."""
        ended = await self.wait(workflow, timeout)
        if ended["status"] != "completed":
            error: Json = ended.get("error") or {}
            detail = f"{error.get('type', '')}: {error.get('message', '')}".strip(": ")
            raise ApiError(409, {"title": f"the workflow {ended['status']}", "detail": detail})
        return ended.get("result")

    async def state(self, workflow: str) -> Json:
        return await self._read(f"/workflows/{workflow}/state")

    async def set_state(self, workflow: str, values: Json, *, version: int | None = None) -> Json:
        """Set the keys that are given, all at once; all values afterwards."""
        path = f"/workflows/{workflow}/state"
        return await self._change("PUT", path, version=version, json=values)

    async def steps(self, workflow: str) -> Jsons:
        items: Jsons = (await self._read(f"/workflows/{workflow}/steps"))["items"]
        return items

    async def jobs(self, workflow: str) -> Jsons:
        items: Jsons = (await self._read(f"/workflows/{workflow}/jobs"))["items"]
        return items

    async def logs(self, workflow: str, job: str) -> str:
        """What an agent printed so far."""
        path = f"/workflows/{workflow}/jobs/{job}/logs"
        answer = await self._send("GET", path, headers={"Accept": "text/plain"})
        return answer.text

    async def events(
        self,
        workflow: str | None = None,
        *,
        types: Sequence[str] = (),
        name: str | None = None,
        after: str | int = 0,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Events in order, stored ones first, then live: of one workflow until its end, or of all.

        Connects again when the connection is lost, for ever. Raises EventsLost, ApiError, and
        what httpx raises when there never was a connection.
        """
        path = f"/workflows/{workflow}/events" if workflow else "/events"
        query: Json = {"type": list(types), "after": after} | ({"name": name} if name else {})
        last: str | None = None
        tries = 0
        while True:
            try:
                async with aclosing(self._stream(path, query, last)) as messages:
                    async for position, word, data in messages:
                        last, tries = position or last, 0
                        if word == "end":
                            return
                        if word == "resync":
                            raise EventsLost(last or "")
                        if not word:
                            yield _event(data, position)
            except (httpx.TransportError, ApiError) as error:
                tries += 1
                if isinstance(error, ApiError) and error.status not in _PASSING:
                    raise
                if tries >= TRIES and last is None:
                    raise
            await anyio.sleep(min(LONGEST, 0.1 * 2 ** min(tries, TRIES)))

    async def _stream(
        self, path: str, query: Json, last: str | None
    ) -> AsyncGenerator[tuple[str, str, str], None]:
        """(id, event, data) of the messages of one connection."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        timeout = httpx.Timeout(30.0, read=SILENCE)
        request = partial(self._http.stream, "GET", path, params=query, headers=headers)
        async with request(timeout=timeout) as answer:
            if answer.status_code != 200:
                raise _error(answer.status_code, await answer.aread())
            async for message in _messages(answer.aiter_lines()):
                yield message

    async def _read(self, path: str, **query: Any) -> Json:
        found: Json = (await self._send("GET", path, params=query)).json()
        return found

    async def _command(self, workflow: str, word: str, version: int | None, **query: Any) -> Json:
        given = {
            name: str(value).lower() if value is True else value for name, value in query.items()
        }
        params = {name: value for name, value in given.items() if value}
        path = f"/workflows/{workflow}/{word}"
        return await self._change("PUT", path, version=version, params=params)

    async def _change(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        version: int | None = None,
        **more: Any,
    ) -> Json:
        headers = {"Idempotency-Key": key or new_key()}
        headers |= {"If-Match": f'"{version}"'} if version is not None else {}
        answer = await self._send(method, path, headers=headers, **more)
        made: Json = answer.json() if answer.content else {}
        return made

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send until there is an answer that counts: what is sent may be repeated."""
        for number in range(TRIES):
            is_last = number == TRIES - 1
            wait = min(LONGEST, 0.1 * 2**number)
            try:
                answer = await self._http.request(method, path, **more)
            except httpx.TransportError:
                if is_last:
                    raise
            else:
                if answer.status_code < 400:
                    return answer
                if is_last or answer.status_code not in _PASSING:
                    raise _error(answer.status_code, answer.content)
                asked = answer.headers.get("retry-after", "")
                wait = min(LONGEST, float(asked)) if asked.isdigit() else wait
            await anyio.sleep(wait)
        raise FlowError("unreachable: the last try returns or raises")


def _error(status: int, body: bytes) -> ApiError:
    try:
        problem = _decode_problem(body)
    except msgspec.DecodeError:
        problem = {"title": body.decode("utf-8", "replace")[:200]}
    return ApiError(status, problem)


def _event(data: str, position: str) -> StreamEvent:
    facts = msgspec.structs.asdict(_decode_event(data))
    return StreamEvent(**facts, position=position)


async def _messages(lines: AsyncIterator[str]) -> AsyncGenerator[tuple[str, str, str], None]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", ""), fields["data"]
            fields = {}
        else:
            fields = {}


class WorkflowClient:
    """`AsyncWorkflowClient` for plain callers: the same methods, blocking."""

    def __init__(self, base_url: str, token: str | None = None, *, timeout: float = 30.0) -> None:
        async def make() -> AsyncWorkflowClient:
            return AsyncWorkflowClient(base_url, token, timeout=timeout)

        self._client = call(make)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        call(self._client.close)

    def create(
        self,
        name: str,
        input: Json | None = None,
        *,
        steps: Sequence[Json] | None = None,
        init: Json | None = None,
        tags: dict[str, str] | None = None,
        start: bool = False,
        key: str | None = None,
    ) -> Json:
        """See `AsyncWorkflowClient.create`."""
        return self._call(
            self._client.create,
            name,
            input,
            steps=steps,
            init=init,
            tags=tags,
            start=start,
            key=key,
        )

    def run(self, name: str, input: Json | None = None, *, timeout: float | None = None) -> Any:
        """Create and start a run, wait for its end, return its result. Raises as `result`."""
        return self._call(self._client.run, name, input, timeout=timeout)

    def get(self, workflow: str) -> Json:
        return self._call(self._client.get, workflow)

    def list(self, **filters: Any) -> Jsons:
        """All workflows that fit, newest first: `status`, `name`, `tag`, `created_after` …"""
        return self._call(self._client.list, **filters)

    def start(self, workflow: str, *, version: int | None = None) -> Json:
        return self._call(self._client.start, workflow, version=version)

    def pause(self, workflow: str, *, freeze: bool = False, version: int | None = None) -> Json:
        return self._call(self._client.pause, workflow, freeze=freeze, version=version)

    def resume(self, workflow: str, *, version: int | None = None) -> Json:
        return self._call(self._client.resume, workflow, version=version)

    def cancel(self, workflow: str, reason: str = "", *, version: int | None = None) -> Json:
        return self._call(self._client.cancel, workflow, reason, version=version)

    def delete(self, workflow: str) -> None:
        self._call(self._client.delete, workflow)

    def wait(self, workflow: str, timeout: float | None = None) -> Json:
        """Wait for the end; the workflow then. Raises AgentTimeout after `timeout` seconds."""
        return self._call(self._client.wait, workflow, timeout)

    def result(self, workflow: str, timeout: float | None = None) -> Any:
        """Wait for the end and return the result. Raises ApiError when it did not complete."""
        return self._call(self._client.result, workflow, timeout)

    def state(self, workflow: str) -> Json:
        return self._call(self._client.state, workflow)

    def set_state(self, workflow: str, values: Json, *, version: int | None = None) -> Json:
        """Set the keys that are given, all at once; all values afterwards."""
        return self._call(self._client.set_state, workflow, values, version=version)

    def steps(self, workflow: str) -> Jsons:
        return self._call(self._client.steps, workflow)

    def jobs(self, workflow: str) -> Jsons:
        return self._call(self._client.jobs, workflow)

    def logs(self, workflow: str, job: str) -> str:
        """What an agent printed so far."""
        return self._call(self._client.logs, workflow, job)

    def events(
        self,
        workflow: str | None = None,
        *,
        types: Sequence[str] = (),
        name: str | None = None,
        after: str | int = 0,
    ) -> Iterator[StreamEvent]:
        """See `AsyncWorkflowClient.events`."""
        asked = {"workflow": workflow, "types": types, "name": name, "after": after}
        return stream(partial(self._follow, asked))

    async def _follow(
        self, asked: dict[str, Any], send: anyio.abc.ObjectSendStream[StreamEvent]
    ) -> None:
        async with aclosing(self._client.events(**asked)) as events:
            async for event in events:
                await send.send(event)

    @staticmethod
    def _call(method: Callable[..., Awaitable[T]], *args: Any, **more: Any) -> T:
        return call(partial(method, *args, **more))
