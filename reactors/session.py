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
    ) -> None:
        """A role of a process has one name in all partitions, and a lease in each."""
        self._log = log
        self._partition = partition
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
        lease = self._log.settings.lease
        about = {self.name: _encode(self._about).decode()}
        while True:
            await self._log.scripts.renew(
                self._partition,
                lanes=[],
                sessions=[self.name],
                lease_ms=int(lease * 1000),
                about=about,
            )
            await anyio.sleep(lease / 3)

    async def hand_back_others(self, kept: Collection[str]) -> None:
        """Let others claim what it is said to hold and does not; see `Scripts.hand_back_others`."""
        hand_back = self._log.scripts.hand_back_others
        while any(await hand_back(self._partition, session=self.name, kept=kept)):
            pass

    async def hand_back(self) -> None:
        """End it: others may claim at once what it held. Nothing may be claimed under it after."""
        while any(await self._log.scripts.hand_back(self._partition, session=self.name)):
            pass
