-- Take the first events of workflows that nobody works on, one per workflow.
--
-- Taking is a lease: of a reader that dies another one gets the event again when it is over. While one
-- event of a workflow is out no later one is given, so each workflow's are handled in order.
--
-- call: name, token, want, lease_ms
-- reply: {[[workflow, event, tries before]…], ms until the next is due, -1 for none}
local base = 'sub:' .. call.name .. ':'
local due, taken = flow_key(base .. 'due'), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, call.want)) do
  local event = redis.call('LINDEX', flow_key(base .. 'queue:' .. id), 0)
  if event then
    local claim = redis.call('HGET', flow_key(base .. 'claims'), id)
    local tries = tonumber(string.match(claim or '', ' (%d+)$') or 0)
    redis.call('HSET', flow_key(base .. 'claims'), id, call.token .. ' ' .. (tries + 1))
    redis.call('ZADD', due, now + call.lease_ms, id)
    taken[#taken + 1] = { id, event, tries }
  else
    redis.call('ZREM', due, id)
  end
end
local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return reply({ taken, next[2] and math.max(0, tonumber(next[2]) - now) or -1 })
