"""One incarnation of a role: its name, its lease, and what it says of itself.

What is claimed is claimed under the name of a session. While the session is kept, its claims are;
when it falls silent the janitor hands them on, and a role that stops hands them back itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import anyio
import msgspec

from ..core import clock
from ..core.ids import new_session, origin
from ..core.keys import SHARED
from ..core.log import EventLog


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `flow:<p>:about` says of a session."""

    role: str
    host: str
    pid: int
    started_ms: int
    lane: str = SHARED
    #: Tasks or agents at a time; 0 for roles that run none.
    slots: int = 0
    #: Of a launcher: what its agents may have together; None: no limit.
    memory_bytes: int | None = None
    #: Definitions that a worker has the code of.
    definitions: list[str] = []
    #: Their steps as `steps_text` writes them, of those that are not very long.
    steps: dict[str, str] = {}


#: Bytes that the steps of a definition may have to be said with every renewal.
SAID = 2000

_encode = msgspec.json.Encoder().encode


class Heartbeat:
    """Renew the leases of a partition's sessions in this process by one call for all."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._kept: dict[str, About] = {}
        #: Set once Redis knows of a session.
        self.began = anyio.Event()
        #: Whoever has it renews for all; when they stop, the next one goes on.
        self._beating = anyio.Lock()

    async def keep(self, name: str, about: About) -> None:
        """Renew a lease until cancelled."""
        await self._renew({name: about})
        self.began.set()
        self._kept[name] = about
        try:
            async with self._beating:
                while True:
                    await anyio.sleep(self._log.settings.lease / 3)
                    await self._renew(self._kept)
        finally:
            del self._kept[name]

    async def _renew(self, sessions: Mapping[str, About]) -> None:
        await self._log.scripts.renew(
            self._partition,
            lanes=[],
            sessions=list(sessions),
            lease_ms=int(self._log.settings.lease * 1000),
            about={name: _encode(about).decode() for name, about in sessions.items()},
        )


class Session:
    def __init__(
        self,
        log: EventLog,
        role: str,
        *,
        partition: int = 0,
        lane: str = SHARED,
        slots: int = 0,
        memory_bytes: int | None = None,
        definitions: Mapping[str, str] | None = None,
        name: str = "",
        heart: Heartbeat | None = None,
    ) -> None:
        """A role of a process has one name in all partitions, and a lease in each."""
        self._log = log
        self._partition = partition
        self._heart = heart or Heartbeat(log, partition)
        self.name = name or new_session(role)
        here = origin()
        self._about = About(
            role,
            here.host,
            here.pid,
            clock.now_ms(),
            lane,
            slots,
            memory_bytes,
            list(definitions or {}),
            {name: steps for name, steps in (definitions or {}).items() if len(steps) <= SAID},
        )

    async def keep(self) -> None:
        """Renew the lease until cancelled."""
        await self._heart.keep(self.name, self._about)

    async def hand_back_others(self, kept: Collection[str]) -> None:
        """Let others claim what it is said to hold and does not; see `Scripts.hand_back_others`."""
        hand_back = self._log.scripts.hand_back_others
        while any(await hand_back(self._partition, session=self.name, kept=kept)):
            pass

    async def hand_back(self) -> None:
        """End it: others may claim at once what it held. Nothing may be claimed under it after."""
        while any(await self._log.scripts.hand_back(self._partition, session=self.name)):
            pass
