"""What a server does for one connection: commands in, answers out, in order."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import hiredis
from redis import exceptions

from .reading import reading_of
from .server import Server
from .table import find
from .values import OK, Args, Failure, Reply, Status
from .waiting import Waiting

_ABORTED = "EXECABORT Transaction discarded because of previous errors."


class Faults(Protocol):
    """What goes wrong on a connection.

    Both tell how long it takes, s: a command to come, its answer to get back. Both may end the
    connection by raising the builtin ConnectionError: `before` a command, so that it is not
    applied, or `after` it, so that its answer is lost.
    """

    def before(self, command: Args) -> float: ...

    def after(self, command: Args, reply: Reply) -> float: ...


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
        #: What goes wrong, and what then takes time, is not within whoever asked.
        self._elsewhere = contextvars.Context()
        self._reader = hiredis.Reader()
        self._commands: deque[Args] = deque()
        self._arrived: deque[Reply] = deque()
        self._wanted: asyncio.Future[None] | None = None
        #: Told when an answer has arrived, or when none can come any more.
        self._listener: Callable[[], None] | None = None
        self._is_told = False
        #: What the command that is dealt with waits for: entries to read, or the time of its way.
        self._waiting: Waiting | None = None
        self._on_the_way: asyncio.TimerHandle | None = None
        self._transaction: _Transaction | None = None
        self.is_open = True
        server.sessions.append(self)

    def send(self, packed: bytes) -> None:
        """Take what a client has sent."""
        self._reader.feed(packed)
        while (command := cast("Args | bool", self._reader.gets())) is not False:
            self._commands.append(cast(Args, command))
        if self._faults is None:
            self._go_on()
        else:
            self._elsewhere.run(self._go_on)

    @property
    def has_arrived(self) -> bool:
        return bool(self._arrived)

    @property
    def can_receive(self) -> bool:
        return self.has_arrived or not self.is_open

    def listen(self, listener: Callable[[], None]) -> None:
        """Have somebody told when there is something to receive, instead of waiting for it."""
        self._listener = listener

    def _tell(self) -> None:
        self._is_told = False
        if self._listener:
            self._listener()

    def receive_now(self) -> Reply:
        """The next answer that has arrived."""
        return self._arrived.popleft()

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
        if self._loop.is_closed():
            return
        if self._waiting:
            self._waiting.answer.cancel()
        if self._on_the_way:
            self._on_the_way.cancel()
        self._wake()

    def _go_on(self) -> None:
        """Deal with one command after the other, up to one that has to wait."""
        while self._commands and self._waiting is None and self._on_the_way is None:
            self._come(self._commands.popleft())

    def _come(self, command: Args) -> None:
        if self._faults is None:
            self._apply(command)
            return
        try:
            seconds = self._faults.before(command)
        except ConnectionError:
            self.cut()
        else:
            self._after(seconds, self._apply, command)

    def _apply(self, command: Args) -> None:
        reply = self._take(command)
        if isinstance(reply, Waiting):
            self._waiting = reply
            reply.answer.add_done_callback(partial(self._end_waiting, command))
        else:
            self._reply(command, reply)

    def _end_waiting(self, command: Args, answer: asyncio.Future[Reply]) -> None:
        self._waiting = None
        if self.is_open and not answer.cancelled():
            self._reply(command, answer.result())
            self._go_on()

    def _reply(self, command: Args, reply: Reply) -> None:
        if self._faults is None:
            self._arrive(reply)
            return
        try:
            seconds = self._faults.after(command, reply)
        except ConnectionError:
            self.cut()
        else:
            self._after(seconds, self._arrive, reply)

    def _after(self, seconds: float, do: Callable[..., None], *args: Any) -> None:
        if seconds > 0:
            self._on_the_way = self._loop.call_later(seconds, self._go_on_with, do, *args)
        else:
            do(*args)

    def _go_on_with(self, do: Callable[..., None], *args: Any) -> None:
        self._on_the_way = None
        do(*args)
        self._go_on()

    def _arrive(self, reply: Reply) -> None:
        self._arrived.append(reply)
        self._wake()

    def _wake(self) -> None:
        if self._listener:
            if not self._is_told:
                self._is_told = True
                self._loop.call_soon(self._tell)
        elif self._wanted and not self._wanted.done():
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
