-- Deliveries to make, by webhook and time, so that a receiver that is slow holds up no other.

-- Have a delivery made at a time (ms), or no more.
local function schedule_delivery(webhook, id, at)
  local own, all = flow_key('due:' .. webhook), flow_key('due')
  if at then redis.call('ZADD', own, at, id) else redis.call('ZREM', own, id) end
  local first = redis.call('ZRANGE', own, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', all, first[2], webhook) else redis.call('ZREM', all, webhook) end
end
