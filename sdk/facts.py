"""The facts about a running installation that `doctor` reads and judges."""

from __future__ import annotations

import msgspec

from ..projections.queues import QueueView

#: Entries of a feed that are counted, at most.
COUNTED = 1000


class Member(msgspec.Struct, frozen=True):
    """A role that runs in some process, or ran: then its lease is over.

    It has a session of this name in every partition.
    """

    session: str
    role: str
    host: str
    pid: int
    lane: str
    slots: int
    definitions: list[str]
    #: Tasks and agents that it has.
    claimed: int
    #: Of its leases, the one that ends first.
    lease_left_s: float
    #: Of a scheduler: the partitions whose lane it owns.
    owns_lanes: list[int] = []
    #: Of a worker: the steps it has of a definition, as `steps_text` writes them, where it says so.
    steps: dict[str, str] = {}
    #: Of a launcher: what its agents may have together; None: no limit.
    memory_bytes: int | None = None

    @property
    def lives(self) -> bool:
        return self.lease_left_s > 0

    def has(self, definition: str, step: str) -> bool:
        """Whether a worker that serves the definition has the code of this step."""
        said = self.steps.get(definition)
        return said is None or f"|{step}|" in said


class Unread(msgspec.Struct, frozen=True):
    """How far the engine is behind."""

    #: At most COUNTED.
    entries: int
    oldest_s: float
    position: str


class Waiting(msgspec.Struct, frozen=True):
    """Ready tasks of one step."""

    workflow: str
    definition: str
    status: str
    step: str
    ready: int
    oldest_s: float
    queue: str
    #: Which limit of its own holds it back, in words.
    limit: str


class WaitingAgent(msgspec.Struct, frozen=True):
    """An agent that waits for a launcher."""

    workflow: str
    job: str
    memory_bytes: int
    #: A launcher that could have it lets it wait until there is memory.
    awaited: bool = False


class LaneFacts(msgspec.Struct, frozen=True):
    """The shared lane of a partition."""

    partition: int
    #: Host and pid of the engine that owns it, and what is left of its lease.
    owner: str
    owner_left_s: float | None
    unread: Unread
    #: Workflows under way in it: what an engine has to serve.
    workflows: int


class PartitionFacts(msgspec.Struct, frozen=True):
    """What there is in one partition."""

    lane: LaneFacts
    members: list[Member] = []
    #: Workflows under way, in private lanes, too.
    active: int = 0
    paused: list[str] = []
    waiting: list[Waiting] = []
    jobs_waiting: int = 0
    timers_due: int = 0
    timer_late_s: float = 0.0
    #: The first of those that wait for a launcher.
    agents: list[WaitingAgent] = []


class Facts(msgspec.Struct, frozen=True):
    """What there is in all partitions together."""

    lanes: list[LaneFacts]
    queues: list[QueueView] = []
    members: list[Member] = []
    active: int = 0
    paused: list[str] = []
    waiting: list[Waiting] = []
    jobs_waiting: int = 0
    timers_due: int = 0
    timer_late_s: float = 0.0
    agents: list[WaitingAgent] = []
