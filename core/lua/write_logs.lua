-- Keep an agent's output: bounded, beside the log, so that it outlives the container.
--
-- call: id, job, lines [[ts_ms, stream, text]…], max, [first] (true: drop what is there)
-- reply: true
local key = workflow_key(call.id, 'job:' .. call.job .. ':logs')
if call.first then redis.call('DEL', key) end
for _, line in ipairs(call.lines) do
  redis.call('XADD', key, 'MAXLEN', '~', call.max, '*', 'ts', line[1], 'stream', line[2], 'text', line[3])
end
return reply(true)
