-- Take back parked events of a subscription: to be handled once more, or to be dropped.
--
-- call: name, ids [id of a parked one…], drop
-- reply: how many there were
local base = 'sub:' .. call.name .. ':'
local parked, count = flow_key(base .. 'parked'), 0
for _, id in ipairs(call.ids) do
  local entry = redis.call('XRANGE', parked, id, id)[1]
  if entry then
    count = count + 1
    if not call.drop then
      local workflow = string.match(entry[2][2], '"partitionkey":"([^"]+)"')
      redis.call('LPUSH', flow_key(base .. 'queue:' .. workflow), entry[2][2])
      redis.call('ZADD', flow_key(base .. 'due'), 'NX', now, workflow)
    end
    redis.call('XDEL', parked, id)
  end
end
if count > 0 then ring_bell('sub:' .. call.name, 'task', call.name) end
return reply(count)
