"""Known bugs, which the simulator has to find. Each is a guard or a step taken out."""

from __future__ import annotations

from .planting import Mutant

MUTANTS = [
    Mutant(
        "an engine that lost its lane goes on committing",
        "commit.lua",
        "local owns = owns_lane(call.lane, call.token)",
        "local owns = true",
    ),
    Mutant(
        "a commit that comes again is made again",
        "parts/committing.lua",
        "if log.commit == decision.commit then",
        "if false then",
    ),
    Mutant(
        "a hop commits on a log that it does not know",
        "turn.lua",
        "elseif not decision.fits or log.version ~= decision.seen[1] + decision.settled then",
        "elseif false then",
    ),
    Mutant(
        "whoever settles a task needs no claim of it",
        "parts/settling.lua",
        "if not value or string.sub(value, 1, #token + 1) ~= token .. ' ' then return nil end\n"
        "  return string.match(value, '^%d+', #token + 2)",
        "if not value then return nil end\n  return string.match(value, '^%S+ (%d+)')",
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
        "a timer is noted and never due",
        "parts/timers.lua",
        "redis.call('ZADD', timer_key(log.lane), due, log.id .. '|' .. name)",
        "",
    ),
    Mutant(
        "agents held back in a pause are forgotten",
        "append.lua",
        "redis.call('RPUSH', flow_key(log.lane .. ':jobs'), job)",
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
        "agents that ran on one host are offered to all",
        "parts/jobs.lua",
        "redis.call('RPUSH', job_list(log.lane, record.host), log.id .. ' ' .. job)",
        "redis.call('RPUSH', job_list(log.lane), log.id .. ' ' .. job)",
    ),
    Mutant(
        "an agent that a task has already is launched again",
        "request_job.lua",
        "if effect then\n",
        "if false then\n",
    ),
    Mutant(
        "a step completes when all but one of its tasks have",
        "reactors.scheduler:_Progress._look_after",
        "elif step.completed + len(given_up) == step.total:",
        "elif step.completed + len(given_up) >= max(1, step.total - 1):",
    ),
    Mutant(
        "a task that failed is not tried again when others failed with it",
        "reactors.scheduler:_Progress._look_after",
        "if not self._retry(spec, step, index)]",
        "if self.decision.queue or not self._retry(spec, step, index)]",
    ),
    Mutant(
        "documents of a run that has ended are not written",
        "reactors.engine:Engine._end",
        "await self._projector.write(last)\n    if scope",
        "pass\n    if scope",
    ),
    Mutant(
        "what has ended stays so, whatever Redis lost",
        "reactors.engine:Engine._look_again",
        "self._ended.clear()",
        "pass",
    ),
    Mutant(
        "a value that was recorded is made again",
        "sdk.task:Task.once",
        "if known is not None:",
        "if False:",
    ),
    Mutant(
        "a worker keeps what Redis says it has",
        "sdk.worker:Worker._compare",
        "await self._session.hand_back_others(kept)",
        "pass",
    ),
    Mutant(
        "a body waits for an agent that is not there any more",
        "sdk.task:Task.outcome",
        "self.lose()",
        "settled = ('', '', '')",
    ),
    Mutant(
        "a launcher keeps what Redis says it has",
        "reactors.launcher:Launcher._compare",
        "await self._session.hand_back_others",
        "list",
    ),
    Mutant(
        "containers that a dead launcher left are not removed",
        "reactors.leftovers:remove_ended",
        "await runtime.remove(launch)",
        "pass",
    ),
]
