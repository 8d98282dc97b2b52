-- Send something once more, with all its retries before it.
--
-- call: id, webhook
-- reply: true, or false when there is no such delivery of that webhook
local key = flow_key('delivery:' .. call.id)
if redis.call('HGET', key, 'webhook') ~= call.webhook then return reply(false) end
local attempts = redis.call('HGET', key, 'attempts')
local _, count = string.gsub(attempts, '"at_ms"', '')
redis.call('PERSIST', key)
redis.call('HSET', key, 'state', 'pending', 'round', count)
schedule_delivery(call.webhook, call.id, now)
return reply(true)
