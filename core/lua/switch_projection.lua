-- Put the projection that was made anew in the place of the live one, and keep that for going back.
--
-- Live writers go on while one is made. Looking at what is live now and replacing it are one, so
-- nothing that they wrote since is lost: what they have left behind is dropped ("newer"), or has to be
-- made again ("moved").
--
-- call: id, name, ttl_ms (of what is kept)
-- reply: "switched" "newer" "moved" "missing"
local shadow = workflow_key(call.id, 'shadow:' .. call.name)
local packed = redis.call('GET', shadow)
local log = open_log(call.id)
if not packed or not log then return reply('missing') end
local made = cmsgpack.unpack(packed)
local word = FOLLOWS[call.name](log, made)
if word == '' then
  local former = { was = READ[call.name](log, made), version = made.version, digest = made.digest }
  redis.call('SET', workflow_key(call.id, 'former:' .. call.name), cmsgpack.pack(former), 'PX', call.ttl_ms)
  WRITE[call.name](log, made)
  word = 'switched'
end
redis.call('DEL', shadow)
return reply(word)
