-- A worker records how tasks ended, many per call.
--
-- Only who holds the claim may settle it, once: a worker that woke up after its lease had expired
-- finds another token, or none, and is refused. Settling and giving back the slot are one, and
-- agents that the task left running are stopped in the same step.
--
-- call: session, groups [[workflow, step, [[index, token, type, data]…]]…]
-- reply: [[workflow, step, index]…] of what was refused
local refused = {}

local function settle(log, step, result)
  local index, token, kind, data = unpack(result)
  local lease = held(log.id, step, index, token)
  if not lease then
    refused[#refused + 1] = { log.id, step, index }
    return false
  end
  append(log, kind, data, call.session, lease.version)
  redis.call('HDEL', workflow_key(log.id, 'leased:' .. step), index)
  redis.call('HDEL', workflow_key(log.id, 'effects'), 'write:' .. step .. ':' .. index)
  return true
end

for _, group in ipairs(call.groups) do
  local id, step, results = unpack(group)
  local log = open_log(id)
  if log then
    local has_jobs = redis.call('EXISTS', workflow_key(id, 'jobs')) == 1
    local settled, count = {}, 0
    for _, result in ipairs(results) do
      if settle(log, step, result) then
        settled[result[1]] = true
        count = count + 1
      end
    end
    if count > 0 then free_slots(log, step, call.session, count) end
    if has_jobs then
      stop_jobs(log, function(record)
        return record.step == step and settled[record.index]
      end, call.session)
    end
    close_log(log)
    if redis.call('EXISTS', workflow_key(id, 'ready')) == 1 and log.status == 'running' then
      join_ring(log)
      ring_bell(log.lane, 'task', id)
    end
  else
    for _, result in ipairs(results) do refused[#refused + 1] = { id, step, result[1] } end
  end
end
return reply(refused)
