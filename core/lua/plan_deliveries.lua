-- Plan what the next entries of the feed are to be sent to webhooks, and move past them.
--
-- Planning and moving are one, and only from where the planner read: of several planners one moves, and
-- one that dies in between has planned nothing. A delivery is named after its event and its webhook, so
-- planning it twice makes one.
--
-- call: group, from, to (ids of entries), deliveries [[id, webhook, message (JSON)]…], kept (per webhook)
-- reply: true, or false when the group is elsewhere
local feed = flow_key('feed')
if not is_at(feed, call.group, call.from) then return reply(false) end

for _, delivery in ipairs(call.deliveries) do
  local id, webhook, message = delivery[1], delivery[2], delivery[3]
  local key = flow_key('delivery:' .. id)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 'webhook', webhook, 'message', message, 'state', 'pending', 'attempts', '[]',
      'made', now, 'round', 0)
    schedule_delivery(webhook, id, now)
    redis.call('ZADD', flow_key('sent:' .. webhook), now, id)
    redis.call('ZREMRANGEBYRANK', flow_key('sent:' .. webhook), 0, -call.kept - 1)
  end
end
redis.call('XGROUP', 'SETID', feed, call.group, call.to)
return reply(true)
