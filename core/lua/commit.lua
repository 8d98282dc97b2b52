-- An engine's decision: append events, queue tasks, cancel steps, end the workflow.
--
-- Closes the race with whoever took over the lane (its token is no longer in `owners`) and with
-- its own lost reply (`commit` names the last one applied). Workers go on appending between the
-- engine's look and this call: cancelling a step therefore acts on the leases there are now, and
-- the last event is only written when the engine had seen all others.
--
-- call: id, lane, token, commit, by, events [[type, data, cause]…] (cause > 0: version,
--       cause <= 0: minus the position in `events`), queue [{step, limits, cause, args, tasks}…]
--       (tasks: [[index, attempt, item]…], cause as above), cancel [[step,
--       position of the event that says so]…], phase (status from now on, optional),
--       status, version (with the last event)
-- reply: {"appended", version, digest, ts} {"duplicate", version} {"conflict", version, status} {"fenced"}
local log = open_log(call.id)
local owner = redis.call('HGET', flow_key('owners'), call.lane)
if not log or not owner or string.match(owner, ' (.*)$') ~= call.token or log.lane ~= call.lane then
  return reply({ 'fenced' })
end
local meta = workflow_key(call.id, 'meta')
if redis.call('HGET', meta, 'commit') == call.commit then return reply({ 'duplicate', log.version }) end
if ended(log) or (call.version and call.version ~= log.version) then
  return reply({ 'conflict', log.version, log.status })
end

local versions = {}
local function version_of(cause)
  if cause and cause <= 0 then return versions[1 - cause] end
  return cause
end

for position, event in ipairs(call.events) do
  versions[position] = append(log, event[1], event[2], call.by, version_of(event[3]))
end

for _, cancelled in ipairs(call.cancel) do
  local step, position = unpack(cancelled)
  local cause = versions[position + 1]
  count_waiting(limits_of(call.id, step).queue, -redis.call('LLEN', workflow_key(call.id, 'ready:' .. step)))
  redis.call('DEL', workflow_key(call.id, 'ready:' .. step))
  redis.call('SREM', workflow_key(call.id, 'ready'), step)
  local leased = redis.call('HVALS', workflow_key(call.id, 'leased:' .. step))
  for _, value in ipairs(leased) do
    local lease = parse_lease(value)
    append(log, 'task.cancelled', task_json(step, lease.index, lease.attempt) .. '}', call.by, cause)
    release_task(log, step, lease)
  end
  if #leased > 0 then ring_bell(log.lane, 'cancel', call.id, step) end
  stop_jobs(log, function(record) return record.step == step end, call.by)
end

local function queue_batch(batch)
  local cause = version_of(batch.cause)
  local entries = {}
  redis.call('HSET', workflow_key(call.id, 'limits'), batch.step, batch.limits)
  for i, task in ipairs(batch.tasks) do
    entries[i] = '[' .. task[1] .. ',' .. task[2] .. ',0,' .. cause .. ',' .. task[3] .. ']'
    if batch.delay_ms > 0 then
      set_timer(log, 'retry|' .. batch.step .. '|' .. task[1], batch.delay_ms, entries[i])
    end
  end
  if batch.delay_ms == 0 then make_ready(log, batch.step, entries) end
  if batch.patience_ms > 0 then
    local first, last = batch.tasks[1], batch.tasks[#batch.tasks]
    set_timer(log, 'queue|' .. batch.step .. '|' .. first[1] .. '|' .. last[1] .. '|' .. first[2],
      batch.delay_ms + batch.patience_ms, '')
  end
  if batch.args then redis.call('HSET', workflow_key(call.id, 'args'), batch.step, batch.args) end
end

for _, batch in ipairs(call.queue) do queue_batch(batch) end
if #call.queue > 0 then
  join_ring(log)
  ring_bell(log.lane, 'task', call.id)
end

if #call.cancel > 0 then drop_timers(log) end

redis.call('HSET', meta, 'commit', call.commit)
-- A cancellation that the engine had yet to see stays one.
if call.phase and log.status ~= 'cancelling' then redis.call('HSET', meta, 'status', call.phase) end
if call.status then
  redis.call('HSET', meta, 'status', call.status)
  redis.call('SREM', flow_key('active'), call.id)
  drop_timers(log)
  redis.call('ZREM', flow_key(log.lane .. ':ring:' .. log.name), call.id)
  redis.call('DEL', workflow_key(call.id, 'held_jobs'), workflow_key(call.id, 'args'), workflow_key(call.id, 'limits'),
    workflow_key(call.id, 'effects'))
end
close_log(log)
return reply({ 'appended', log.version, log.digest, now })
