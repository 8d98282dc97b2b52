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

-- Most turns write nothing, for a Redis that syncs each write would hold up all others for it.
local function keep(key, value, ms)
  local left = redis.call('PTTL', key)
  if left < 0.8 * ms or left > ms then redis.call('SET', key, value, 'PX', ms) end
end

keep(flow_key('tracer'), call.token, call.lease_ms)
keep(flow_key('traced'), call.group, call.kept_ms)
local feed = flow_key('feed')
open_group(feed, call.group)
if call.to and is_at(feed, call.group, call.from) then
  redis.call('XGROUP', 'SETID', feed, call.group, call.to)
end
for _, group in ipairs(groups_of(feed)) do
  if group.name == call.group then return reply(group['last-delivered-id']) end
end
