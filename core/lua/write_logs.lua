-- Keep an agent's output: bounded, beside the log, so that it outlives the container.
--
-- Lines are numbered by who reads them off the agent, so those whose reply was lost and that come
-- again are kept once. Who begins anew (`after` 0) replaces what is there. Nothing is begun for a job
-- that is not there, since Redis forgot it in a rollback: nothing would ever take that away.
--
-- call: id, job, lines [[ts_ms, stream, text]…], max, after (number of lines passed on before)
-- reply: true
local key = workflow_key(call.id, 'job:' .. call.job .. ':logs')
local is_known = redis.call('HEXISTS', workflow_key(call.id, 'jobs'), call.job) == 1
if not is_known and redis.call('EXISTS', key) == 0 then return reply(true) end
if call.after == 0 then redis.call('DEL', key) end
local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local kept = last and tonumber(last[2][8]) or call.after
for i, line in ipairs(call.lines) do
  if call.after + i > kept then
    redis.call('XADD', key, 'MAXLEN', '~', call.max, '*',
      'ts', line[1], 'stream', line[2], 'text', line[3], 'n', call.after + i)
  end
end
local ttl = redis.call('PTTL', workflow_key(call.id, 'meta'))
if ttl > 0 then redis.call('PEXPIRE', key, ttl) end  -- written after the run ended
return reply(true)
