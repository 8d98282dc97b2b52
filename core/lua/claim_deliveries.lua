-- Take deliveries that are due, some of each webhook; who takes one has a while to say how it went.
--
-- Taking is a lease: a courier that dies lets others try again when it is over, and its late word finds
-- another claim. A claim whose reply was lost comes again with the same token and gets the same.
--
-- call: token, want, each (that one webhook may have under way), busy {webhook: under way}, lease_ms
-- reply: {[[id, webhook, message, attempts (JSON), round]…], ms until the next is due, -1 for none}
local taken, ids = {}, {}

local function give(webhook, id, record)
  taken[#taken + 1] = { id, webhook, record[1], record[2], tonumber(record[3]) }
  ids[#ids + 1] = id
end

local function take(webhook, most)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', flow_key('due:' .. webhook), '-inf', now, 'LIMIT', 0, most)) do
    local key = flow_key('delivery:' .. id)
    local record = redis.call('HMGET', key, 'message', 'attempts', 'round')
    if record[1] then
      redis.call('HSET', key, 'claim', call.token)
      give(webhook, id, record)
    end
    schedule_delivery(webhook, id, record[1] and now + call.lease_ms)
  end
end

for _, id in ipairs(recall_claim(call.token)) do
  local record = redis.call('HMGET', flow_key('delivery:' .. id), 'message', 'attempts', 'round', 'claim', 'webhook')
  if record[4] == call.token then give(record[5], id, record) end
end
if #ids == 0 then
  for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', flow_key('due'), '-inf', now)) do
    local most = math.min(call.each - (call.busy[webhook] or 0), call.want - #taken)
    if most > 0 then take(webhook, most) end
  end
  note_claim(call.token, call.lease_ms, ids)
end
-- What is due already waits for an attempt that is under way to end.
local next = redis.call('ZRANGEBYSCORE', flow_key('due'), '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return reply({ taken, next[2] and tonumber(next[2]) - now or -1 })
