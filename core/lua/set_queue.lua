-- Set or lift the limits of a queue; what waited for it may go on.
--
-- call: queue ('*': all queues together), limit, depth (0: none; left out: as it is)
-- reply: {limit, depth, running, waiting}
local function set(name, value)
  local field = call.queue .. ':' .. name
  if value == 0 then redis.call('HDEL', shared_key('queues'), field)
  elseif value then redis.call('HSET', shared_key('queues'), field, value) end
  return tonumber(redis.call('HGET', shared_key('queues'), field) or 0)
end

local limit, depth = set('limit', call.limit), set('depth', call.depth)
local resource = 'queue:' .. call.queue
unblock(resource, redis.call('SCARD', shared_key('blocked:' .. resource)))
return reply({
  limit, depth,
  tonumber(redis.call('HGET', shared_key('running'), resource) or 0),
  tonumber(redis.call('HGET', shared_key('waiting'), call.queue) or 0),
})
