-- Set or lift the limits of a queue; what waited for it may go on.
--
-- call: queue ('*': all queues together), limit, depth (0: none)
-- reply: {limit, depth, running, waiting}
local function set(name, value)
  if value == 0 then redis.call('HDEL', shared_key('queues'), call.queue .. ':' .. name)
  else redis.call('HSET', shared_key('queues'), call.queue .. ':' .. name, value) end
end

set('limit', call.limit)
set('depth', call.depth)
local resource = 'queue:' .. call.queue
unblock(resource, redis.call('SCARD', shared_key('blocked:' .. resource)))
return reply({
  call.limit, call.depth,
  tonumber(redis.call('HGET', shared_key('running'), resource) or 0),
  tonumber(redis.call('HGET', shared_key('waiting'), call.queue) or 0),
})
