"""Every Redis key, by name. Nothing else in the package spells one.

    workflow:<id>:events               STREAM  the log, the only truth; entry id <version>-0
    workflow:<id>:meta                 HASH    what the scripts check: version, status, lane …
    workflow:<id>                      STRING  document (projection)
    workflow:<id>:state                HASH    state, key -> JSON (projection, inside the append)
    workflow:<id>:steps                LIST    steps as JSON (projection)
    workflow:<id>:step:<step>:jobs     SET     job ids (projection)
    workflow:<id>:snapshot             HASH    view of a long log, with version and digest
    workflow:<id>:shadow:<name>        STRING  projection made anew, not yet live
    workflow:<id>:former:<name>        STRING  projection that was live before the last switch
    workflow:<id>:commands             HASH    idempotency key -> outcome of the first call
    workflow:<id>:effects              HASH    recorded effects of steps, by name
    workflow:<id>:jobs                 HASH    unsettled jobs -> where they stand
    workflow:<id>:limits               HASH    limits and arguments of steps that have tasks out
    workflow:<id>:timers               HASH    timers -> when and what
    workflow:<id>:held_jobs            LIST    jobs that wait for the end of a pause
    workflow:<id>:ready                SET     steps with ready tasks
    workflow:<id>:ready:<step>         LIST    ready tasks
    workflow:<id>:leased:<step>        HASH    claimed tasks -> claim
    workflow:<id>:forks                ZSET    ids of runs that were forked from it, by when (ms)
    workflow:<id>:blobs                HASH    digest -> payload too large for an event
    workflow:<id>:archived             STRING  where the history of an archived workflow is
    workflow:<id>:job:<job>:logs       STREAM  output of one agent, bounded
    workflow:<id>:restoring:<digest>   STREAM  entries of an import that is not complete
    workflow:<id>:restoring:<digest>:state  HASH  its state
    workflow:<id>:restoring:<digest>:blobs  HASH  its payloads

    flow:<p>:feed                      STREAM  every append of the partition, for subscribers
    flow:<p>:ended                     STREAM  workflows that ended, bounded, for who waits for one
    flow:<p>:owners                    HASH    lane -> "<deadline> <token>"
    flow:<p>:sessions                  ZSET    living roles by deadline
    flow:<p>:about                     HASH    session -> what it says of itself: role, host …
    flow:<p>:claims                    HASH    session -> token of its last claim
    flow:<p>:session:<session>         HASH    what a session has claimed, counted
    flow:<p>:claimed:<session>         STRING  last claim of a courier or subscriber, while it holds
    flow:<p>:active                    SET     workflows that have not ended
    flow:<p>:workflows[:<status>]      ZSET    listing by creation time
    flow:<p>:archivable                ZSET    ended workflows to archive, by when (ms)
    flow:<p>:named:<name>              ZSET    the same of one definition
    flow:<p>:tagged:<key>:<value>      ZSET    the same with one tag
    flow:<p>:<lane>:ring:<definition>  ZSET    workflows with claimable tasks, by turn
    flow:<p>:<lane>:feed               STREAM  every append of the lane, for its engine
    flow:<p>:<lane>:stocked            STRING  its engine looked at what was there before
    flow:<p>:orphans                   ZSET    jobs without a launcher -> how long they wait for one
    flow:<p>:<lane>:jobs:<host>        LIST    jobs whose container may be on that host
    flow:<p>:<lane>:jobs               LIST    jobs to launch
    flow:<p>:<lane>:timers             ZSET    timers by due time (ms)
    flow:<p>:<lane>:bell               STREAM  wakes who waits for news
    flow:<p>:<lane>:bell:<kind>        STREAM  wakes who waits for work: task, job, timer
    flow:<p>:delivery:<delivery>       HASH    one message to one webhook, and how it went
    flow:<p>:due                       ZSET    webhooks with deliveries to make, by when (ms)
    flow:<p>:due:<webhook>             ZSET    the deliveries, by when (ms)
    flow:<p>:sent:<webhook>            ZSET    its newest deliveries, by when they were planned
    flow:webhooks                      HASH    id -> webhook, with its secrets
    flow:webhooks:state                HASH    id -> since when it fails, whether it is disabled
    flow:<p>:sub:<name>:queue:<id>     LIST    events of one workflow for a subscription to handle
    flow:<p>:sub:<name>:due            ZSET    workflows with such events, by when (ms)
    flow:<p>:sub:<name>:claims         HASH    workflow -> who handles its first event, and tries
    flow:<p>:sub:<name>:parked         STREAM  events that could not be handled
    flow:<p>:sub:<name>:bell           STREAM  wakes who handles them
    flow:subscriptions                 HASH    name -> what a durable subscription wants
    flow:<p>:tracer                    STRING  token of who exports traces, as long as it does
    flow:<p>:traced                    STRING  its group on the feed; without it the group goes
    flow:<p>:followers                 ZSET    processes that follow the feed, by deadline
    flow:rebuild:<name>                HASH    how far a rebuild of projections is
    flow:definitions                   HASH    digest -> definition
    flow:registered                    HASH    name -> what is known of its latest definition
    flow:request:<digest>              STRING  first answer to a request with an idempotency key
    flow:tokens                        HASH    id -> hash, scope and end of an API token
    flow:secret                        STRING  what tokens of agents are signed with
    flow:queues                        HASH    limits and depths of queues
    flow:running                       HASH    tasks that run, per queue and concurrency key
    flow:waiting                       HASH    tasks that are ready, per queue
    flow:blocked                       SET     shared limits that workflows wait for
    flow:blocked:<limit>               SET     workflows that wait for one of them
    flow:confirmed                     STRING  mark that replicas confirm (durability replicas:N)
    flow:installation                  STRING  name of this installation, on labels of containers
    flow:partitions                    STRING  number of partitions, fixed by whoever comes first

A *lane* is what one engine owns: the shared lane of a partition, or the private lane of one
workflow that runs inside the process that called `run()`.

Owners and lifetimes: keys of a workflow end with it (`project.lua` sets their TTL with its last
event, queues vanish when empty), those of an import that is not complete live for a day; `flow:`
keys belong to the partition and live as long as it is used; a private lane's keys are deleted when
its workflow ends or moves to the shared lane. Of what the API keeps, `flow:request:…` lives for a
day, a follower until its deadline, and the partition's feed as long as somebody follows it or a
consumer group reads it (`tend_feeds.lua`). A delivery lives for a week after it was made or given
up, the list of a webhook's until the webhook is deleted. What a subscription has lives until it is
closed, its queues until they are empty. What a rebuild made (`shadow`, `former`, `flow:rebuild:…`)
is kept for some days, the tracer's place on the feed for one.

With an archive (AGENTAINER_ARCHIVE) the keys of an ended workflow get no TTL: they are listed in
`flow:<p>:archivable` and stay until its log is written there (`archive.lua`). `archived` stays as
long as the file, which nobody would find without it: deleting the workflow deletes both.

`flow:partitions` belongs to the installation: `EventLog.open` writes it once and reads it from then
on. It stays for good, because the partition of every workflow follows from it.
"""

from __future__ import annotations

from zlib import crc32

SHARED = "shared"
#: The lane of imported workflows: nobody ever owns it, so they stay as they are.
IMPORTED = "imported"


class Keys:
    """Spell keys below one namespace prefix."""

    def __init__(self, namespace: str = "", partitions: int = 1) -> None:
        self.prefix = f"{namespace}:" if namespace else ""
        self.partitions = partitions
        self.definitions = f"{self.prefix}flow:definitions"
        self.webhooks = f"{self.prefix}flow:webhooks"
        self.webhook_states = f"{self.prefix}flow:webhooks:state"
        self.tokens = f"{self.prefix}flow:tokens"
        self.secret = f"{self.prefix}flow:secret"
        self.registered = f"{self.prefix}flow:registered"
        self.confirmed = f"{self.prefix}flow:confirmed"
        self.installation = f"{self.prefix}flow:installation"
        self.fixed_partitions = f"{self.prefix}flow:partitions"

    def partition(self, workflow_id: str) -> int:
        return crc32(workflow_id.encode()) % self.partitions

    def workflow(self, workflow_id: str, *parts: str) -> str:
        return ":".join([f"{self.prefix}workflow:{workflow_id}", *parts])

    def events(self, workflow_id: str) -> str:
        return self.workflow(workflow_id, "events")

    def flow(self, partition: int, *parts: str) -> str:
        return ":".join([f"{self.prefix}flow:{partition}", *parts])

    def shared(self, part: str) -> str:
        return f"{self.prefix}flow:{part}"

    def feed(self, partition: int, lane: str = SHARED) -> str:
        """The feed of one lane's engine."""
        return self.flow(partition, lane, "feed")

    def bell(self, partition: int, lane: str = SHARED, *kind: str) -> str:
        return self.flow(partition, lane, "bell", *kind)
