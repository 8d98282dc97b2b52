-- Take deliveries that are due; who takes one has a while to say how it went.
--
-- Taking is a lease: a courier that dies lets others try again when it is over, and its late word finds
-- another claim.
--
-- call: token, want, lease_ms
-- reply: {[[id, webhook, message, attempts (JSON), round]…], ms until the next is due, -1 for none}
local due = flow_key('due')
local taken = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, call.want)) do
  local key = flow_key('delivery:' .. id)
  local record = redis.call('HMGET', key, 'webhook', 'message', 'attempts', 'round')
  if record[1] then
    redis.call('HSET', key, 'claim', call.token)
    redis.call('ZADD', due, now + call.lease_ms, id)
    taken[#taken + 1] = { id, record[1], record[2], record[3], tonumber(record[4]) }
  else
    redis.call('ZREM', due, id)
  end
end
local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return reply({ taken, next[2] and math.max(0, tonumber(next[2]) - now) or -1 })
