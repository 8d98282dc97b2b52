-- Write the documents of workflows, those of each all of one version.
--
-- Several processes may hold a view of a workflow; a document only ever moves forward. With the
-- last version the keys get the TTL that the end of a workflow gives them.
--
-- call: workflows [{id, version, status, document, steps [JSON…], jobs {step: [job…]}, created (ms),
--       [log_ttl_ms, state_ttl_ms, logs [job…]] (at the end)}…]
-- reply: number of workflows that were written

local function add_jobs(id, step, jobs)
  local key = workflow_key(id, 'step:' .. step .. ':jobs')
  for i = 1, #jobs, 500 do redis.call('SADD', key, unpack(jobs, i, math.min(i + 499, #jobs))) end
end

local function list(one, known_status)
  if known_status == one.status then return end
  if known_status then redis.call('ZREM', flow_key('workflows:' .. known_status), one.id) end
  redis.call('ZADD', flow_key('workflows:' .. one.status), one.created, one.id)
end

local function let_expire(one)
  redis.call('PEXPIRE', workflow_key(one.id), one.log_ttl_ms)
  for _, part in ipairs({ 'events', 'meta', 'steps', 'commands', 'blobs', 'forks' }) do
    redis.call('PEXPIRE', workflow_key(one.id, part), one.log_ttl_ms)
  end
  redis.call('PEXPIRE', workflow_key(one.id, 'state'), one.state_ttl_ms)
  for step, _ in pairs(one.jobs) do
    redis.call('PEXPIRE', workflow_key(one.id, 'step:' .. step .. ':jobs'), one.log_ttl_ms)
  end
  for _, job in ipairs(one.logs) do
    redis.call('PEXPIRE', workflow_key(one.id, 'job:' .. job .. ':logs'), one.log_ttl_ms)
  end
end

local function write(one)
  local meta = workflow_key(one.id, 'meta')
  local known = redis.call('HMGET', meta, 'v', 'doc_v', 'doc_status')
  if not known[1] or tonumber(known[2] or 0) >= one.version then return 0 end
  redis.call('SET', workflow_key(one.id), one.document)
  redis.call('DEL', workflow_key(one.id, 'steps'))
  redis.call('RPUSH', workflow_key(one.id, 'steps'), unpack(one.steps))
  for step, jobs in pairs(one.jobs) do add_jobs(one.id, step, jobs) end
  list(one, known[3])
  redis.call('HSET', meta, 'doc_v', one.version, 'doc_status', one.status)
  if one.log_ttl_ms then let_expire(one) end
  return 1
end

local written = 0
for _, one in ipairs(call.workflows) do written = written + write(one) end
return reply(written)
