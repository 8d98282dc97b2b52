"""One run: bring everything up, let it happen, let it come to rest, and judge."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import msgspec
from redis import Redis

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import load_settings
from agentainer_flow.projections.invariants import Entry, Notes
from agentainer_flow.projections.invariants.entries import read_entries

from .agents import Agents, DockerAgents, LocalAgents
from .driver import Driver
from .fleet import PROGRAM, Fleet, Member, environment, now_ms
from .journal import Journal
from .nemesis import Nemesis
from .presence import ways_of
from .proxy import Proxy
from .recovery import Recovered, recoveries, spread_of
from .report import Report
from .schedule import Schedule, Wanted, make_schedule, process_names
from .server import Server
from .sightings import complaints, missing, sightings
from .verdict import judge

FLOWS = Path(__file__).with_name("flows.py")
COMMANDS = {
    "worker": ["worker", str(FLOWS), "--slots", "32"],
    "up": ["up", str(FLOWS), "--slots", "32"],
    "reactors": ["reactors"],
    "launcher": ["launcher", "--slots", "8"],
}
#: What the queue of `Narrow` may run at a time.
NARROW = 4
#: Seconds for the start of everything, and for its rest after the faults beside some leases.
PATIENCE = 60.0


class Scene:
    """Everything of one run in one folder."""

    def __init__(self, folder: Path, wanted: Wanted, seed: int) -> None:
        self.folder = folder
        self.wanted = wanted
        self.seed = seed
        self.journal = Journal()
        self.server = Server(folder)
        self.agents: Agents = DockerAgents(folder) if wanted.docker else LocalAgents(folder)
        for name in ("effects", "logs", "home"):
            (folder / name).mkdir()
        self.environment = environment(
            AGENTAINER_HOME=str(folder / "home"),
            AGENTAINER_LEASE=str(wanted.lease),
            AGENTAINER_LOG_LEVEL="info",
            AGENTAINER_GRACE="2",
            EFFECTS=str(folder / "effects"),
            **self.agents.environment,
        )
        self.proxies = {name: self._proxy(name) for name in [*process_names(), "users"]}
        self.fleet = Fleet([self._member(name) for name in process_names()])
        self.nemesis = Nemesis(self.server, self.fleet, self.agents, self.journal)

    def _proxy(self, name: str) -> Proxy:
        return Proxy(self.server.socket, self.folder / f"{name}.sock")

    def _member(self, name: str) -> Member:
        proxy = self.proxies[name]
        own = {**self.environment, "AGENTAINER_REDIS_URL": proxy.url}
        command = COMMANDS[name.partition("-")[0]]
        return Member(name, command, own, proxy, self.folder / "logs")

    @asynccontextmanager
    async def up(self) -> AsyncGenerator[Driver, None]:
        """Everything runs; afterwards nothing does."""
        self.server.start()
        await self.server.wait_ready()
        async with AsyncExitStack() as stack:
            stack.callback(self._down)
            for proxy in self.proxies.values():
                await stack.enter_async_context(proxy.listening())
            log = await self._open_log(stack)
            await log.scripts.set_queue("narrow", limit=NARROW)
            with anyio.fail_after(PATIENCE):
                while not self.fleet.all_ready():  # noqa: ASYNC110 they tell nobody
                    await anyio.sleep(0.05)
            yield Driver(log, self.seed, self.journal)

    async def _open_log(self, stack: AsyncExitStack) -> EventLog:
        settings = load_settings({}, redis_url=self.proxies["users"].url, lease=self.wanted.lease)
        log = EventLog(settings, settings.redis_url or "")
        stack.push_async_callback(log.close)
        return log

    def _down(self) -> None:
        self.fleet.kill_all()
        self.agents.close()
        self.server.kill()

    async def rest(self) -> tuple[bool, float]:
        """Wait until every workflow has ended; whether that came, and after how many seconds."""
        begun = time.monotonic()
        with self.server.client() as redis, anyio.move_on_after(PATIENCE + 8 * self.wanted.lease):
            while any(redis.scard(key) for key in _keys(redis, "flow:*:active")):  # noqa: ASYNC110
                await anyio.sleep(0.1)
            return True, time.monotonic() - begun
        return False, time.monotonic() - begun

    def logs(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = {}
        with self.server.client() as redis:
            redis.connection_pool.connection_kwargs["decode_responses"] = False
            for workflow in self.journal.started.values():
                raw: Any = redis.xrange(f"workflow:{workflow}:events")
                found[workflow] = read_entries(Notes(), raw)
        return found

    def check(self) -> dict[str, Any]:
        """What the command says, on a way to Redis that no fault is in."""
        effects = str(self.folder / "effects")
        command = [PROGRAM, "check", "--all", "--json", "--effects", effects]
        done = subprocess.run(
            [*command, "--limit", f"narrow={NARROW}"],
            env={**self.environment, "AGENTAINER_REDIS_URL": self.server.url},
            capture_output=True,
            text=True,
        )
        (self.folder / "check.json").write_text(done.stdout)
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"agentainer check failed: {done.stderr}")
        checked: dict[str, Any] = json.loads(done.stdout)
        return checked


def _keys(redis: Redis, pattern: str) -> list[str]:
    found: Iterator[str] = cast(Any, redis).scan_iter(pattern)
    return list(found)


async def run(folder: Path, seed: int, wanted: Wanted) -> Report:
    """Carry out the schedule of a seed in an empty folder, which keeps what is left to look at."""
    schedule = make_schedule(seed, wanted)
    (folder / "schedule.json").write_bytes(msgspec.json.encode(schedule))
    scene = Scene(folder, wanted, seed)
    report: Report | None = None
    async with scene.up() as driver, anyio.create_task_group() as tasks:
        tasks.start_soon(scene.nemesis.tend_forever)
        begun = time.monotonic()
        async with anyio.create_task_group() as happening:
            happening.start_soon(scene.nemesis.carry_out, schedule.faults, begun)
            happening.start_soon(driver.carry_out, schedule.starts, schedule.commands, begun)
        await driver.resume_all()
        rested, drained_s = await scene.rest()
        report = await _report(scene, schedule, drained_s, rested)
        tasks.cancel_scope.cancel()
    assert report is not None
    (folder / "journal.json").write_bytes(msgspec.json.encode(scene.journal))
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    return report


async def _report(scene: Scene, schedule: Schedule, drained_s: float, rested: bool) -> Report:
    checked = await anyio.to_thread.run_sync(scene.check)
    logs = await anyio.to_thread.run_sync(scene.logs)
    outcomes = judge(schedule.starts, logs, scene.journal)
    ways = ways_of(scene.fleet, scene.journal, now_ms())
    partitions = dict.fromkeys(logs, 0)
    found = recoveries(logs, partitions, scene.journal, ways)
    seen = sightings(
        logs,
        scene.journal,
        [proxy.seen for proxy in scene.proxies.values()],
        [life.text() for _, life in scene.fleet.lives()],
    )
    begun = scene.agents.begun()
    report = Report(
        scene.seed,
        scene.wanted.seconds,
        scene.wanted.lease,
        str(scene.server),
        "docker" if scene.wanted.docker else "local processes",
        dict(Counter(hit.kind for hit in scene.journal.hits)),
        scene.journal.missed,
        outcomes.ended,
        checked["counts"],
        len(begun),
        begun.total() - len(begun),
        {
            what: (spread_of(found, what, net=False), spread_of(found, what, net=True))
            for what in ("task", "agent", "lane")
        },
        dict(seen),
        outcomes.problems,
        [_say(one) for one in sorted(found, key=lambda one: -one.net_ms)[:6]],
        drained_s,
        sum(span.end_ms - span.begin_ms for span in scene.journal.stalls) / 1000,
        scene.fleet.started_in_s(),
    )
    if not rested:
        report.problems.append(f"after {drained_s:.0f} s not all workflows have ended")
    report.problems += [
        f"rule {one['invariant']}: {one['workflow']} at {one['version']}: {one['text']}"
        for one in checked["violations"]
    ]
    report.problems += [f"{job} began {n} times" for job, n in begun.items() if n > 1]
    report.problems += _slow(report)
    report.problems += [
        f"never met: {name}" for name in missing(seen, scene.wanted.seconds, scene.wanted.lease)
    ]
    for member, life in scene.fleet.lives():
        report.problems += complaints(f"{member.name} ({life.log.name})", life.text())
    return report


def _slow(report: Report) -> list[str]:
    """Recovery has to come within a lease and a second, where the machine lets it."""
    limit_s = report.lease + 1
    if report.is_busy:
        return []
    return [
        f"recovery of a {what} took {net.p99_ms / 1000:.2f} s (p99), allowed are {limit_s:g} s"
        for what, (_, net) in report.recovery.items()
        if net.p99_ms > 1000 * limit_s
    ]


def _say(one: Recovered) -> str:
    took = f"{(one.again_ms - one.fault_ms) / 1000:.2f} s, could have {one.net_ms / 1000:.2f} s"
    return f"{one.what} {one.place}: {took}, at {one.again_ms:.0f}"
