-- Change state: all changes of a call or none, with the event that says so.
--
-- Reading, computing and writing are one, so parallel tasks never lose an update. A task's write
-- is refused once it lost its claim; `write` numbers its writes, so that one whose reply was lost
-- can be asked for again and counts once. `key` does the same for anybody else.
--
-- The event of a large value names its digest; the value is kept beside the log by the same call.
--
-- call: id, by, changes [{op, key, value (JSON), by (number), event (JSON of a set or append), digest (of a
--       value that is not in its event)}…], [limit (bytes that a list may grow to)],
--       [step, index, token, write], [key], [version (expected)]
-- reply: {"appended", values} (JSON of the sum of each incr, false for the others) {"lost"} {"missing"}
--        {"ended", status} {"conflict", version, status} {"refused", key, problem}
local log = open_log(call.id)
if not log then return reply({ 'missing' }) end
if log.lane == IMPORTED then return reply({ 'ended', IMPORTED }) end
if ended(log) then return reply({ 'ended', log.status }) end
local lease = nil
local effect = nil
if call.step then
  lease = held(call.id, call.step, call.index, call.token)
  if not lease then return reply({ 'lost' }) end
  effect = 'write:' .. call.step .. ':' .. call.index
elseif call.key then
  effect = 'write:' .. call.key
  call.token, call.write = call.by, 1
end
local last = effect and redis.call('HGET', workflow_key(call.id, 'effects'), effect)
if last then
  last = cmsgpack.unpack(last)
  if last[1] == call.token and last[2] == call.write then return reply({ 'appended', last[3] }) end
end

if call.version and call.version ~= log.version then
  return reply({ 'conflict', log.version, log.status })
end

local EXACT = 2 ^ 53  -- beyond it a double skips integers
local state = workflow_key(call.id, 'state')
local current, events, values = {}, {}, {}

local function get(key)
  if current[key] == nil then current[key] = redis.call('HGET', state, key) end
  return current[key]
end

local function number_json(n)
  if n == math.floor(n) and math.abs(n) < EXACT then return string.format('%.0f', n) end
  return string.format('%.17g', n)
end

local function increment(change)
  local old = get(change.key) or '0'
  local n = string.match(old, '^-?[%d.eE+-]+$') and tonumber(old)
  if not n then return nil, 'incr needs a number, it holds ' .. string.sub(old, 1, 40) end
  local sum = n + change.by
  if sum ~= sum or sum == math.huge or sum == -math.huge then return nil, 'incr would give no number' end
  if math.abs(sum) >= EXACT and not string.find(old, '[.eE]') then
    return nil, 'incr would pass 2^53, the largest number JSON readers agree on'
  end
  return number_json(sum), nil, '"value":' .. number_json(sum) .. ',"by":' .. number_json(change.by)
end

local function extend(change)
  local old = get(change.key) or '[]'
  if string.sub(old, 1, 1) ~= '[' then return nil, 'append needs a list, it holds ' .. string.sub(old, 1, 40) end
  local inside = string.sub(old, 2, -2)
  local list = '[' .. inside .. (inside == '' and '' or ',') .. change.value .. ']'
  if #list > (call.limit or math.huge) then
    return nil, 'append would make it ' .. #list .. ' bytes, the limit is ' .. call.limit
      .. ' (AGENTAINER_PAYLOAD_LIMIT)'
  end
  return list, nil, change.event
end

for i, change in ipairs(call.changes) do
  local value, problem, fields
  if change.op == 'set' then value, fields = change.value, change.event
  elseif change.op == 'delete' then value = false
  elseif change.op == 'incr' then value, problem, fields = increment(change)
  else value, problem, fields = extend(change) end
  if problem then return reply({ 'refused', change.key, problem }) end
  current[change.key] = value
  values[i] = change.op == 'incr' and value
  events[i] = '{"op":"' .. change.op .. '","key":' .. cjson.encode(change.key)
    .. (fields and (',' .. fields) or '') .. '}'
end

append(log, 'state.updated', '{"changes":[' .. table.concat(events, ',') .. ']}', call.by,
  lease and lease.version)
for _, change in ipairs(call.changes) do
  if change.digest then redis.call('HSET', workflow_key(call.id, 'blobs'), change.digest, change.value) end
end
for key, value in pairs(current) do
  if value then redis.call('HSET', state, key, value) else redis.call('HDEL', state, key) end
end
if effect then
  redis.call('HSET', workflow_key(call.id, 'effects'), effect, cmsgpack.pack({ call.token, call.write, values }))
  note(log, 'e')
end
close_log(log)
return reply({ 'appended', values })
