-- Apply an engine's decision on one workflow: append events, queue tasks, cancel steps, end it.
--
-- Closes the race with whoever took over the lane (its token is no longer in `owners`) and with
-- its own lost reply (`commit` names the last one applied). Workers go on appending between the
-- engine's look and this call: cancelling a step therefore acts on the leases there are now, and
-- the last event is only written when the engine had seen all others.
--
-- decision: id, commit, events [[type, data, cause]…] (cause > 0: version, cause <= 0: minus the
--       position in `events`), [queue [{step, limits, cause, tasks [[index, attempt, item]…], [args],
--       [delay_ms], [patience_ms]}…]] (cause as above), [cancel [[step, position of the event that says
--       so]…]], [phase (status from now on)], [status], [version (with the last event)], [is_whole
--       (the engine has nothing more to decide on what it knows)]
-- returns {"appended", version, digest, ts} {"duplicate", version} {"conflict", version, status} {"fenced"}

local function owns_lane(lane, token)
  local owner = redis.call('HGET', flow_key('owners'), lane)
  return owner and token ~= '' and string.match(owner, ' (.*)$') == token
end

local function cancel_step(log, step, by, cause)
  local ready = workflow_key(log.id, 'ready:' .. step)
  count_waiting(bare_limits_of(log, step).queue, -redis.call('LLEN', ready))
  redis.call('DEL', ready)
  redis.call('SREM', workflow_key(log.id, 'ready'), step)
  local leased = redis.call('HVALS', leased_key(log.id, step))
  for _, value in ipairs(leased) do
    local lease = parse_lease(value)
    append(log, 'task.cancelled', task_json(step, lease.index, lease.attempt) .. '}', by, cause)
    release_task(log, step, lease)
  end
  if #leased > 0 then ring_bell(log.lane, 'cancel', log.id, step) end
  stop_jobs(log, function(record) return record.step == step end, by)
end

-- `claim` is that of a worker that may have the tasks at once.
local function queue_batch(log, batch, cause, claim)
  local entries = {}
  local limits, delay_ms = workflow_key(log.id, 'limits'), batch.delay_ms or 0
  if batch.limits ~= NO_LIMITS then
    note(log, 'l')
    redis.call('HSET', limits, batch.step, batch.limits)
  end
  if batch.args and batch.args ~= '{}' then
    note(log, 'a')
    redis.call('HSET', limits, 'args:' .. batch.step, batch.args)
  end
  if #batch.tasks == 0 then return end  -- a fork has their results already
  for i, task in ipairs(batch.tasks) do
    entries[i] = string.format('[%d,%d,0,%d,', task[1], task[2], cause) .. task[3] .. ']'
    if delay_ms > 0 then
      set_timer(log, 'retry|' .. batch.step .. '|' .. task[1], delay_ms, entries[i])
    end
  end
  if delay_ms == 0 and not (claim and start_directly(log, batch, entries, claim)) then
    make_ready(log, batch.step, string.match(batch.limits, '^%d+|([^|]*)'), entries)
    join_ring(log)
    log.has_work = true
  end
  if batch.patience_ms then
    local first, last = batch.tasks[1], batch.tasks[#batch.tasks]
    set_timer(log, 'queue|' .. batch.step .. '|' .. first[1] .. '|' .. last[1] .. '|' .. first[2],
      delay_ms + batch.patience_ms, '')
  end
end

local function end_workflow(log, status)
  log.status = status
  set_meta(log, 'status', status)
  redis.call('XADD', flow_key('ended'), 'MAXLEN', '~', 1000, '*', 'w', log.id, 'status', status)
  redis.call('SREM', flow_key('active'), log.id)
  drop_timers(log)
  if redis.call('ZREM', ring_key(log.lane, log.name), log.id) == 1 then pass_turn_on() end
  redis.call('DEL', workflow_key(log.id, 'held_jobs'), workflow_key(log.id, 'limits'),
    workflow_key(log.id, 'effects'))
end

-- `claim` (optional) is that of a worker whose turn it is, while nobody else waits for one.
local function commit_decision(log, decision, by, claim)
  if log.commit == decision.commit then return { 'duplicate', log.version } end
  if ended(log) or (decision.version and decision.version ~= log.version) then
    return { 'conflict', log.version, log.status }
  end
  local versions = {}
  local function version_of(cause)
    if cause and cause <= 0 then return versions[1 - cause] end
    return cause
  end
  for position, event in ipairs(decision.events) do
    versions[position] = append(log, event[1], event[2], by, version_of(event[3]))
  end
  for _, cancelled in ipairs(decision.cancel or {}) do
    cancel_step(log, cancelled[1], by, versions[cancelled[2] + 1])
  end
  for _, batch in ipairs(decision.queue or {}) do queue_batch(log, batch, version_of(batch.cause), claim) end
  if decision.cancel then drop_timers(log) end
  log.commit = decision.commit
  set_meta(log, 'commit', decision.commit)
  -- A cancellation that the engine had yet to see stays one.
  if decision.phase and log.status ~= 'cancelling' then
    log.status = decision.phase
    set_meta(log, 'status', decision.phase)
  end
  if decision.status then end_workflow(log, decision.status) end
  log.is_known = decision.is_whole
  return { 'appended', log.version, log.digest, now }
end
