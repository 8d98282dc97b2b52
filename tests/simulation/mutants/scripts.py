"""Bugs in scripts (`core/lua`)."""

from __future__ import annotations

from ..planting import Mutant

SCRIPTS = [
    Mutant(
        "an engine that lost its lane goes on committing",
        "commit.lua",
        "local owns = owns_lane(call.lane, call.token)",
        "local owns = true",
    ),
    Mutant(
        "a hop commits on a log that it does not know",
        "turn.lua",
        "elseif not decision.fits or log.version ~= decision.seen[1] + decision.settled then",
        "elseif false then",
    ),
    Mutant(
        "a claim of agents whose reply was lost is made anew",
        "claim_jobs.lua",
        "if redis.call('HGET', flow_key('claims'), call.session) == call.token then",
        "if false then",
    ),
    Mutant(
        "a command that comes again is not known any more",
        "append.lua",
        "local first = redis.call('HGET', commands, call.key)",
        "local first = nil",
    ),
    Mutant(
        "agents held back in a pause are forgotten",
        "append.lua",
        "redis.call('RPUSH', flow_key(log.lane .. ':jobs'), job)",
        "",
    ),
    Mutant(
        "nobody takes back what the dead had claimed",
        "sweep.lua",
        "if counts[1] < call.limit then take_session(ended_sessions[i]) end",
        "redis.call('ZREM', flow_key('sessions'), ended_sessions[i])",
    ),
    Mutant(
        "agents of a dead launcher are offered to nobody",
        "sweep.lua",
        "      offer_job(log, jobs[i], record)\n",
        "",
    ),
    Mutant(
        "an agent that a task has already is launched again",
        "request_job.lua",
        "if effect then\n",
        "if false then\n",
    ),
    Mutant(
        "a launcher that lost a job says how it ended",
        "settle_job.lua",
        "if not record or record.token ~= call.token then",
        "if not record then",
    ),
    Mutant(
        "what a launcher says again is refused",
        "settle_job.lua",
        "if first then",
        "if false then",
    ),
    Mutant(
        "agents of a paused workflow are launched",
        "claim_jobs.lua",
        "if log and log.status == 'paused' then",
        "if false then",
    ),
    Mutant(
        "a launcher takes more agents than it has slots",
        "claim_jobs.lua",
        "while #claimed < call.want and left",
        "while left",
    ),
    Mutant(
        "timers do not go on after a pause",
        "append.lua",
        "  resume_timers(log)\n",
        "",
    ),
    Mutant(
        "a write of state that comes again counts twice",
        "state.lua",
        "if last[1] == call.token and last[2] == call.write then",
        "if false then",
    ),
    Mutant(
        "a value that comes again is recorded twice",
        "record_effect.lua",
        "if first then",
        "if false then",
    ),
    Mutant(
        "a lane is taken although its lease runs",
        "renew.lua",
        "local is_free = tonumber(deadline) <= now",
        "local is_free = true",
    ),
    Mutant(
        "a task that kills its workers is tried for ever",
        "sweep.lua",
        "if call.max_losses and losses_of(lease) >= call.max_losses then",
        "if false then",
    ),
    Mutant(
        "runs of dead processes are adopted by nobody",
        "sweep.lua",
        "if owners[i] ~= SHARED and deadline <= now then adopt(owners[i]) end",
        "",
    ),
    Mutant(
        "that a workflow has agents is not noted",
        "request_job.lua",
        "note(log, 'e')\n",
        "",
    ),
    Mutant(
        "an agent that failed is not launched again",
        "request_job.lua",
        "if not is_over then",
        "if true then",
    ),
    Mutant(
        "agents have more memory than there is",
        "claim_jobs.lua",
        "elseif record and memory > free and memory <= all then return wait_for(id, job, record)\n",
        "elseif false then\n",
    ),
    Mutant(
        "an agent that is launched forgets that it was to stop",
        "settle_job.lua",
        "record.state = stopping and 'stopping' or 'launched'",
        "record.state = 'launched'",
    ),
    Mutant(
        "a clock sleeps too long",
        "fire.lua",
        "return reply(math.max(0, tonumber(next[2]) - now))",
        "return reply(math.max(0, tonumber(next[2]) - now) + 3000)",
    ),
    Mutant(
        "sleeps are over at once",
        "record_effect.lua",
        "now / 1000 + call.seconds",
        "now / 1000",
    ),
    Mutant(
        "a run may take for ever",
        "append.lua",
        "if call.meta.timeout_ms then set_timer(log, 'workflow', call.meta.timeout_ms, '') end",
        "",
    ),
    Mutant(
        "the first line of an agent is not kept",
        "write_logs.lua",
        "if call.after + i > kept then",
        "if call.after + i > kept + 1 then",
    ),
    Mutant(
        "an engine's commit wakes no worker",
        "commit.lua",
        "    if log.has_work then ring_once(log.lane, 'task') end\n",
        "",
    ),
    Mutant(
        "a turn wakes no other worker",
        "turn.lua",
        "    ring_once(log.lane, 'task')\n",
        "",
    ),
    Mutant(
        "tasks that were taken back wake nobody",
        "sweep.lua",
        "  join_ring(log)\n  ring_once(log.lane, 'task')\nend\n\nlocal function take_jobs",
        "  join_ring(log)\nend\n\nlocal function take_jobs",
    ),
    Mutant(
        "what is in the state stays",
        "state.lua",
        "if value then redis.call('HSET', state, key, value) else",
        "if value then redis.call('HSETNX', state, key, value) else",
    ),
    Mutant(
        "output of an agent that Redis forgot is kept for ever",
        "write_logs.lua",
        "if not is_known and redis.call('EXISTS', key) == 0 then return reply(true) end",
        "",
    ),
    Mutant(
        "a document of a log that was lost is written",
        "project.lua",
        "if not is_behind and (one.version ~= version or one.digest ~= known[4]) then return 0 end",
        "if not known[1] then return 0 end",
    ),
    Mutant(
        "what is handed back counts as a loss",
        "sweep.lua",
        "return lease.losses + (handed_back and 0 or 1)",
        "return lease.losses + 1",
    ),
]
