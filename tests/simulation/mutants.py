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
        "the engine of a turn need not own the lane",
        "turn.lua",
        "#decisions > 0 and owns_lane(call.lane, call.engine.token)",
        "#decisions > 0",
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
        "the last event of a run is written on what the engine has not seen",
        "parts/committing.lua",
        "if ended(log) or (decision.version and decision.version ~= log.version) then",
        "if ended(log) then",
    ),
    Mutant(
        "whoever settles a task needs no claim of it",
        "parts/settling.lua",
        "if not value or string.sub(value, 1, #token + 1) ~= token .. ' ' then return nil end\n"
        "  return string.match(value, '^%d+', #token + 2)",
        "if not value then return nil end\n  return string.match(value, '^%S+ (%d+)')",
    ),
    Mutant(
        "effects need no claim of the task",
        "parts/leases.lua",
        "return lease.token == token and lease or nil",
        "return lease",
    ),
    Mutant(
        "whoever settles an agent needs no claim of it",
        "settle_job.lua",
        "if not record or record.token ~= call.token then",
        "if not record then",
    ),
    Mutant(
        "a claim of tasks whose reply was lost is made anew",
        "parts/claiming.lua",
        "if redis.call('HGET', flow_key('claims'), call.session) == claim.token then",
        "if false then",
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
        "a change of state that comes again is made again",
        "state.lua",
        "if last[1] == call.token and last[2] == call.write then",
        "if false then",
    ),
    Mutant(
        "a timer is noted and never due",
        "parts/timers.lua",
        "redis.call('ZADD', timer_key(log.lane), due, log.id .. '|' .. name)",
        "",
    ),
    Mutant(
        "timers do not run on after a pause",
        "append.lua",
        "resume_timers(log)\n",
        "\n",
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
        "agents of a paused workflow are launched",
        "claim_jobs.lua",
        "if log and log.status == 'paused' then",
        "if false then",
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
        "an engine that lost its lane moves its position on",
        "acknowledge.lua",
        "string.match(owner, ' (.*)$') ~= call.token",
        "false",
    ),
    Mutant(
        "an older document replaces a newer one",
        "project.lua",
        "tonumber(known[2] or 0) >= one.version",
        "false",
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
        "the position is noted before what was read is dealt with",
        "reactors.lane:Lane.batches",
        "                if found:\n",
        "                if found:\n"
        "                    await self._acknowledge(found[-1][0].decode())\n",
    ),
    Mutant(
        "documents of a run that has ended are not written",
        "reactors.engine:Engine._end",
        "await self._projector.write(last)\n    if scope",
        "pass\n    if scope",
    ),
    Mutant(
        "after Redis was away only what is in memory is looked at",
        "reactors.engine:Engine._look_again",
        "    await self._take_stock()",
        "    pass",
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
        "a container is removed before its end is recorded",
        "reactors.launcher:Launcher._carry_out",
        "    if await self._record_outcome(launch, token, outcome):\n",
        "    await runtime.remove(launch)\n"
        "    if await self._record_outcome(launch, token, outcome):\n",
    ),
    Mutant(
        "containers that a dead launcher left are not removed",
        "reactors.leftovers:remove_ended",
        "await runtime.remove(launch)",
        "pass",
    ),
    Mutant(
        "a launcher does not ask whether an agent may begin",
        "core.log:EventLog.may_begin",
        'return bool(record["token"] == token and record["state"] != "stopping")',
        "return True",
    ),
    Mutant(
        "a task whose claim was lost goes on as if it had it",
        "sdk.task:Task.lose",
        "raise ClaimLost(self._lost_text)",
        "pass",
    ),
]
