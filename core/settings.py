"""The settings of a process: defaults < environment < arguments, checked once at the door."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .durations import parse_duration
from .errors import SettingsError
from .sizes import parse_size

PREFIX = "AGENTAINER_"
DURABILITY = re.compile(r"redis|fsync|replicas:[1-9]\d?")
#: The most that `partitions` may be.
MOST_PARTITIONS = 256
#: Settings that may be texts such as `512m`.
SIZES = ("agent_memory", "inline_limit", "payload_limit")
#: Settings that may be texts such as `7d`.
DURATIONS = ("state_ttl", "log_ttl")
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What can be set for every command, by `AGENTAINER_<NAME>` or as an argument.

    Sizes are bytes, durations seconds.
    """

    #: Redis to use; None means the embedded one.
    redis_url: str | None = None
    #: Where the embedded Redis and the launcher keep their files.
    home: Path = Path("~/.agentainer")
    #: Prefix of every Redis key.
    namespace: str = ""
    #: How many partitions this Redis and namespace has, fixed at its first use. None: as many as
    #: there are, 1 at the first use.
    partitions: int | None = None
    #: docker, process, or auto: docker when a daemon answers, else process.
    runtime: str = "auto"
    #: Folder with one sub-folder per agent image, for the process runtime.
    agents: Path | None = None
    #: How long a silent process keeps what it owns.
    lease: float = 5.0
    #: How long tasks that run may go on when their worker is asked to stop.
    grace: float = 10.0
    #: Tasks that one worker runs at a time.
    slots: int = 100
    #: Agents that one launcher runs at a time.
    agent_slots: int = 16
    #: Memory that the agents of one launcher have together; None: no limit.
    agent_memory: int | None = None
    #: Values above this size leave the event for a blob of their own.
    inline_limit: int = 64 * 1024
    #: Values above this size are refused.
    payload_limit: int = 16 * 1024 * 1024
    #: How long the state of a finished workflow is kept.
    state_ttl: float = 7 * 24 * 3600.0
    #: How long the log of a finished workflow is kept.
    log_ttl: float = 30 * 24 * 3600.0
    #: Where finished workflows go when the time of their log is over: a folder, or a URL that
    #: fsspec opens (s3://…). None: they expire.
    archive: str | None = None
    #: Events after which the view of a long log is kept again; 0: never.
    snapshot_every: int = 2000
    #: Lines of output kept per agent.
    log_lines: int = 10_000
    #: When a write counts: redis (as the server is set), fsync (it must sync every write), or
    #: replicas:N (N replicas have it, too).
    durability: str = "redis"
    #: debug, info, warning, error or critical. With debug the commands show tracebacks, too.
    log_level: str = "warning"
    #: How log lines look: console, or json (one object per line).
    log_format: str = "console"
    #: Where agents and other clients reach the HTTP API.
    api_url: str | None = None
    #: Who needs a token: auto (everybody, but not on a loopback address) or on (everybody).
    api_auth: str = "auto"
    #: Whether changes must say with If-Match which version they are meant for.
    api_if_match: str = "optional"
    #: Largest body of a request.
    api_body_limit: int = 4 * 1024 * 1024
    #: Networks that webhooks may reach though they are not public, separated by commas.
    webhook_allow: str = ""
    #: Origins whose web pages may call the API, separated by commas.
    api_origins: str = ""
    #: The trace of a run: one of its own with a link to the span that started it (link), or that
    #: of this span (parent).
    trace_caller: str = "link"
    #: What run() shows on stderr: live, plain, off, or auto: live on a terminal, else off.
    progress: str = "auto"

    def __post_init__(self) -> None:
        positive = ("lease", "slots", "agent_slots", "inline_limit", "payload_limit", "log_lines")
        for name in (*positive, "state_ttl", "log_ttl", "api_body_limit"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.partitions is not None and not 1 <= self.partitions <= MOST_PARTITIONS:
            raise ValueError(f"partitions must be 1 to {MOST_PARTITIONS}, got {self.partitions}")
        if self.agent_memory is not None and self.agent_memory <= 0:
            raise ValueError(f"agent_memory must be above 0, got {self.agent_memory}")
        if self.snapshot_every < 0:
            raise ValueError(f"snapshot_every must not be below 0, got {self.snapshot_every}")
        if self.grace < 0:
            raise ValueError(f"grace must not be below 0, got {self.grace}")
        if self.runtime not in ("auto", "docker", "process"):
            raise ValueError(f"runtime must be auto, docker or process, got {self.runtime!r}")
        if self.log_level.lower() not in LOG_LEVELS:
            raise ValueError(f"log_level must be {', '.join(LOG_LEVELS)}, got {self.log_level!r}")
        if self.log_format not in ("console", "json"):
            raise ValueError(f"log_format must be console or json, got {self.log_format!r}")
        if not DURABILITY.fullmatch(self.durability):
            raise ValueError(
                f"durability must be redis, fsync or replicas:N with N from 1 on, got "
                f"{self.durability!r}"
            )
        if self.progress not in ("auto", "live", "plain", "off"):
            raise ValueError(f"progress must be auto, live, plain or off, got {self.progress!r}")
        if self.trace_caller not in ("link", "parent"):
            raise ValueError(f"trace_caller must be link or parent, got {self.trace_caller!r}")
        if self.api_auth not in ("auto", "on"):
            raise ValueError(f"api_auth must be auto or on, got {self.api_auth!r}")
        if self.api_if_match not in ("optional", "required"):
            raise ValueError(
                f"api_if_match must be optional or required, got {self.api_if_match!r}"
            )
        if any(c in self.namespace for c in "{} *?[]\n"):
            raise ValueError(f"namespace must be plain text, got {self.namespace!r}")

    @property
    def replicas(self) -> int:
        """How many replicas must have a write."""
        return int(self.durability.partition(":")[2] or 0)

    @property
    def home_path(self) -> Path:
        return self.home.expanduser().absolute()


def load_settings(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Merge defaults, environment and arguments; an argument of None counts as not given.

    Raises SettingsError naming the variable or argument that cannot be used.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Any] = {}
    for field in Settings.__struct_fields__:
        if (text := environ.get(PREFIX + field.upper())) not in (None, ""):
            given[field] = text
    given.update({name: value for name, value in arguments.items() if value is not None})
    for names, parse in ((SIZES, parse_size), (DURATIONS, parse_duration)):
        given.update({name: _read(parse, name, given[name]) for name in names if name in given})
    try:
        return msgspec.convert(given, Settings, strict=False, dec_hook=_to_path)
    except msgspec.ValidationError as error:
        raise SettingsError(f"cannot use the settings: {_say(str(error))}") from error


def _read(parse: Callable[[object], float], name: str, value: object) -> float:
    try:
        return parse(value)
    except ValueError as error:
        place = f"{PREFIX}{name.upper()}"
        raise SettingsError(f"cannot use the settings: {place}: {error}") from error


def _to_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")


def _say(message: str) -> str:
    """Turn msgspec's `$.lease` into the name of the variable a person sets."""
    text, _, place = message.partition(" - at `$.")
    return f"{PREFIX}{place.rstrip('`').upper()}: {text}" if place else text
