"""Calls that share one connection: each gets its own answer, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from redis import exceptions

from agentainer_flow.core import wire as wires
from agentainer_flow.core.settings import Settings
from agentainer_flow.core.wire import Wire

from .lossy import Lossy, lossy_way
from .polling import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def wire(settings: Settings) -> AsyncGenerator[Wire]:
    wire = Wire(settings.redis_url or "")
    yield wire
    await wire.close()


@pytest.fixture
async def way(settings: Settings) -> AsyncGenerator[tuple[Lossy, Wire]]:
    async with lossy_way(settings.redis_url or "") as (lossy, url):
        wire = Wire(url)
        yield lossy, wire
        await wire.close()


async def test_each_call_gets_its_answer(wire: Wire) -> None:
    answers: dict[int, bytes] = {}

    async def ask(number: int) -> None:
        answers[number] = await wire.call("ECHO", number)

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(ask, number)
    assert answers == {number: str(number).encode() for number in range(200)}


async def test_error_goes_to_who_caused_it(wire: Wire) -> None:
    await wire.call("SET", "key", "text")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wire.call, "ECHO", "fine")
        with pytest.raises(exceptions.ResponseError):
            await wire.call("LPUSH", "key", "no list")
    assert await wire.call("GET", "key") == b"text"


async def test_line_that_the_library_closed_is_given_up(wire: Wire) -> None:
    await wire.call("PING")
    inside: Any = wire
    line = inside._line
    line._close()
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append(await wire.call("ECHO", "mine"))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert answers == [b"mine"] * 5
    assert inside._line is not line


async def test_cancelled_call_leaves_the_others_their_answers(wire: Wire) -> None:
    await wire.call("PING")
    with anyio.move_on_after(0.05):
        await wire.call("BLPOP", "nothing", 1)
    assert await wire.call("ECHO", "mine") == b"mine"


async def test_calls_on_a_cut_connection_fail_and_later_ones_open_another(
    way: tuple[Lossy, Wire],
) -> None:
    lossy, wire = way
    failed: list[str] = []

    async def wait() -> None:
        try:
            await wire.call("BLPOP", "nothing", 30)
        except exceptions.ConnectionError as error:
            failed.append(str(error))

    await wire.call("PING")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        lossy.cut()
    assert len(failed) == 2
    assert await wire.call("ECHO", "again") == b"again"


async def test_server_that_owes_an_answer_too_long_is_given_up(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "PATIENCE", 0.1)
    with pytest.raises(exceptions.ConnectionError, match="no answer for"):
        await wire.call("BLPOP", "nothing", 30)
    assert await wire.call("ECHO", "again") == b"again"


@asynccontextmanager
async def server_of(serve: Callable[[SocketStream], Awaitable[None]]) -> AsyncGenerator[str]:
    """The URL of one that does with its connections what it is told, and ends them then."""

    async def serve_one(client: SocketStream) -> None:
        async with client:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                await serve(client)

    with TemporaryDirectory(prefix="agentainer-test-") as folder:
        async with (
            await anyio.create_unix_listener(f"{folder}/socket") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, serve_one)
            yield f"unix://{folder}/socket"
            tasks.cancel_scope.cancel()


async def greet(client: SocketStream) -> None:
    """Answer what the client library says of itself, up to the first PING."""
    while b"PING" not in (asked := await client.receive()):
        await client.send(b"+OK\r\n" * asked.count(b"SETINFO"))


async def test_server_that_is_silent_from_the_start_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def say_nothing(client: SocketStream) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(wires, "PATIENCE", 0.1)
    async with server_of(say_nothing) as url:
        with anyio.fail_after(10), pytest.raises(exceptions.ConnectionError, match="Timeout"):
            await Wire(url).call("PING")


@pytest.mark.parametrize("heard", range(6))
async def test_connection_that_ends_as_it_is_opened_is_told_as_lost(heard: int) -> None:
    """The client library says who it is first, in some commands."""

    async def hear_and_go(client: SocketStream) -> None:
        for _ in range(heard):
            asked = await client.receive()
            await client.send(b"+OK\r\n" * asked.count(b"SETINFO"))

    async with server_of(hear_and_go) as url:
        with anyio.fail_after(10), pytest.raises(exceptions.ConnectionError):
            await Wire(url).call("PING")


async def test_what_was_not_sent_before_a_line_was_given_up_never_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, ended = anyio.Event(), anyio.Event()
    got = bytearray()

    async def stand_still(client: SocketStream) -> None:
        await greet(client)
        await client.send(b"+PONG\r\n")
        await goes_on.wait()
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                got.extend(await client.receive())
        ended.set()

    async with server_of(stand_still) as url:
        monkeypatch.setattr(wires, "PATIENCE", 1.0)
        wire = Wire(url)
        await wire.call("PING")
        with anyio.fail_after(10), pytest.raises(exceptions.ConnectionError, match="no answer"):
            await wire.call("SET", "key", b"x" * 10_000_000 + b"end")
        goes_on.set()
        with anyio.fail_after(10):
            await ended.wait()
        assert b"end" not in got


async def test_call_under_way_ends_when_the_wire_is_closed(settings: Settings) -> None:
    wire = Wire(settings.redis_url or "")
    await wire.call("PING")
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(exceptions.ConnectionError, match="closed"):
                await wire.call("XREAD", "BLOCK", 0, "STREAMS", "nothing", "$")

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await wire.close()


async def test_secured_connections_work_as_others_do(settings: Settings, tmp_path: Path) -> None:
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("needs openssl, for a certificate")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    asked = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    asked += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    await anyio.run_process([openssl, *asked, "-out", str(certificate)])
    secured = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    secured.load_cert_chain(certificate, key)
    lossy = Lossy((settings.redis_url or "").removeprefix("unix://"))
    listener = await asyncio.start_server(lossy.handle, "127.0.0.1", 0, ssl=secured)
    port = listener.sockets[0].getsockname()[1]
    wire = Wire(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}")
    try:
        large = "x" * 3_000_000
        await wire.call("SET", "key", large)
        assert await wire.call("GET", "key") == large.encode()
        lossy.cut()
        await until(lambda: not wire.is_open)
        assert await wire.call("ECHO", "again") == b"again"
    finally:
        await wire.close()
        listener.close()
