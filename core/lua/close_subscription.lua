-- Forget a subscription in this partition, with all that waits for it.
--
-- call: name, group
-- reply: true
local base = 'sub:' .. call.name .. ':'
local feed = flow_key('feed')
if redis.call('EXISTS', feed) == 1 then redis.call('XGROUP', 'DESTROY', feed, call.group) end
for _, id in ipairs(redis.call('ZRANGE', flow_key(base .. 'due'), 0, -1)) do
  redis.call('UNLINK', flow_key(base .. 'queue:' .. id))
end
redis.call('DEL', flow_key(base .. 'due'), flow_key(base .. 'claims'), flow_key(base .. 'parked'),
  flow_key('sub:' .. call.name .. ':bell'))
return reply(true)
