-- Record what a step did once, by name; the first record stands.
--
-- Looking and recording are one, so two runs of a body that overlap (a worker that was frozen and
-- its successor) agree on one value. Only the holder of the task may record.
--
-- Of a sleep the time is recorded at which it is over (seconds since 1970). That is by the clock of
-- Redis: the worker that goes on with it may have another one.
--
-- call: id, step, index, token, effect, name (JSON), value (JSON) or seconds (to sleep)
-- reply: {"recorded", value (of the first record), ms of the call} {"lost"}
local log = open_log(call.id)
local lease = log and held(call.id, call.step, call.index, call.token)
if not lease then return reply({ 'lost' }) end
local effects = workflow_key(call.id, 'effects')
local first = redis.call('HGET', effects, call.effect)
if first then return reply({ 'recorded', first, now }) end
local value = call.value or string.format('%.3f', now / 1000 + call.seconds)
append(log, 'effect.recorded', '{"step":"' .. call.step .. '","index":' .. call.index
  .. ',"name":' .. call.name .. ',"value":' .. value
  .. (call.seconds and ',"kind":"sleep"' or '') .. '}', lease.session, lease.version)
redis.call('HSET', effects, call.effect, value)
note(log, 'e')
close_log(log)
return reply({ 'recorded', value, now })
