-- A step asks for an agent: launched once per name, however often the step body runs.
--
-- Looking whether this task already has an agent of that name and recording the new one are one,
-- so a body that is re-run after a crash finds the agent instead of paying for a second. Only the
-- holder of the task may ask. An agent that failed, or is being stopped, is launched anew: that is a
-- retry.
--
-- call: id, step, index, token, effect, base (job id of the first launch), rest (JSON of the event
--       without step, index and job), [memory (bytes that it asks for)]
-- reply: {"requested", job} {"found", job, kind, data} (kind "" while it runs) {"lost"}
local log = open_log(call.id)
local lease = log and held(call.id, call.step, call.index, call.token)
if not lease then return reply({ 'lost' }) end

local launch = 1
local asked = 'asked:' .. call.step .. ':' .. call.index .. ':' .. call.token .. ':' .. call.effect
local effect = redis.call('HGET', workflow_key(call.id, 'effects'), call.effect)
if effect then
  local n, job, kind, data = string.match(effect, '^(%d+) (%S+) (%S*) ?(.*)$')
  if redis.call('HGET', workflow_key(call.id, 'effects'), asked) == job then
    return reply({ 'found', job, kind, data })  -- the same call, whose reply was lost
  end
  local record = load_job(call.id, job)
  local is_over = kind == 'job.failed' or kind == 'job.cancelled' or (record and record.state == 'stopping')
  if not is_over then return reply({ 'found', job, kind, data }) end
  launch = tonumber(n) + 1
end

local job = launch == 1 and call.base or (call.base .. '~' .. launch)
local record = {
  state = 'queued', step = call.step, index = call.index, effect = call.effect, launch = launch, token = '',
  memory = call.memory,
}
local data = job_json(job, record) .. ',' .. string.sub(call.rest, 2)
record.version = append(log, 'job.requested', data, lease.session, lease.version)
record.requested = record.version
redis.call('HSET', workflow_key(call.id, 'effects'), call.effect, launch .. ' ' .. job .. ' ')
redis.call('HSET', workflow_key(call.id, 'effects'), asked, job)
note(log, 'e')
save_job(call.id, job, record)
offer_job(log, job, record)
close_log(log)
return reply({ 'requested', job })
