-- An engine is done with the feed up to an entry: its group's position moves there.
--
-- An engine that lost its lane must not move the position past entries that its successor has yet
-- to see, so the token is checked in the same call. A private feed has one reader and is cut
-- behind it.
--
-- call: lane, token, feed, group, id
-- reply: true, or false when the lane has another owner
local owner = redis.call('HGET', flow_key('owners'), call.lane)
if not owner or string.match(owner, ' (.*)$') ~= call.token then return reply(false) end
if redis.call('EXISTS', call.feed) == 0 then return reply(false) end
redis.call('XGROUP', 'SETID', call.feed, call.group, call.id)
if call.lane ~= SHARED then redis.call('XTRIM', call.feed, 'MINID', '~', call.id) end
return reply(true)
