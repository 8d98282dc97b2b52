"""What a server does for one connection: commands in, answers out, in order."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from typing import Protocol, cast

import hiredis
from redis import exceptions

from .reading import reading_of
from .server import Server
from .table import find
from .values import OK, Args, Failure, Reply, Status
from .waiting import Waiting

#: What a server does is not within whoever asked first.
_NOWHERE = contextvars.Context()
_ABORTED = "EXECABORT Transaction discarded because of previous errors."


class Faults(Protocol):
    """What goes wrong on a connection.

    Both may take time, and end the connection by raising the builtin ConnectionError: `before` a
    command, so that it is not applied, or `after` it, so that its answer is lost.
    """

    async def before(self, command: Args) -> None: ...

    async def after(self, command: Args, reply: Reply) -> None: ...


class Session:
    def __init__(self, server: Server, client: str = "") -> None:
        """Raises redis.exceptions.ConnectionError when the server is away."""
        #: Whose connection it is: what its URL says before `@`.
        self.client = client
        if server.is_away:
            raise exceptions.ConnectionError("the server is away")
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._faults = server.faults(self)
        self._reader = hiredis.Reader()
        self._commands: deque[Args] = deque()
        #: Answers on their way, and those that have arrived.
        self._sent: list[Reply] = []
        self._arrived: deque[Reply] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._waiting: Waiting | None = None
        self._transaction: _Transaction | None = None
        self._pump: asyncio.Task[None] | None = None
        self.is_open = True
        server.sessions.append(self)

    def send(self, packed: bytes) -> None:
        """Take what a client has sent."""
        self._reader.feed(packed)
        while (command := cast("Args | bool", self._reader.gets())) is not False:
            self._commands.append(cast(Args, command))
        if self._faults is None:
            self._go_on()
        elif self._pump is None:
            self._pump = self._loop.create_task(
                self._go_on_with(self._faults), context=_NOWHERE.copy()
            )

    @property
    def can_receive(self) -> bool:
        return bool(self._arrived) or not self.is_open

    async def receive(self) -> Reply:
        """The next answer. Raises redis.exceptions.ConnectionError when none can come."""
        while not self._arrived:
            if not self.is_open:
                raise exceptions.ConnectionError("Connection closed by server.")
            self._wanted = self._loop.create_future()
            await self._wanted
        return self._arrived.popleft()

    def cut(self) -> None:
        """End the connection; commands and answers on their way are lost."""
        if not self.is_open:
            return
        self.is_open = False
        self._server.sessions.remove(self)
        self._commands.clear()
        self._sent.clear()
        if self._loop.is_closed():
            return
        if self._waiting:
            self._waiting.answer.cancel()
        if self._pump:
            self._pump.cancel()
        self._arrive()

    def _go_on(self) -> None:
        while self._commands and self._waiting is None:
            reply = self._take(self._commands.popleft())
            if isinstance(reply, Waiting):
                self._waiting = reply
                reply.answer.add_done_callback(self._end_waiting)
            else:
                self._answer(reply)

    def _end_waiting(self, answer: asyncio.Future[Reply]) -> None:
        self._waiting = None
        if not answer.cancelled():
            self._answer(answer.result())
            self._go_on()

    async def _go_on_with(self, faults: Faults) -> None:
        try:
            while self._commands:
                command = self._commands.popleft()
                await faults.before(command)
                reply = self._take(command)
                if isinstance(reply, Waiting):
                    self._waiting = reply
                    reply = await reply.answer
                    self._waiting = None
                await faults.after(command, reply)
                self._answer(reply)
        except ConnectionError:
            self.cut()
        finally:
            self._pump = None

    def _answer(self, reply: Reply) -> None:
        self._sent.append(reply)
        if len(self._sent) == 1:
            self._loop.call_soon(self._arrive)

    def _arrive(self) -> None:
        self._arrived += self._sent
        self._sent.clear()
        if self._wanted and not self._wanted.done():
            self._wanted.set_result(None)

    def _take(self, command: Args) -> Reply | Waiting:
        name = command[0].upper()
        if self._transaction or name in (b"MULTI", b"EXEC", b"DISCARD"):
            return self._transact(name, command)
        try:
            reply = self._server.run(command)
        except Failure as failure:
            return failure
        if reply is None and name in (b"XREAD", b"XREADGROUP"):
            reading = reading_of(name, command[1:])
            if reading.block is not None:
                return Waiting(self._server, reading.fixed(self._server.database))
        return reply

    def _transact(self, name: bytes, command: Args) -> Reply:
        transaction = self._transaction
        if name == b"MULTI":
            if transaction:
                return Failure("ERR MULTI calls can not be nested")
            self._transaction = _Transaction()
            return OK
        if transaction is None:
            return Failure(f"ERR {name.decode()} without MULTI")
        if name not in (b"EXEC", b"DISCARD"):
            return transaction.add(command)
        self._transaction = None
        if name == b"DISCARD":
            return OK
        if transaction.failed:
            return Failure(_ABORTED)
        return self._server.run_all(transaction.commands)


class _Transaction:
    """Commands that wait for EXEC."""

    def __init__(self) -> None:
        self.commands: list[Args] = []
        self.failed = False

    def add(self, command: Args) -> Reply:
        try:
            find(command[0], command[1:])
        except Failure as failure:
            self.failed = True
            return failure
        self.commands.append(command)
        return Status(b"QUEUED")
