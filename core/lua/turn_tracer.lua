-- A turn of who exports traces: hold or take the role, move past what was exported, say where to go on.
--
-- Checking that nobody else has the role, keeping it and moving are one, so two tracers never export the
-- same at a time, and one that was frozen moves nothing any more. The group is made with the first turn;
-- a day after the last one it is deleted (tend_feeds.lua), so that nobody's feed grows for no reader.
--
-- call: group, token, lease_ms, kept_ms, [from, to (ids of entries)]
-- reply: position (id of the last entry that was exported), or false while somebody else has the role
local owner = redis.call('GET', flow_key('tracer'))
if owner and owner ~= call.token then return reply(false) end
redis.call('SET', flow_key('tracer'), call.token, 'PX', call.lease_ms)
redis.call('SET', flow_key('traced'), call.group, 'PX', call.kept_ms)
local feed = flow_key('feed')
open_group(feed, call.group)
if call.to and is_at(feed, call.group, call.from) then
  redis.call('XGROUP', 'SETID', feed, call.group, call.to)
end
for _, group in ipairs(groups_of(feed)) do
  if group.name == call.group then return reply(group['last-delivered-id']) end
end
