-- Take the first events of workflows that nobody works on, one per workflow.
--
-- Taking is a lease: of a reader that dies another one gets the event again when it is over. While one
-- event of a workflow is out no later one is given, so each workflow's are handled in order. A claim
-- whose reply was lost comes again with the same token and gets the same.
--
-- call: name, token, want, lease_ms
-- reply: {[[workflow, event, tries before]…], ms until the next is due, -1 for none}
local base = 'sub:' .. call.name .. ':'
local due, claims = flow_key(base .. 'due'), flow_key(base .. 'claims')
local taken, ids = {}, {}

local function first_of(id) return redis.call('LINDEX', flow_key(base .. 'queue:' .. id), 0) end

local function give(id, event, tries)
  taken[#taken + 1] = { id, event, tries }
  ids[#ids + 1] = id
end

for _, id in ipairs(recall_claim(call.token)) do
  local token, tries = string.match(redis.call('HGET', claims, id) or '', '^(%S+) (%d+)$')
  if token == call.token then give(id, first_of(id), tries - 1) end
end
if #ids == 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, call.want)) do
    local event = first_of(id)
    if event then
      local tries = tonumber(string.match(redis.call('HGET', claims, id) or '', ' (%d+)$') or 0)
      redis.call('HSET', claims, id, call.token .. ' ' .. (tries + 1))
      redis.call('ZADD', due, now + call.lease_ms, id)
      give(id, event, tries)
    else
      redis.call('ZREM', due, id)
    end
  end
  note_claim(call.token, call.lease_ms, ids)
end
local next = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
return reply({ taken, next[2] and math.max(0, tonumber(next[2]) - now) or -1 })
