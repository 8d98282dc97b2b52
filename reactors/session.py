"""One incarnation of a role: its name, its lease, and what it says of itself.

What is claimed is claimed under the name of a session. While the session is kept, its claims are;
when it falls silent the janitor hands them on, and a role that stops hands them back itself.
"""

from __future__ import annotations

import math
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


class LaneLost(Exception):
    """Raised when another engine owns the lane now."""


class Heartbeat:
    """Renew what this process has in a partition, sessions and lanes, by one call for all."""

    def __init__(self, log: EventLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._period = log.settings.lease / 3
        self._sessions: dict[str, About] = {}
        #: Those that Redis knows of.
        self._begun: set[str] = set()
        #: Tokens of lanes, and what is set when one is lost.
        self._lanes: dict[str, tuple[str, anyio.Event]] = {}
        #: Set once Redis knows of a session.
        self.began = anyio.Event()
        self._beginning = anyio.Lock()
        #: Whoever has it renews for all; when they stop, the next one goes on.
        self._beating = anyio.Lock()
        self._due = 0.0
        #: When Redis answered last, and since when no answer was missed for long.
        self._answered = self._steady = -math.inf

    async def keep(self, name: str, about: About) -> None:
        """Renew the lease of a session until cancelled."""
        self._sessions[name] = about
        try:
            async with self._beginning:
                if name not in self._begun:  # by one that began at the same time
                    await self._renew()
            await self._beat()
        finally:
            del self._sessions[name]

    async def keep_lane(self, lane: str, token: str) -> None:
        """Renew the lease of a lane until cancelled. Raises LaneLost, in a group."""
        lost = anyio.Event()
        self._lanes[lane] = token, lost
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat)
                await lost.wait()
                raise LaneLost
        finally:
            del self._lanes[lane]

    def is_steady(self, seconds: float) -> bool:
        """Whether leases could be renewed in time of late, as far as ours tell.

        Each is renewed three times before it ends, so where half of one passed without an answer
        those of others may have run out although nobody died. `seconds` is how long ago that has
        to be.
        """
        return self._has_answered() and anyio.current_time() - self._steady >= seconds

    def _has_answered(self) -> bool:
        return anyio.current_time() - self._answered <= self._log.settings.lease / 2

    async def _beat(self) -> None:
        async with self._beating:
            while True:
                await anyio.sleep_until(self._due)
                await self._renew()

    async def _renew(self) -> None:
        sessions, lanes = dict(self._sessions), dict(self._lanes)
        held = await self._log.scripts.renew(
            self._partition,
            lanes=[(lane, token) for lane, (token, _) in lanes.items()],
            sessions=list(sessions),
            lease_ms=int(self._log.settings.lease * 1000),
            about={name: _encode(about).decode() for name, about in sessions.items()},
        )
        now = anyio.current_time()
        if not self._has_answered():
            self._steady = now
        self._answered = now
        self._due = now + self._period
        self._begun |= sessions.keys()
        if sessions:
            self.began.set()
        for (_, lost), is_ours in zip(lanes.values(), held, strict=True):
            if not is_ours:
                lost.set()


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
