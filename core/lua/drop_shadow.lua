-- Delete what a rebuild made and never switched to, unless it was made a short while ago.
--
-- call: id, name, kept_ms (TTL with which shadows are made), age_ms (at least), dry (only count)
-- reply: its size in bytes, 0: it stays
local key = workflow_key(call.id, 'shadow:' .. call.name)
local left = redis.call('PTTL', key)
if left == -2 or (left > 0 and call.kept_ms - left < call.age_ms) then return reply(0) end
local bytes = redis.call('MEMORY', 'USAGE', key) or 0
if not call.dry then redis.call('UNLINK', key) end
return reply(bytes)
