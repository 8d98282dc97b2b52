"""Bugs in what scripts have in common (`core/lua/parts`)."""

from __future__ import annotations

from ..planting import Mutant

PARTS = [
    Mutant(
        "a commit that comes again is made again",
        "parts/committing.lua",
        "if log.commit == decision.commit then",
        "if false then",
    ),
    Mutant(
        "whoever settles a task needs no claim of it",
        "parts/settling.lua",
        "if not value or string.find(value, token, 1, true) ~= 1 then return nil end\n"
        "  return string.match(value, '^ (%d+)', #token + 1)",
        "if not value then return nil end\n  return string.match(value, '^%S+ (%d+)')",
    ),
    Mutant(
        "a timer is noted and never due",
        "parts/timers.lua",
        "redis.call('ZADD', timer_key(log.lane), due, log.id .. '|' .. name)",
        "",
    ),
    Mutant(
        "tasks of a paused workflow are claimed",
        "parts/claiming.lua",
        "if log and log.status == 'running' then",
        "if log then",
    ),
    Mutant(
        "tasks of a step that was cancelled keep their leases",
        "parts/committing.lua",
        "    release_task(log, step, lease)\n",
        "",
    ),
    Mutant(
        "agents of a task that ended run on",
        "parts/settling.lua",
        "return record.step == step and settled[record.index] end",
        "return false end",
    ),
    Mutant(
        "max_workers is not looked at",
        "parts/starting.lua",
        "if limits.max > 0 then",
        "if false then",
    ),
    Mutant(
        "the limit of a concurrency key is not looked at",
        "parts/starting.lua",
        "if limits.key_max > 0 then",
        "if false then",
    ),
    Mutant(
        "a slot that became free goes to nobody",
        "parts/rings.lua",
        "      n = n - 1\n      log.partition = partition\n",
        "      return\n    elseif false then\n",
    ),
    Mutant(
        "agents that ran on one host are offered to all",
        "parts/jobs.lua",
        "redis.call('RPUSH', job_list(log.lane, record.host), log.id .. ' ' .. job)",
        "redis.call('RPUSH', job_list(log.lane), log.id .. ' ' .. job)",
    ),
    Mutant(
        "whoever has heard of a task may change the state for it",
        "parts/leases.lua",
        "return lease.token == token and lease or nil",
        "return lease",
    ),
    Mutant(
        "a claim of tasks whose reply was lost is made anew",
        "parts/claiming.lua",
        "if last == claim.token then",
        "if false then",
    ),
    Mutant(
        "ready tasks of a step that was cancelled are counted on",
        "parts/committing.lua",
        "  count_waiting(bare_limits_of(log, step).queue, -redis.call('LLEN', ready))\n",
        "",
    ),
    Mutant(
        "that a step has limits is not noted",
        "parts/committing.lua",
        "    note(log, 'l')\n",
        "",
    ),
    Mutant(
        "that a step has arguments is not noted",
        "parts/committing.lua",
        "    note(log, 'a')\n",
        "",
    ),
    Mutant(
        "workers are not told that a step was cancelled",
        "parts/committing.lua",
        "  if #leased > 0 then ring_bell(log.lane, 'cancel', log.id, step) end\n",
        "",
    ),
    Mutant(
        "a worker is given steps that it does not have",
        "parts/starting.lua",
        "return known and (known",
        "return true or (known",
    ),
    Mutant(
        "the limit of all queues is not looked at",
        "parts/starting.lua",
        "if of_all > 0 then bound",
        "if false then bound",
    ),
    Mutant(
        "numbers of writes are kept when a task has ended",
        "parts/settling.lua",
        "    forget_writes(log.id, step, indexes)\n",
        "",
    ),
    Mutant(
        "a failure takes back a cancellation",
        "parts/committing.lua",
        "if decision.phase and log.status ~= 'cancelling' then",
        "if decision.phase then",
    ),
    Mutant(
        "a timer that is set in a pause runs",
        "parts/timers.lua",
        "  if log.status == 'paused' then return end\n",
        "",
    ),
    Mutant(
        "priorities are forgotten",
        "parts/rings.lua",
        "turn - log.priority * PRIORITY",
        "turn",
    ),
    Mutant(
        "a lower priority has its share, too",
        "parts/claiming.lua",
        "return math.ceil(-place[1] / PRIORITY)",
        "return 0",
    ),
    Mutant(
        "one workflow takes all there is",
        "parts/claiming.lua",
        "math.max(1, math.floor(claim.left / #waiting))",
        "claim.left",
    ),
    Mutant(
        "who was served stays first",
        "parts/claiming.lua",
        "redis.call('ZADD', ring, ring_score(log, turn), id)",
        "redis.call('ZADD', ring, 'NX', ring_score(log, turn), id)",
    ),
    Mutant(
        "only the first of several tasks stops waiting",
        "parts/committing.lua",
        "'|' .. first[1] .. '|' .. last[1] .. '|' .. first[2],",
        "'|' .. first[1] .. '|' .. first[1] .. '|' .. first[2],",
    ),
]
