-- Write the documents of one workflow, all of one version.
--
-- Several processes may hold a view of the workflow; a document only ever moves forward. With the
-- last version the keys get the TTL that the end of a workflow gives them.
--
-- call: id, version, status, document, steps [JSON…], jobs {step: [job…]}, created (ms),
--       [log_ttl_ms, state_ttl_ms, logs [job…]] (at the end)
-- reply: true when written
local meta = workflow_key(call.id, 'meta')
local known = redis.call('HMGET', meta, 'v', 'doc_v', 'doc_status')
if not known[1] or tonumber(known[2] or 0) >= call.version then return reply(false) end

redis.call('SET', workflow_key(call.id), call.document)
redis.call('DEL', workflow_key(call.id, 'steps'))
redis.call('RPUSH', workflow_key(call.id, 'steps'), unpack(call.steps))
for step, jobs in pairs(call.jobs) do
  for i = 1, #jobs, 500 do
    redis.call('SADD', workflow_key(call.id, 'step:' .. step .. ':jobs'), unpack(jobs, i, math.min(i + 499, #jobs)))
  end
end
if known[3] ~= call.status then
  if known[3] then redis.call('ZREM', flow_key('workflows:' .. known[3]), call.id) end
  redis.call('ZADD', flow_key('workflows:' .. call.status), call.created, call.id)
end
redis.call('HSET', meta, 'doc_v', call.version, 'doc_status', call.status)

if call.log_ttl_ms then
  redis.call('PEXPIRE', workflow_key(call.id), call.log_ttl_ms)
  for _, part in ipairs({ 'events', 'meta', 'steps', 'commands', 'blobs' }) do
    redis.call('PEXPIRE', workflow_key(call.id, part), call.log_ttl_ms)
  end
  redis.call('PEXPIRE', workflow_key(call.id, 'state'), call.state_ttl_ms)
  for step, _ in pairs(call.jobs) do
    redis.call('PEXPIRE', workflow_key(call.id, 'step:' .. step .. ':jobs'), call.log_ttl_ms)
  end
  for _, job in ipairs(call.logs) do
    redis.call('PEXPIRE', workflow_key(call.id, 'job:' .. job .. ':logs'), call.log_ttl_ms)
  end
end
return reply(true)
