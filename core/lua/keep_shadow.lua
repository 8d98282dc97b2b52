-- Keep a projection of one workflow that was made anew, beside the live one, until it is switched to.
--
-- Making it again, after whoever made it was killed, replaces it. A workflow that has gone meanwhile
-- gets none: nothing would delete it with the others.
--
-- call: id, name, made (see parts/rebuilding.lua), ttl_ms
-- reply: whether it is kept
if redis.call('EXISTS', workflow_key(call.id, 'meta')) == 0 then return reply(false) end
redis.call('SET', workflow_key(call.id, 'shadow:' .. call.name), cmsgpack.pack(call.made), 'PX', call.ttl_ms)
return reply(true)
