-- Go back to the projection that was live before the last switch, unless a newer one is there.
--
-- call: id, name
-- reply: "restored" "newer" "missing"
local former = workflow_key(call.id, 'former:' .. call.name)
local packed = redis.call('GET', former)
local log = open_log(call.id)
if not packed or not log then return reply('missing') end
local kept = cmsgpack.unpack(packed)
local live = READ[call.name](log, kept.was)
if live.version ~= kept.version then return reply('newer') end
WRITE[call.name](log, kept.was)
redis.call('DEL', former)
return reply('restored')
