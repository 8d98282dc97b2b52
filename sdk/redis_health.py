"""Ask Redis what it promises: version, what a crash may lose, eviction, latency."""

from __future__ import annotations

import statistics
import time
from typing import Any

import msgspec
from redis import exceptions

from ..core.connection import PROMISED, redact
from ..core.log import EventLog

PINGS = 20


class RedisFacts(msgspec.Struct, frozen=True):
    url: str
    program: str
    version: str
    #: What a crash may lose, in words.
    crash_loses: str
    maxmemory_policy: str
    latency_ms: float
    #: What is wrong with it, in words.
    problems: list[str]


async def look_at_redis(log: EventLog) -> RedisFacts:
    redis: Any = log.redis
    info: dict[str, Any] = await redis.info()
    fsync = await _setting(redis, "appendfsync") if info.get("aof_enabled") else ""
    return RedisFacts(
        redact(log.connection.url),
        "valkey" if "valkey_version" in info else "redis",
        _version(info),
        crash_loses(info, fsync),
        str(info.get("maxmemory_policy", "")),
        await _latency_ms(redis),
        problems(info),
    )


def crash_loses(info: dict[str, Any], fsync: str) -> str:
    match bool(info.get("aof_enabled")), fsync:
        case False, _:
            return "everything since its last dump (no append-only file)"
        case True, "always":
            return "nothing that was acknowledged (append-only file, synced at every write)"
        case True, "everysec":
            return "about the last second (append-only file, synced every second)"
        case True, "no":
            return "what the system had not written yet (append-only file, never synced)"
        case _:
            return "unknown: it has an append-only file and does not tell how it is synced"


def problems(info: dict[str, Any]) -> list[str]:
    """What an operator has to change, in whole sentences."""
    found: list[str] = []
    version, policy = _version(info), info.get("maxmemory_policy", "noeviction")
    if tuple(int(part) for part in version.split(".")[:2]) < PROMISED:
        needed = ".".join(map(str, PROMISED))
        found.append(f"Redis has version {version}; what is promised holds from {needed} on.")
    if policy != "noeviction":
        found.append(
            f"Redis deletes keys, logs too, when its memory is full (maxmemory-policy {policy}); "
            "set maxmemory-policy noeviction."
        )
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        found.append("Redis could not write its append-only file; look at its disk and its log.")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        found.append("Redis could not write its last dump; look at its disk and its log.")
    return found


def _version(info: dict[str, Any]) -> str:
    return str(info.get("valkey_version") or info["redis_version"])


async def _setting(redis: Any, name: str) -> str:
    """A setting of the server; empty where asking for it is not allowed."""
    try:
        found: dict[str, str] = await redis.config_get(name)
    except exceptions.ResponseError:
        return ""
    return {_text(key): _text(value) for key, value in found.items()}.get(name, "")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def _latency_ms(redis: Any) -> float:
    """The median of some round trips."""
    took: list[float] = []
    for _ in range(PINGS):
        began = time.perf_counter()
        await redis.ping()
        took.append(time.perf_counter() - began)
    return round(statistics.median(took) * 1000, 3)
