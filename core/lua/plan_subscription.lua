-- Hand the next entries of the feed to a subscription, and move past them.
--
-- Handing over and moving are one, and only from where the reader was: of several readers one moves, and
-- one that dies in between has handed over nothing. Each workflow has a queue of its own, so that its
-- events stay in order while those of others go on.
--
-- call: name, group, from, to (ids of entries), messages [[workflow, event (JSON)]…]
-- reply: true, or false when the group is elsewhere
local feed = flow_key('feed')
if not is_at(feed, call.group, call.from) then return reply(false) end

local base = 'sub:' .. call.name .. ':'
for _, message in ipairs(call.messages) do
  redis.call('RPUSH', flow_key(base .. 'queue:' .. message[1]), message[2])
  redis.call('ZADD', flow_key(base .. 'due'), 'NX', now, message[1])
end
redis.call('XGROUP', 'SETID', feed, call.group, call.to)
if #call.messages > 0 then ring_bell('sub:' .. call.name, 'task', call.name) end
return reply(true)
