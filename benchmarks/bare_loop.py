"""What a fan-out is compared with: as many appends by script, and no engine.

Per 100 tasks three script calls append 100 entries each to one stream, with the fields that an
entry of a log has. What they need travels as one MessagePack argument, as in our scripts.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import msgspec

from agentainer_flow.core.log import EventLog

BATCH = 100
CALLS = 3
STREAM = "bare"
SCRIPT = """
local now = redis.call('TIME')
local ts = now[1] * 1000 + math.floor(now[2] / 1000)
local call = cmsgpack.unpack(ARGV[1])
for i, data in ipairs(call.events) do
  redis.call('XADD', KEYS[1], '*', 'type', 'task.completed', 'data', data, 'ts', ts,
    'by', call.by, 'dg', call.dg)
end
return cmsgpack.pack({'appended', #call.events})
"""
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


async def tasks_per_s(log: EventLog, tasks: int) -> float:
    """Run the loop for so many tasks."""
    pack, unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
    redis: Any = log.redis
    await redis.script_load(SCRIPT)
    begun = time.perf_counter()
    for first in range(0, tasks, BATCH):
        data = [_data(index) for index in range(first, min(first + BATCH, tasks))]
        for _ in range(CALLS):
            call = {"events": data, "by": "worker@localhost:12345:abcdef", "dg": "0123456789abcdef"}
            unpack(await redis.evalsha(SHA, 1, STREAM, pack(call)))
    took = time.perf_counter() - begun
    await redis.delete(STREAM)
    return tasks / took


def _data(index: int) -> str:
    return f'{{"step":"work","index":{index},"attempt":1,"result":{index}}}'
