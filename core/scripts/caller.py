"""How a script is called."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from ..answers import (
    Appended,
    Conflict,
    Duplicate,
    Fenced,
    Full,
    Lost,
    Mismatch,
    Missing,
    Undefined,
)
from ..connection import Connection, NotReplicated
from ..keys import Keys
from ..library import function, library
from ..library import script as script_of
from ..metrics import APPEND_DURATION, APPENDS_REFUSED, Instruments

#: How long one call waits for its replicas before it says so and is sent again, ms.
CONFIRM_MS = 1000

#: Scripts that append, and whose calls are timed where somebody asks for that.
APPENDING = frozenset(
    {
        "append",
        "commit",
        "record_effect",
        "request_job",
        "settle_job",
        "state",
        "stop_job",
        "turn",
    }
)

_pack = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode

_OUTCOMES: dict[str, type] = {
    "appended": Appended,
    "duplicate": Duplicate,
    "conflict": Conflict,
    "mismatch": Mismatch,
    "missing": Missing,
    "fenced": Fenced,
    "lost": Lost,
    "full": Full,
    "undefined": Undefined,
}

#: What is counted as refused, and under which word.
_REFUSALS: dict[type, str] = {
    Conflict: "conflict",
    Mismatch: "mismatch",
    Fenced: "fenced",
    Lost: "claim_lost",
    Full: "full",
}


class Caller:
    """Call scripts on one Redis."""

    def __init__(self, connection: Connection, keys: Keys, *, replicas: int = 0) -> None:
        self._connection = connection
        self._keys = keys
        self._replicas = replicas
        self._has_functions = True
        #: What counts the calls; None: nobody asks.
        self.instruments: Instruments | None = None

    async def _run(self, script: str, partition: int, /, **call: Any) -> bytes:
        route = self._keys.flow(partition, "owners")
        packed = _pack({"ns": self._keys.prefix, "p": partition, **call})
        if self.instruments is None or script not in APPENDING:
            return await self._connection.call(lambda: self._try(script, route, packed))
        began = time.perf_counter()
        answer = await self._connection.call(lambda: self._try(script, route, packed))
        self.instruments.observe(APPEND_DURATION, time.perf_counter() - began, script)
        return answer

    def _note(self, outcomes: Iterable[object], lost: int = 0) -> None:
        """Count what was refused: outcomes, and results that came too late."""
        if self.instruments is None:
            return
        for outcome in outcomes:
            if reason := _REFUSALS.get(type(outcome)):
                self.instruments.count(APPENDS_REFUSED, reason)
        if lost:
            self.instruments.count(APPENDS_REFUSED, "claim_lost", by=lost)

    async def _try(self, script: str, route: str, packed: bytes) -> bytes:
        while self._has_functions:
            try:
                return await self._send("FCALL", function(script), 1, route, packed)
            except ResponseError as error:
                if not _is_unknown(error):
                    raise
            await self._load()
        text, sha = script_of(script)
        try:
            return await self._send("EVALSHA", sha, 1, route, packed)
        except NoScriptError:
            return await self._send("EVAL", text, 1, route, packed)

    async def _load(self) -> None:
        """Give Redis the library; where it takes none, scripts have to do."""
        try:
            await self._send("FUNCTION", "LOAD", "REPLACE", library()[1])
        except (NoPermissionError, ResponseError) as error:
            if not isinstance(error, NoPermissionError) and not _is_unknown(error):
                raise
            self._has_functions = False

    async def _send(self, *command: Any) -> bytes:
        wire = self._connection.wire
        if not self._replicas:
            answer: bytes = await wire.call(*command)
            return answer
        # WAIT speaks only for what its own connection wrote, and a repeated call may write nothing:
        # so each call writes a mark of its own before it waits.
        mark = ("INCR", self._keys.confirmed)
        wait = ("WAIT", self._replicas, CONFIRM_MS)
        replies: tuple[Any, ...] = await asyncio.gather(
            wire.call(*command), wire.call(*mark), wire.call(*wait)
        )
        written: bytes = replies[0]
        confirmed: int = replies[2]
        if confirmed < self._replicas:
            raise NotReplicated(f"{confirmed} of {self._replicas} replicas have the write")
        return written


def _is_unknown(error: ResponseError) -> bool:
    """Redis does not know a function, or functions at all."""
    said = str(error).lower()
    return "function not found" in said or "unknown command" in said


def outcome_of(answer: list[Any]) -> Any:
    word, *facts = answer
    return _OUTCOMES[word](*facts)
