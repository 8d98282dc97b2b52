"""Jobs as local processes: for laptops without Docker, for tests, and for quick starts.

Jobs outlive the launcher. Each runs below a small shell of its own session that records which
process it is before it starts the agent, and the exit code after it. Both are files, so whoever
comes later can adopt a running job and harvest an ended one.

Exactly one process per job, whatever dies when: the lock of the job's folder is held by an open
file that the shell inherits, and the shell lets go of it only after it has recorded itself. So
whoever gets the lock sees either a record, or knows that nothing was started.

What a process cannot be kept from: limits of memory, cpus and pids and the network are not
enforced here.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from ...core.errors import CannotLaunch, RuntimeUnavailable
from .agents import program
from .answer import RESULT_LIMIT, Ending, outcome
from .contract import Launch, Outcome, Permit, Sink, Started, always
from .environment import contract_environment, hidden_from_logs
from .folder import JobFolder, folder_of, remaining
from .group import ProcessGroup, read_group
from .output import Output
from .transcript import Transcript

#: What an agent inherits. Everything else of our environment may hold secrets.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME")

#: $1 the job's folder, $2 where to run, then the command. File 3 holds the lock of the job, file 4
#: is the agent's stderr: the shell's own, where it would say `Terminated`, goes nowhere.
#: TERM is for the agent: the shell stays to record the code, then ends what is left of the group.
_SHELL = """
trap : TERM INT HUP
folder=$1
read -r self < /proc/$$/stat
printf '%s\\n' "$self" > "$folder/process"
exec 3>&-
cd "$2" && shift 2 && unset OLDPWD && (exec "$@" 2>&4 4>&-)
echo $? > "$folder/exit"
kill -KILL 0
"""
#: The line of /proc that the shell writes.
_RECORD = "process"
#: What a shell reports of a program ended by SIGKILL.
_KILLED = 128 + signal.SIGKILL
_POLL_S = 0.05


class ProcessRuntime:
    """Runs agents as processes of this host, their files below `work`, their code in `agents`."""

    name = "process"

    def __init__(
        self, installation: str, work: Path, agents: Path, *, result_limit: int = RESULT_LIMIT
    ) -> None:
        self._installation = installation
        self._work = work
        self._agents = agents
        self._result_limit = result_limit

    async def open(self) -> str:
        """Check that processes can be watched and files be written."""
        if not hasattr(os, "pidfd_open"):
            raise RuntimeUnavailable("the process runtime needs Linux; use Docker on this system")
        try:
            self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RuntimeUnavailable(
                f"cannot write {self._work}: {error.strerror}; set AGENTAINER_HOME"
            ) from error
        return f"local processes, agents in {self._agents.absolute()}"

    async def start(self, launch: Launch, may_begin: Permit = always) -> Started | None:
        """Start the job's shell, or adopt the one that was started before."""
        folder = self._folder(launch)
        while True:
            async with folder.locked() as lock:
                group = read_group(folder.path / _RECORD)
                if group and not (folder.is_cancelled and await may_begin()):
                    return _started(group, adopted=True)
                if group is None and await may_begin():
                    return _started(await self._launch(launch, folder, lock), adopted=False)
                await _clear(folder)
                if group is None:
                    return None
                # It was forgotten, and is wanted again.

    async def follow(self, launch: Launch, sink: Sink) -> Outcome:
        """Pass on the whole output from its start, keep the time limit, judge the end."""
        folder = self._folder(launch)
        output = Output(self._result_limit, hidden_from_logs(launch))
        group = read_group(folder.path / _RECORD)
        transcript = Transcript(folder.path, output, sink)
        while group is not None and group.running():
            _keep_time(launch, folder, group)
            if not await transcript.copy():
                await group.ended(_POLL_S)
        await transcript.finish()
        return await anyio.to_thread.run_sync(self._judge, launch, folder, output)

    async def stop(self, launch: Launch, may_stop: Permit = always) -> None:
        """SIGTERM to the group, SIGKILL after the grace period."""
        folder = self._folder(launch)
        if not folder.exists():
            return
        async with folder.locked():
            group = read_group(folder.path / _RECORD)
            if group is None or not group.running() or not await may_stop():
                return
            folder.mark_stopped("cancelled")
        group.terminate()
        group.thaw()  # a frozen one would never see the SIGTERM
        if not await group.ended(launch.limits.grace_s):
            group.kill()
            await group.ended(None)

    async def freeze(self, launch: Launch) -> None:
        if group := self._running(launch):
            group.freeze()

    async def thaw(self, launch: Launch) -> None:
        if group := self._running(launch):
            group.thaw()

    def _running(self, launch: Launch) -> ProcessGroup | None:
        group = read_group(self._folder(launch).path / _RECORD)
        return group if group and group.running() else None

    async def remove(self, launch: Launch, may_remove: Permit = always) -> bool:
        """Kill what still runs, delete the files."""
        folder = self._folder(launch)
        if not folder.exists():
            return True
        async with folder.locked():
            permitted = await may_remove()
            if permitted:
                await _clear(folder)
        return permitted

    async def leftovers(self) -> list[tuple[str, str]]:
        return await anyio.to_thread.run_sync(remaining, self._work, self._installation)

    async def close(self) -> None:
        """Nothing is held open."""

    def _folder(self, launch: Launch) -> JobFolder:
        return folder_of(self._work, self._installation, launch)

    async def _launch(self, launch: Launch, folder: JobFolder, lock: int) -> ProcessGroup:
        try:
            folder.prepare()
            pid = self._spawn(launch, folder, lock)
            return await _recorded(folder, pid)
        except CannotLaunch:
            await _clear(folder)
            raise

    def _spawn(self, launch: Launch, folder: JobFolder, lock: int) -> int:
        """Start the shell in a session of its own, with the lock of the job as file 3."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment = {**inherited, **contract_environment(launch, str(folder.result))}
        wanted = program(launch, self._agents, environment)
        place = wanted.folder or _scratch(folder)
        arguments = ["sh", "-c", _SHELL, "sh", str(folder.path), str(place), *wanted.command]
        try:
            return os.posix_spawn(
                "/bin/sh",
                arguments,
                environment,
                file_actions=_files(folder, lock),
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT],
            )
        except (OSError, ValueError) as error:
            raise CannotLaunch("cannot_start", f"the system refuses: {error}") from error

    def _judge(self, launch: Launch, folder: JobFolder, output: Output) -> Outcome:
        return outcome(launch, _ending(folder), output, folder.result, self._result_limit)


def _started(group: ProcessGroup, *, adopted: bool) -> Started:
    return Started(f"process:{group.pid}", socket.gethostname(), adopted)


def _files(folder: JobFolder, lock: int) -> list[tuple[Any, ...]]:
    """Standard files of the agent, and the lock."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return [
        (os.POSIX_SPAWN_DUP2, lock, 3),  # first: the lock may itself be file 4
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(folder.path / "stdout"), writing, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 4, str(folder.path / "stderr"), writing, 0o600),
    ]


def _scratch(folder: JobFolder) -> Path:
    scratch = folder.path / "scratch"
    scratch.mkdir(exist_ok=True)
    return scratch


async def _recorded(folder: JobFolder, pid: int) -> ProcessGroup:
    """Wait the millisecond until the shell has recorded itself."""
    while (group := read_group(folder.path / _RECORD)) is None:
        if _dead(pid):
            raise CannotLaunch("cannot_start", "the shell of the agent ended before its start")
        await anyio.sleep(0.001)
    return group


def _dead(child: int) -> bool:
    return os.waitpid(child, os.WNOHANG) != (0, 0)


def _keep_time(launch: Launch, folder: JobFolder, group: ProcessGroup) -> None:
    """End the job in two steps when it runs longer than it may."""
    if launch.limits.timeout_s is None:
        return
    over_s = time.time() - group.started_at - launch.limits.timeout_s
    if over_s > launch.limits.grace_s:
        group.kill()
    elif over_s > 0 and folder.stopped is None:
        folder.mark_stopped("timed_out")
        group.terminate()


def _ending(folder: JobFolder) -> Ending:
    """Read the recorded exit code; a group that was killed left none."""
    try:
        code = int((folder.path / "exit").read_text())
    except (FileNotFoundError, ValueError):
        stopped = folder.stopped
        reason = "killed from outside, with the shell that would have recorded the exit code"
        return Ending(exit_code=_KILLED if stopped else None, stopped=stopped, reason=reason)
    return Ending(exit_code=code, stopped=folder.stopped)


async def _clear(folder: JobFolder) -> None:
    group = read_group(folder.path / _RECORD)
    if group is not None:
        group.kill()
        await group.ended(None)
    await anyio.to_thread.run_sync(folder.remove)
