"""A connection of the client library that leads to a server in this process."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from ..line import Owner
from .serving import find_server
from .session import Session
from .values import Failure, Reply

#: Nobody asks who we are; finding that out takes the library 4 ms for each connection.
_NAMELESS: dict[str, Any] = (
    {"driver_info": None}
    if "driver_info" in inspect.signature(cast("Any", AbstractConnection)).parameters
    else {}
)


class MemoryConnection(AbstractConnection):
    """To the server of this name; see `serving`."""

    def __init__(self, *, server: str, client: str = "", **options: Any) -> None:
        options.pop("retry", None)  # nothing is tried again, and each connection would copy it
        super().__init__(**{**_NAMELESS, **options})
        self._server = server
        self._client = client
        self._session: Session | None = None

    def repr_pieces(self) -> Any:
        return [("server", self._server)]

    def _host_error(self) -> str:
        return f"memory://{self._server}"

    @property
    def is_connected(self) -> bool:
        return self._session is not None and self._session.is_open

    async def connect(self) -> None:
        self._open()

    async def _connect(self) -> None:
        self._open()

    def _open(self) -> Session:
        if self._session is None or not self._session.is_open:
            self._session = Session(find_server(self._server), self._client)
        return self._session

    async def open_line(self, owner: Owner) -> MemoryLine:
        return MemoryLine(self._open(), owner, partial(self._shown, decodes=False))

    async def disconnect(self, nowait: bool = False, *_: Any, **__: Any) -> None:
        self._close()

    def _close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.cut()

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        if isinstance(command, str):
            command = command.encode()
        self._open().send(command if isinstance(command, bytes) else b"".join(command))

    async def can_read_destructive(self) -> bool:
        return await self.can_read()

    async def can_read(self, *_: Any) -> bool:
        return self._session is not None and self._session.can_receive

    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,
        *,
        disconnect_on_error: bool = True,
        push_request: bool | None = False,
    ) -> Any:
        session = self._session
        if session is None:
            raise exceptions.ConnectionError("Connection closed by server.")
        patience = self.socket_timeout if timeout is None else timeout
        try:
            if patience is None or session.can_receive:
                reply = await session.receive()
            else:
                async with asyncio.timeout(patience):
                    reply = await session.receive()
        except TimeoutError:
            if timeout is not None:
                return None
            if disconnect_on_error:
                await self.disconnect(nowait=True)
            raise exceptions.TimeoutError(f"Timeout reading from {self._host_error()}") from None
        except BaseException:
            # Who was cancelled leaves an answer on its way: the next command would get it.
            if disconnect_on_error:
                self._close()
            raise
        found = self._shown(reply, decodes=not disable_decoding)
        if isinstance(found, exceptions.ResponseError):
            raise found
        return found

    def _shown(self, reply: Reply, *, decodes: bool) -> Any:
        """An answer as the library's parsers give it."""
        if isinstance(reply, bytes):
            shows_text = decodes and self.encoder.decode_responses
            return cast(Any, self.encoder).decode(reply) if shows_text else reply
        if isinstance(reply, list):
            if decodes and self.encoder.decode_responses:
                return [self._shown(one, decodes=True) for one in reply]
            return [one if type(one) is bytes else self._shown(one, decodes=False) for one in reply]
        if isinstance(reply, Failure):
            return cast(Any, self._parser).parse_error(reply.text)
        return reply


class MemoryLine:
    """A session that hands out answers as they arrive."""

    def __init__(self, session: Session, owner: Owner, shown: Callable[[Reply], Any]) -> None:
        self._session = session
        self._owner: Owner | None = owner
        self._shown = shown
        session.listen(self._hear)

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    def write(self, packed: bytes) -> None:
        self._session.send(packed)

    def close(self) -> None:
        self._owner = None
        self._session.cut()

    def _hear(self) -> None:
        while self._owner and self._session.has_arrived:
            self._owner.answered(self._shown(self._session.receive_now()))
        if self._owner and not self._session.is_open:
            owner, self._owner = self._owner, None
            owner.ended(self, exceptions.ConnectionError("Connection closed by server."))
