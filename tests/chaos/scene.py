"""Everything of one run in one folder: Redis, the ways to it, the processes, what they note."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
from redis import Redis

from agentainer_flow.core.log import EventLog
from agentainer_flow.core.settings import load_settings
from agentainer_flow.projections.invariants import Entry, Notes
from agentainer_flow.projections.invariants.entries import read_entries

from .agents import Agents, DockerAgents, LocalAgents
from .driver import Driver
from .fleet import PROGRAM, Fleet, Member, environment
from .journal import Journal
from .nemesis import Nemesis
from .proxy import Proxy
from .schedule import Wanted, process_names
from .server import Server

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
#: Seconds for a process that is asked to stop, beside its grace.
FAREWELL = 15.0


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
            AGENTAINER_PARTITIONS=str(wanted.partitions),
            EFFECTS=str(folder / "effects"),
            **self.agents.environment,
        )
        self.proxies = {name: self._proxy(name) for name in [*process_names(), "users"]}
        self.fleet = Fleet([self._member(name) for name in process_names()])
        self.nemesis = Nemesis(
            self.server, self.fleet, self.agents, self.journal, wanted.partitions
        )

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
            self.log = await self._open_log(stack)
            await self.log.scripts.set_queue("narrow", limit=NARROW)
            with anyio.fail_after(PATIENCE):
                while not self.fleet.all_ready():  # noqa: ASYNC110 they tell nobody
                    await anyio.sleep(0.05)
            yield Driver(self.log, self.seed, self.journal)

    async def _open_log(self, stack: AsyncExitStack) -> EventLog:
        settings = load_settings(self.environment, redis_url=self.proxies["users"].url)
        log = EventLog(settings, settings.redis_url or "")
        stack.push_async_callback(log.close)
        await log.open()
        return log

    def _down(self) -> None:
        self.fleet.kill_all()
        self.agents.close()
        self.server.kill()

    async def rest(self) -> tuple[bool, float]:
        """Wait until every workflow has ended, and the dead are noticed; whether that came.

        And after how many seconds the workflows had.
        """
        begun = time.monotonic()
        with self.server.client() as redis, anyio.move_on_after(PATIENCE + 8 * self.wanted.lease):
            while any(map(redis.scard, self._keys("active"))):  # noqa: ASYNC110
                await anyio.sleep(0.1)
            drained_s = time.monotonic() - begun
            while self._are_dead_left(redis):  # noqa: ASYNC110
                await anyio.sleep(0.1)
            return True, drained_s
        return False, time.monotonic() - begun

    def _keys(self, part: str) -> list[str]:
        """This key of each partition."""
        return [f"flow:{partition}:{part}" for partition in range(self.wanted.partitions)]

    def _are_dead_left(self, redis: Redis) -> bool:
        """Whether sessions of processes that are gone wait to be noticed."""
        pids = {member.pid for member in self.fleet.members.values()}
        sessions = [
            name for key in self._keys("sessions") for name in cast(Any, redis).zrange(key, 0, -1)
        ]
        return any(int(name.split(":")[1]) not in pids for name in sessions)

    async def stop(self) -> list[str]:
        """Ask every process to stop; what was wrong with how it did, in words."""
        self.fleet.ask_to_stop()
        codes = await anyio.to_thread.run_sync(self.fleet.wait_stopped, FAREWELL)
        problems = [
            f"{name} was asked to stop and ended with {code}" if code else f"{name} did not stop"
            for name, code in codes.items()
            if code != 0
        ]
        with self.server.client() as redis:
            for key in self._keys("sessions"):
                if left := redis.zcard(key):
                    problems.append(f"{left} sessions are left in {key} after all have stopped")
        return problems

    def partitions(self, workflows: Iterable[str]) -> dict[str, int]:
        """The partition of each workflow."""
        keys = self.log.keys
        return {workflow: keys.partition(workflow) for workflow in workflows}

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

    def verify(self) -> list[dict[str, Any]]:
        """What `agentainer workflow verify` finds: a line of JSON for each workflow."""
        done = subprocess.run(
            [PROGRAM, "workflow", "verify", "--all", "--json"],
            env={**self.environment, "AGENTAINER_REDIS_URL": self.server.url},
            capture_output=True,
            text=True,
        )
        (self.folder / "verify.json").write_text(done.stdout)
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"agentainer workflow verify failed: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]
