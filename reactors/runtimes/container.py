"""What a job's container is made of: labels, limits and a hardened default."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from docker.types import LogConfig, Mount

from .answer import Cause, Ending, StopKind
from .contract import DEFAULT_MEMORY_BYTES, Launch
from .environment import contract_environment
from .folder import JobFolder

LABEL = "agentainer."
_MOUNT = "/agentainer"
_NOBODY = "65534:65534"
_ROOT = ("", "0", "root")
_PIDS = 256
_TMP = "rw,nosuid,nodev,mode=1777,size=64m"
#: 100 MB of log at most. Docker's follower skips a file that is rotated twice before it was read,
#: so files are large: output below 50 MB is complete, of more at least the end is. A line above
#: 16 KiB is stored in frames, and `json-file` breaks a character that stands across two of them;
#: the driver `local` would lose the end of such a line.
_LOG = {"max-size": "50m", "max-file": "2"}
#: What the init process exits with, and says, when it cannot execute the program.
_NOT_EXECUTED = (126, 127)
_INIT_FAILED = re.compile(r"\[FATAL tini \(\d+\)\] exec (.*) failed: (.*)")
_NEVER = "0001-01-01T00:00:00Z"


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """How a container is, as Docker says at inspect; by default as it is when created."""

    running: bool = False
    oom_killed: bool = msgspec.field(name="OOMKilled", default=False)
    exit_code: int = 0
    started_at: str = _NEVER

    @property
    def started(self) -> bool:
        return self.started_at != _NEVER


def begun_now() -> State:
    """How a container is that has just been started."""
    return State(running=True, started_at=datetime.now(UTC).isoformat())


class _Config(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None
    user: str = ""
    env: list[str] | None = None


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """What matters of an inspected container."""

    id: str
    state: State = State()
    config: _Config = _Config()


class Image(msgspec.Struct, frozen=True, rename="pascal"):
    """What matters of an inspected image."""

    config: _Config


def labels(installation: str, launch: Launch) -> dict[str, str]:
    return {
        f"{LABEL}installation": installation,
        f"{LABEL}workflow": launch.workflow,
        f"{LABEL}step": launch.step,
        f"{LABEL}index": str(launch.index),
        f"{LABEL}attempt": str(launch.attempt),
        f"{LABEL}job": launch.job,
    }


def belongs(container: Container, installation: str, launch: Launch) -> bool:
    """Tell whether a container is this very job's: its name alone anybody could have taken."""
    have = container.config.labels or {}
    want = {"installation": installation, "workflow": launch.workflow, "job": launch.job}
    return all(have.get(LABEL + key) == value for key, value in want.items())


def container_options(
    launch: Launch, image: Image, installation: str, folder: JobFolder
) -> dict[str, Any]:
    """Give what `create_container` takes besides the image and the host's side."""
    environment = dict(contract_environment(launch, f"{_MOUNT}/{folder.result.name}"))
    user = image.config.user
    if user.partition(":")[0] in _ROOT:
        user = _plain_user()
        environment = _with_home(environment, image)
    return {
        "name": folder.name,
        "command": list(launch.command) if launch.command else None,
        "environment": environment,
        "user": user,
        "labels": labels(installation, launch),
    }


def host_options(launch: Launch, folder: JobFolder, cpus: int) -> dict[str, Any]:
    """Give what `create_host_config` takes: isolation that costs nothing measurable.

    Memory counts without swap, so that the limit is one.
    """
    limits = launch.limits
    memory = memory_limit(launch)
    return {
        "init": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": limits.pids or _PIDS,
        "mem_limit": memory,
        "memswap_limit": memory,
        "network_mode": launch.network,
        "read_only": True,
        "tmpfs": {"/tmp": _TMP},  # noqa: S108 -- the container's own
        "mounts": [Mount(_MOUNT, str(folder.share), type="bind")],
        "log_config": LogConfig(type="json-file", config=_LOG),
        "nano_cpus": int(min(limits.cpus, cpus) * 1e9) if limits.cpus else None,
    }


def memory_limit(launch: Launch) -> int:
    return launch.limits.memory_bytes or DEFAULT_MEMORY_BYTES


def ending(
    launch: Launch, state: State | None, stopped: StopKind | None, last_lines: list[str]
) -> Ending:
    """Say how a container ended that an inspect shows like this; None means that it is gone.

    For memory counts what Docker noted, not the code: 137 is any SIGKILL, and 0 is what remains
    when only a child of the agent was killed. With an init process Docker starts an image whose
    program is missing; it is the init process that says so.
    """
    if state is None:
        return Ending(exit_code=None, stopped=stopped, reason="somebody removed the container")
    if not state.started:
        return Ending(exit_code=None, stopped=stopped, reason="the container never started")
    cause, reason = _cause(launch, state, last_lines)
    return Ending(exit_code=state.exit_code, stopped=stopped, cause=cause, reason=reason)


def _cause(launch: Launch, state: State, last_lines: list[str]) -> tuple[Cause | None, str]:
    if state.oom_killed:
        return "oom_killed", f"killed for memory, limit {memory_limit(launch) // 2**20} MiB"
    said = _INIT_FAILED.fullmatch(last_lines[-1]) if last_lines else None
    if said and state.exit_code in _NOT_EXECUTED:
        return "cannot_start", f"cannot start {said[1]}: {said[2]}"
    return None, ""


def _plain_user() -> str:
    """Whom to run as in place of root: nobody; for an ordinary user's launcher that user, who can
    then delete whatever the agent leaves in the shared folder."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else _NOBODY


def _with_home(environment: dict[str, str], image: Image) -> dict[str, str]:
    """Give a user that the image does not know a home that can be written."""
    if any(entry.startswith("HOME=") for entry in image.config.env or []):
        return environment
    return {"HOME": "/tmp", **environment}  # noqa: S108 -- the container's own
