-- Record how tasks of one step ended; the caller closes the log.
--
-- Only who holds the claim may settle it, once: a worker that woke up after its lease had expired
-- finds another token, or none, and is refused. Settling and giving back the slot are one, and
-- agents that the task left running are stopped in the same step.

-- The version of `task.started` in a lease, when the token holds it.
local function started_version(value, token)
  if not value or string.find(value, token, 1, true) ~= 1 then return nil end
  return string.match(value, '^ (%d+)', #token + 1)
end

-- Forget the numbers of the writes that the tasks made.
local function forget_writes(id, step, indexes)
  local effects = workflow_key(id, 'effects')
  for i, index in ipairs(indexes) do indexes[i] = 'write:' .. step .. ':' .. index end
  for i = 1, #indexes, 500 do
    redis.call('HDEL', effects, unpack(indexes, i, math.min(i + 499, #indexes)))
  end
end

-- A workflow that its own limits kept off the ring has its turn again.
local function let_others_in(log, limits)
  if limits.max + limits.all + limits.key_max == 0 or log.status ~= 'running' then return end
  if redis.call('EXISTS', workflow_key(log.id, 'ready')) == 1 then
    join_ring(log)
    log.has_work = true
  end
end

-- results: [[index, token, type, data]…]; `refused` gets those that came too late.
local function settle_tasks(log, step, results, by, refused)
  local indexes, settled = {}, {}
  for i, result in ipairs(results) do indexes[i] = result[1] end
  local leased = leased_key(log.id, step)
  local leases = redis.call('HMGET', leased, unpack(indexes))
  indexes = {}
  for i, result in ipairs(results) do
    local index, token, kind, data = unpack(result)
    local cause = not settled[index] and started_version(leases[i], token)
    if cause then
      settled[index] = true
      indexes[#indexes + 1] = index
      append(log, kind, data, by, cause)
    else
      refused[#refused + 1] = { log.id, step, index }
    end
  end
  if #indexes == 0 then return end
  redis.call('HDEL', leased, unpack(indexes))
  let_others_in(log, free_slots(log, step, by, #indexes))
  if may_have(log, 'e') then
    stop_jobs(log, function(record) return record.step == step and settled[record.index] end, by)
    forget_writes(log.id, step, indexes)
  end
end
