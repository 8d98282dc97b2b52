-- Record how an attempt to deliver went, and what follows: another one, or the end.
--
-- call: id, token, attempt (JSON, '' for none), state (pending, delivered, failed), delay_ms, keep_ms
-- reply: true, or false when somebody else has claimed it since
local key = flow_key('delivery:' .. call.id)
local record = redis.call('HMGET', key, 'claim', 'attempts', 'webhook')
if record[1] ~= call.token then return reply(false) end
local inside = string.sub(record[2], 2, -2)
if call.attempt ~= '' then inside = inside .. (inside == '' and '' or ',') .. call.attempt end
redis.call('HDEL', key, 'claim')
redis.call('HSET', key, 'attempts', '[' .. inside .. ']', 'state', call.state)
local is_over = call.state ~= 'pending'
schedule_delivery(record[3], call.id, not is_over and now + call.delay_ms)
if is_over then redis.call('PEXPIRE', key, call.keep_ms) end
return reply(true)
