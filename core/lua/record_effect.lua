-- Record what a step did once, by name; the first record stands.
--
-- Looking and recording are one, so two runs of a body that overlap (a worker that was frozen and
-- its successor) agree on one value. Only the holder of the task may record.
--
-- call: id, step, index, token, effect, name (JSON), value (JSON), kind (optional)
-- reply: {"recorded", value} (of the first record) {"lost"}
local log = open_log(call.id)
local lease = log and held(call.id, call.step, call.index, call.token)
if not lease then return reply({ 'lost' }) end
local effects = workflow_key(call.id, 'effects')
local first = redis.call('HGET', effects, call.effect)
if first then return reply({ 'recorded', first }) end
append(log, 'effect.recorded', '{"step":"' .. call.step .. '","index":' .. call.index
  .. ',"name":' .. call.name .. ',"value":' .. call.value
  .. (call.kind and ',"kind":"' .. call.kind .. '"' or '') .. '}', lease.session, lease.version)
redis.call('HSET', effects, call.effect, call.value)
close_log(log)
return reply({ 'recorded', call.value })
