"""What a run is made of: nodes, workflows, what clients ask for, and faults. Data, nothing else.

A plan and a seed for the order of things say all about a run, so a plan that fails can be cut down
to what it takes. Times are virtual seconds from the start.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .graphs import Die, Graph

Role = Literal["scheduler", "clock", "janitor", "worker", "launcher"]
ALL_ROLES: tuple[Role, ...] = ("scheduler", "clock", "janitor", "worker", "launcher")

#: The node that all clients are on, which does not die.
CLIENTS = "clients"


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that is started again whenever it has died."""

    name: str
    roles: tuple[Role, ...] = ALL_ROLES
    host: str = "h1"
    #: How far its clock is off, seconds.
    skew_s: float = 0.0
    slots: int = 4
    agent_slots: int = 4
    #: What its agents may have together, MB; 0: any number.
    memory: int = 0
    #: A step that its code does not have.
    lacks: str = ""


Verb = Literal["pause", "freeze", "resume", "cancel", "write"]


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    at_s: float
    verb: Verb


class Start(msgspec.Struct, frozen=True, omit_defaults=True):
    """A client that creates a workflow, and what it then asks for."""

    graph: Graph
    at_s: float = 0.0
    commands: tuple[Command, ...] = ()
    #: It runs in a process of its own, a node that is not started again.
    alone: bool = False


CallKind = Literal[
    "crash_before",  # the node dies, and the call was not made
    "crash_after",  # the call was applied, and the node dies before it hears of it
    "lose_call",  # the connection ends, and the call was not made
    "lose_reply",  # the call was applied, and the connection ends before the reply
    "delay",  # the call takes `for_s` to get there
    "delay_reply",  # the reply takes `for_s` to come back
    "double",  # the call is applied twice, the second reply counts
    "freeze",  # the call was applied, and the node stands still before it hears of it
    "forget",  # the call was not made, and Redis comes back without its last writes
]


class CallFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault of one call of a script: the `call`th one that the node makes, of all its lives."""

    node: str
    call: int
    kind: CallKind
    #: How long it lasts, or how long a dead node stays away, seconds.
    for_s: float = 0.2
    #: Count only the calls of this script; empty: of all.
    script: str = ""


#: Faults of calls that are over at once.
QUICK: tuple[CallKind, ...] = ("lose_call", "lose_reply", "double")

TimedKind = Literal[
    "kill",  # a node dies at whatever it does
    "freeze",  # a node stands still, and goes on as if nothing had happened
    "partition",  # nothing passes between a node and Redis; what was sent comes through afterwards
    "cut",  # a node's connections end
    "redis",  # Redis is away and comes back with all it had
    "rollback",  # Redis is away and comes back without its last writes
    "clock",  # Redis' clock jumps by `for_s`
    "agent",  # an agent is killed
    "power",  # a host loses power: its nodes and agents die
    "host",  # a host is gone for good, and its nodes come back elsewhere
    "daemon",  # the daemon of a host does not answer
    "stop",  # a node is asked to stop, and started again
]


class TimedFault(msgspec.Struct, frozen=True, omit_defaults=True):
    at_s: float
    kind: TimedKind
    #: A node or a host; empty when the kind says it all.
    target: str = ""
    for_s: float = 0.5
    #: Which of the agents there are, or how many writes are lost.
    number: int = 0


Fault = CallFault | TimedFault


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    #: Of the order in which things go, and of how long they take.
    seed: int
    nodes: tuple[Node, ...] = (Node("n1"),)
    starts: tuple[Start, ...] = ()
    calls: tuple[CallFault, ...] = ()
    timed: tuple[TimedFault, ...] = ()
    lease: float = 2.0
    partitions: int = 1
    #: Limits of queues.
    queues: dict[str, int] = {}
    #: Events after which a view is kept.
    snapshot_every: int = 0
    #: Tasks of a fan-out that are queued by one commit; 0: as many as ever.
    portion: int = 0
    #: Stop the nodes before looking, instead of looking while they run.
    stops: bool = False

    @property
    def launching_host(self) -> str:
        """Where a process that runs a workflow by itself is: others adopt its agents there."""
        return next(node.host for node in reversed(self.nodes) if "launcher" in node.roles)

    @property
    def loses_writes(self) -> bool:
        faults: tuple[Fault, ...] = (*self.timed, *self.calls)
        return any(fault.kind in ("rollback", "forget") for fault in faults)

    @property
    def is_calm(self) -> bool:
        """Nothing in it takes so long that somebody counts as dead."""
        quick = all(
            fault.kind in QUICK or ("delay" in fault.kind and fault.for_s < self.lease / 2)
            for fault in self.calls
        )
        kills = any(
            isinstance(act, Die)
            for start in self.starts
            for step in start.graph.steps
            for act in step.acts
        )
        alone = any(start.alone for start in self.starts)
        return quick and not (self.timed or kills or alone)

    @property
    def faults(self) -> int:
        return len(self.calls) + len(self.timed)
