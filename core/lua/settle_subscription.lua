-- Say how an event was handled: done, to be tried again, or set aside so that the next ones can go on.
--
-- call: name, workflow, token, word (done, again, back: was not tried, park), delay_ms, reason
-- reply: true, or false when somebody else has the event now
local base = 'sub:' .. call.name .. ':'
local claims, queue = flow_key(base .. 'claims'), flow_key(base .. 'queue:' .. call.workflow)
local claim = redis.call('HGET', claims, call.workflow)
if not claim or string.match(claim, '^(%S+)') ~= call.token then return reply(false) end
if call.word == 'again' or call.word == 'back' then
  local tries = tonumber(string.match(claim, ' (%d+)$')) - (call.word == 'back' and 1 or 0)
  redis.call('HSET', claims, call.workflow, '- ' .. tries)
  redis.call('ZADD', flow_key(base .. 'due'), now + call.delay_ms, call.workflow)
  ring_bell('sub:' .. call.name, 'task', call.name)
  return reply(true)
end
local event = redis.call('LPOP', queue)
if call.word == 'park' then
  redis.call('XADD', flow_key(base .. 'parked'), 'MAXLEN', '~', 10000, '*', 'event', event, 'reason', call.reason)
end
redis.call('HDEL', claims, call.workflow)
if redis.call('EXISTS', queue) == 1 then
  redis.call('ZADD', flow_key(base .. 'due'), now, call.workflow)
  ring_bell('sub:' .. call.name, 'task', call.name)
else
  redis.call('ZREM', flow_key(base .. 'due'), call.workflow)
end
return reply(true)
