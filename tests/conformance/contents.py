"""All that a Redis holds, so that it can be compared with another."""

from __future__ import annotations

import re
from typing import Any

from agentainer_flow.core.wire import Wire

READ = """
local reads = {
  string = {'GET'}, hash = {'HGETALL'}, list = {'LRANGE', 0, -1}, set = {'SMEMBERS'},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XRANGE', '-', '+'},
}
local found = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local command, from, to, scores = unpack(reads[kind])
  local call = {command, key, from, to, scores}
  found[i] = {key, kind, redis.call('TTL', key), redis.call(unpack(call))}
end
return found
"""


async def contents(wire: Wire) -> dict[str, Any]:
    """All keys: whether they end, and what they hold, apart from times."""
    found: list[Any] = await wire.call("EVAL", READ, 0)
    return {key.decode(): (ttl != -1, _timeless(kind, held)) for key, kind, ttl, held in found}


def _timeless(kind: bytes, held: Any) -> Any:
    match kind:
        case b"hash":
            return {name: _mask(value) for name, value in _pairs(held)}
        case b"stream":
            return [{**dict(_pairs(fields)), b"ts": b""} for _, fields in held]
        case b"zset":
            return {name: float(score) > 0 for name, score in _pairs(held)}
        case b"set":
            return set(held)
        case _:
            return held


def _pairs(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(parts[::2], parts[1::2], strict=True))


def _mask(value: bytes) -> bytes:
    return re.sub(rb"\d{13}", b"(ms)", value)
