-- A private lane's work is done: delete what it had, unless somebody adopted it meanwhile.
--
-- call: lane, token, sessions [session…]
-- reply: true
local owner = redis.call('HGET', flow_key('owners'), call.lane)
if owner and string.match(owner, ' (.*)$') == call.token then
  redis.call('DEL', flow_key(call.lane .. ':feed'), flow_key(call.lane .. ':jobs'),
    flow_key(call.lane .. ':stocked'), timer_key(call.lane), bells_of(call.lane))
  redis.call('HDEL', flow_key('owners'), call.lane)
end
for _, session in ipairs(call.sessions) do
  if redis.call('EXISTS', flow_key('session:' .. session)) == 0 then
    redis.call('ZREM', flow_key('sessions'), session)
    redis.call('HDEL', flow_key('claims'), session)
    redis.call('HDEL', flow_key('about'), session)
  end
end
return reply(true)
